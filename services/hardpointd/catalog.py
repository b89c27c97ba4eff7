"""The units that this program can start, nobody before those it calls: they stop in reverse."""

from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

from hardpoint_kit.errors import InvalidArgument

UNITS = ("config", "registry", "marketplace", "files", "executor", "runtime", "door")

PEERS = {
    "config": (),
    "registry": (),
    "marketplace": ("registry",),
    "files": (),
    "executor": ("config", "registry", "files"),
    "runtime": ("config", "registry", "marketplace", "files", "executor"),
    "door": ("runtime",),
}
"""Whom each unit calls. The graph has no cycle."""

WITHOUT_TOKEN = frozenset({"executor"})
"""A process next to strangers' code holds no standing credential, and no database either."""

WITHOUT_DATABASE = WITHOUT_TOKEN | {"door"}
"""They keep nothing."""


def chosen(names: Sequence[str]) -> tuple[str, ...]:
    """The units to start, in order; all of them for no name. Raises InvalidArgument for a name that is no unit."""
    unknown = sorted(set(names) - set(UNITS))
    if unknown:
        raise InvalidArgument(f"no unit is called {', '.join(unknown)}", fix=f"choose from {', '.join(UNITS)}")
    return tuple(unit for unit in UNITS if not names or unit in names)


def server_module(unit: str) -> ModuleType:
    """The unit's `server` module, which has Options and build; loaded only when the unit is wanted."""
    return import_module(f"hardpoint_{unit}.server")
