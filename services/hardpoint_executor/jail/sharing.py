"""Owns what calls have in common that may share a jail, one after the other; who differs in it has another one."""

from dataclasses import dataclass
from typing import Self

from .interface import JailCall, Together


@dataclass(frozen=True, slots=True)
class Shared:
    """That of their run, and all that the jail was made for.

    A module is loaded once and memory limited once, so the one has to be the same and the other as large.
    """

    together: Together
    source: str
    filename: str
    libraries: tuple[str, ...]
    memory_bytes: int

    @classmethod
    def by(cls, call: JailCall) -> Self | None:
        """What a call shares with others; None where it shares nothing."""
        if call.together is None:
            return None
        return cls(call.together, call.source, call.filename, call.libraries, call.limits.memory_bytes)

    def is_of(self, org: str, run: str) -> bool:
        """Whether it is a call of this run."""
        return (self.together.org, self.together.run) == (org, run)
