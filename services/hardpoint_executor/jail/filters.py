"""Owns the system call filters that the zygotes of slots are given, and what of them is said where not all is told."""

import functools
import json
import secrets

import structlog

from .bpf import compiled, telling
from .launch import HERE
from .policy import name_of, read_policy

_DENIED_IN_SLOTS = frozenset({"execve", "tgkill"})
"""A child has nothing to execute: its interpreter runs already. And a thread that waits in a forbidden call until it is
killed would be called back by the signal of another one."""

_log = structlog.get_logger(__name__)


class Filters:
    """The system call filters that zygotes are given, by this process."""

    def __init__(self) -> None:
        self._policy = read_policy(HERE / "base.policy", without=_DENIED_IN_SLOTS)
        self.mark = secrets.randbits(64)
        """Of what a child calls to close its walls."""

    def first(self) -> bytes:
        """The first message: the filter that tells of forbidden and refused calls, their numbers, and the mark."""
        calls = {"forbidden": sorted(self._policy.forbidden), "refused": sorted(self._policy.refused)}
        return json.dumps({"filter": telling(self._policy, self.mark).hex(), **calls, "mark": self.mark}).encode()

    @functools.cache  # noqa: B019 - there is one of these
    def children(self, told: frozenset[int], why_not: str) -> bytes:
        """The second: what is around a child whose calls are `told`; for others the kernel kills, or refuses untold."""
        if untold := self._policy.forbidden - told:
            names = " ".join(sorted(map(name_of, untold)))
            _log.warning("forbidden system calls that kill and cannot be named", calls=names, why=why_not)
        if untold := self._policy.refused - told:
            names = " ".join(sorted(map(name_of, untold)))
            _log.warning("refused system calls of which the security log will not know", calls=names, why=why_not)
        return compiled(self._policy, told, self.mark)


filters = functools.cache(Filters)
