"""The host of a URL template: it must stand there as written, since it is granted before anything runs."""

import re
from typing import Final

from hardpoint_manifest.authority import HostRule

_URL: Final = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<host>[^/?#]*)")
_PORTS: Final = {"https": 443, "http": 80}


def host_of(url: str) -> HostRule:
    """The host and port that a URL leads to; raises ValueError saying why it leads nowhere that can be granted."""
    match = _URL.match(url)
    if match is None or match["scheme"].lower() not in _PORTS:
        raise ValueError(f"{url[:64]!r} is no URL: it starts with https:// and a host")
    host = match["host"]
    if any(segment in {".", ".."} for segment in re.split(r"[?#]", url[match.end() :])[0].split("/")):
        raise ValueError("a URL has no `.` or `..` in its path")
    if "${" in host or "{{" in host:
        raise ValueError("the host of a URL is fixed: it cannot come from an input or a setting")
    if "@" in host or "*" in host or "\\" in host:
        raise ValueError(f"{host[:64]!r} is not a plain host: no user, no star, no backslash")
    rule = HostRule.parse(host)
    return rule if ":" in host else HostRule(rule.host, _PORTS[match["scheme"].lower()])
