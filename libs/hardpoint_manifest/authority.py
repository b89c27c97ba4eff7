"""What a release can reach: the one catalogue of permissions, host rules, and the algebra of granting them.

Pure values. The checker, the runtime's grants and the broker's policy all decide with this module.
"""

import difflib
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from types import MappingProxyType
from typing import Final, Self

PERMISSIONS: Final = MappingProxyType(
    {
        "data.read": "Read data from databases",
        "data.write": "Write data to databases",
        "data.delete": "Delete data from databases",
        "network.http.get": "Make HTTP GET requests",
        "network.http.post": "Make HTTP POST requests",
        "network.http.put": "Make HTTP PUT requests",
        "network.http.patch": "Make HTTP PATCH requests",
        "network.http.delete": "Make HTTP DELETE requests",
        "network.http.head": "Make HTTP HEAD requests",
        "network.websocket": "Use WebSocket connections",
        "ai.call": "Call AI/LLM services",
        "ai.embedding": "Generate embeddings",
        "ai.vision": "Use vision models",
        "file.read": "Read the stored files that it is given",
        "file.write": "Store new files",
        "file.temporary": "Use temporary storage",
        "compute.light": "Light computation (< 1s)",
        "compute.moderate": "Moderate computation (< 10s)",
        "compute.heavy": "Heavy computation (< 60s)",
        "integration.email": "Send emails, and read those of a mailbox that is set",
        "integration.calendar": "Read and change the calendars",
        "integration.crm": "Access CRM",
        "context.user": "Access user information",
        "context.conversation": "Access conversation history",
        "context.files": "Access uploaded files",
    }
)

_UNSERVED = frozenset({"integration.crm"})
SERVED: Final = frozenset(PERMISSIONS) - _UNSERVED
"""The permissions that open something in this version; the others can be asked for and granted ahead of it."""

HTTP_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD")

COMPUTE_SECONDS: Final = MappingProxyType({"light": 1, "moderate": 10, "heavy": 60})
"""Seconds of wall time that each compute tier may take, before the policy's own limit."""

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_DEFAULT_PORT: Final = 443


def nearest(name: str, known: Iterable[str] = PERMISSIONS) -> str | None:
    """The known name that a person most likely meant, or None when nothing is close."""
    options = list(known)
    # `database.read` shares its verb with `data.read`: a common last word weighs more than letters in between.
    same_verb = [option for option in options if option.rpartition(".")[2] == name.rpartition(".")[2]]
    close = difflib.get_close_matches(name, same_verb, n=1, cutoff=0.5) or difflib.get_close_matches(
        name, options, n=1, cutoff=0.6
    )
    return close[0] if close else None


def http_permission(method: str) -> str:
    """The permission that a request with this HTTP method needs."""
    return f"network.http.{method.lower()}"


@dataclass(frozen=True, slots=True, order=True)
class HostRule:
    """One host that may be reached: `host`, `host:port` or `*.host`, where the star stands for one label or more.

    A rule without a port allows only port 443, so a grant for HTTPS never opens another service of the same machine.
    """

    host: str
    port: int = _DEFAULT_PORT

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a rule; raises ValueError saying what is wrong with it."""
        host, colon, port_text = text.lower().partition(":")
        if colon and not (port_text.isascii() and port_text.isdigit() and 0 < int(port_text[:6]) < 65536):
            raise ValueError(f"{text!r} has no valid port after the colon")
        labels = host.removeprefix("*.").split(".")
        if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
            raise ValueError(f"{text!r} is not a host: write api.example.com, api.example.com:8443 or *.example.com")
        if host.startswith("*.") and len(labels) < 2:
            raise ValueError(f"{text!r} is too wide: a wildcard needs at least two labels after it")
        if labels[-1].isdigit() or labels[-1].startswith("0x"):
            _require_public_address(host, text)
        elif labels[-1] in {"localhost", "local", "internal"} or len(labels) == 1:
            raise ValueError(f"{text!r} names a machine of a private network; only public hosts can be reached")
        return cls(host, int(port_text) if colon else _DEFAULT_PORT)

    def covers(self, other: "HostRule") -> bool:
        """Whether everything that `other` allows is allowed by this rule."""
        if self.port != other.port:
            return False
        if self.host.startswith("*."):
            return self.host == other.host or other.host.removeprefix("*.").endswith(self.host[1:])
        return self.host == other.host

    def __str__(self) -> str:
        return self.host if self.port == _DEFAULT_PORT else f"{self.host}:{self.port}"


def _require_public_address(host: str, text: str) -> None:
    try:
        address = ipaddress.IPv4Address(host)
    except ValueError:
        raise ValueError(f"{text!r} is a number written as a host; write the host's name") from None
    if not address.is_global:
        raise ValueError(f"{text!r} is not a public address; only public hosts can be reached")


@dataclass(frozen=True, slots=True)
class AuthorityDiff:
    """What one authority has that the other lacks, both ways."""

    added: "Authority"
    removed: "Authority"

    def __bool__(self) -> bool:
        return bool(self.added) or bool(self.removed)


@dataclass(frozen=True, slots=True)
class Authority:
    """Permissions and hosts, as asked for by a release or as allowed by an org; false when it allows nothing."""

    permissions: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()

    @classmethod
    def of(cls, permissions: Iterable[str] = (), hosts: Iterable[str] = ()) -> Self:
        """Build an authority with hosts in their one spelling; raises ValueError for a host that is no rule."""
        return cls(frozenset(permissions), frozenset(str(HostRule.parse(host)) for host in hosts))

    def __bool__(self) -> bool:
        return bool(self.permissions or self.hosts)

    def covers(self, other: "Authority") -> bool:
        """Whether everything that `other` reaches is within this authority."""
        return not other.missing_from(self)

    def missing_from(self, granted: "Authority") -> "Authority":
        """The part of this authority that `granted` does not allow."""
        rules = [HostRule.parse(host) for host in granted.hosts]
        hosts = {h for h in self.hosts if not any(rule.covers(HostRule.parse(h)) for rule in rules)}
        return Authority(self.permissions - granted.permissions, frozenset(hosts))

    def intersect(self, other: "Authority") -> "Authority":
        """What both allow; the narrower of two overlapping host rules stays."""
        hosts = {
            narrow
            for mine, theirs in ((self.hosts, other.hosts), (other.hosts, self.hosts))
            for narrow in mine
            if any(HostRule.parse(wide).covers(HostRule.parse(narrow)) for wide in theirs)
        }
        return Authority(self.permissions & other.permissions, frozenset(hosts))

    def diff(self, before: "Authority") -> AuthorityDiff:
        """What this authority reaches beyond `before`, and what it no longer reaches."""
        return AuthorityDiff(added=self.missing_from(before), removed=before.missing_from(self))

    def allows_host(self, host: str, port: int) -> bool:
        """Whether a connection to this host and port is within the authority."""
        wanted = HostRule(host.lower().rstrip("."), port)
        return any(HostRule.parse(rule).covers(wanted) for rule in self.hosts)

    @property
    def compute_tier(self) -> str:
        """The widest compute tier among the permissions; `light` when none is asked for."""
        tiers = [tier for tier in COMPUTE_SECONDS if f"compute.{tier}" in self.permissions]
        return tiers[-1] if tiers else "light"


def within(own: Authority, callers: Iterable[Authority]) -> Authority:
    """What something reaches on behalf of others: no more than each of them, whatever it was granted itself."""
    return reduce(Authority.intersect, callers, own)
