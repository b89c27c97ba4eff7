"""Owns which `HARDPOINT_*` variables mean something to a process; any other ends its start.

A misspelt name would be a limit or a wall that somebody relies on and that is not there.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches

from hardpoint_kit.errors import InvalidArgument
from hardpoint_kit.options import PREFIX
from hardpointd.catalog import UNITS, server_module
from hardpointd.options import DaemonOptions

OF_CLIENTS = frozenset({f"{PREFIX}ADDRESS", f"{PREFIX}TOKEN"})
"""What the command line and the Python client read in the same shell."""
_KUBERNETES = re.compile(r"_SERVICE_(HOST|PORT(_\w+)?)|_PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?")
_KUBERNETES_PORT = re.compile(r"(tcp|udp|sctp)://")


def check_environment(units: Sequence[str], environment: Mapping[str, str]) -> None:
    """Refuse variables with our prefix that nothing reads, with the nearest name; raises InvalidArgument.

    What begins with a unit that this process does not serve is for another one. So is what Kubernetes writes for
    services whose names begin as ours do.
    """
    known = _known(units)
    elsewhere = tuple(f"{PREFIX}{unit.upper()}_" for unit in UNITS if unit not in units)
    wrong = {
        name: _nearest(name.upper(), known)
        for name, value in sorted(environment.items())
        if name.upper().startswith(PREFIX)
        and name.upper() not in known
        and not name.upper().startswith(elsewhere)
        and not _is_of_kubernetes(name, value)
    }
    if wrong:
        raise InvalidArgument(wrong, fix="correct it, or leave it out: it would do nothing")


def _known(units: Sequence[str]) -> frozenset[str]:
    def names() -> Iterator[str]:
        for kind in (DaemonOptions, *(server_module(unit).Options for unit in units)):
            yield from (f"{PREFIX}{name.upper()}" for name in kind.model_fields)

    return OF_CLIENTS.union(names())


def _nearest(name: str, known: frozenset[str]) -> str:
    parts = {one.removeprefix(PREFIX): one for one in sorted(known)}
    close = get_close_matches(name.removeprefix(PREFIX), parts, n=1, cutoff=0.7)
    return f"is no option; did you mean {parts[close[0]]}?" if close else "is no option"


def _is_of_kubernetes(name: str, value: str) -> bool:
    links = _KUBERNETES.search(name) or (name.endswith("_PORT") and _KUBERNETES_PORT.match(value))
    return bool(links)
