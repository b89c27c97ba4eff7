"""Owns what is known of the use of grants: which of them executions needed, how often, and when last."""

from dataclasses import dataclass
from datetime import datetime
from typing import Self

from hardpoint_manifest.authority import Authority, HostRule


@dataclass(frozen=True, slots=True)
class GrantUse:
    """A permission or host as it is granted, with the executions that used it; sums do not depend on their order."""

    grant: str
    executions: int = 0
    last_used: datetime | None = None

    def __add__(self, other: Self) -> Self:
        times = [at for at in (self.last_used, other.last_used) if at is not None]
        return type(self)(self.grant, self.executions + other.executions, max(times, default=None))


def exercised(grants: Authority, used: Authority) -> frozenset[str]:
    """The grants that made possible what was used: permissions by name, and every host rule that covers a host."""
    hosts = [HostRule.parse(host) for host in used.hosts]
    covering = (rule for rule in grants.hosts if any(HostRule.parse(rule).covers(host) for host in hosts))
    return (grants.permissions & used.permissions) | frozenset(covering)
