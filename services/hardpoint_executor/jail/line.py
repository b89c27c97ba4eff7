"""Owns the calls that wait for what runs them: each is given it by turns, or told in time why not."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from .fair_queue import FairQueue
from .sharing import Shared

P = TypeVar("P")

_LOOK_SECONDS = 0.25
_LONGEST_SECONDS = 20.0
"""What starts is ready by then, or its failure was told."""

Owner = tuple[str, str]
"""An organisation and a capability. Without a capability it is one call alone."""


@dataclass(frozen=True, slots=True, eq=False)
class Caller(Generic[P]):
    """A call that waits, and what it will be given."""

    owner: Owner
    given: asyncio.Future[P]
    depth: int = 0
    """How many calls wait in jails for this one."""
    shared: Shared | None = None
    """What it has in common with calls that may have used its jail before; None: nobody may have."""

    @property
    def org(self) -> str:
        """The organisation whose call it is."""
        return self.owner[0]


class Line(FairQueue[Caller[P]]):
    """Calls that wait, each for so many seconds, and longer only for what is starting for them."""

    def __init__(self, most: int, for_what: str, seconds: float) -> None:
        super().__init__(most, for_what)
        self._seconds = seconds

    async def wait(
        self,
        owner: Owner,
        serve: Callable[[], None],
        starts: Callable[[Caller[P]], bool],
        give_back: Callable[[P], None],
        depth: int = 0,
        shared: Shared | None = None,
    ) -> P:
        """Wait in line while `serve` sees to those who wait; what comes when nobody waits any more is given back.

        A slow machine is not a busy one: the time is not over while something `starts` for this call.

        Raises ResourceExhausted when there is no place, or nothing came in time, and whatever `refuse` says.
        """
        caller: Caller[P] = Caller(owner, asyncio.get_running_loop().create_future(), depth, shared)
        if (evicted := self.put(caller.org, caller, first=depth > 0)) and not evicted.given.done():
            evicted.given.set_exception(self.full())
        serve()
        if caller.given.done():
            return caller.given.result()
        last = time.monotonic() + _LONGEST_SECONDS
        try:
            await asyncio.wait([caller.given], timeout=self._seconds)
            while not caller.given.done() and starts(caller) and time.monotonic() < last:
                await asyncio.wait([caller.given], timeout=_LOOK_SECONDS)
        except asyncio.CancelledError:
            self.remove(caller)
            if not caller.given.cancel() and caller.given.exception() is None:
                give_back(caller.given.result())  # in the moment in which the caller gave up
            raise
        if not caller.given.done():
            self.remove(caller)
            raise self.full()
        return caller.given.result()

    def next(self, may: Callable[[Caller[P]], bool]) -> Caller[P] | None:
        """Take out whose turn it is, of those that `may` be served now; None when there is none."""
        while (caller := self.pop(may)) is not None and caller.given.done():
            pass  # it was cancelled and has not yet left the line
        return caller

    def refuse(self, error: Exception) -> None:
        """Tell all who wait."""
        while (caller := self.pop()) is not None:
            if not caller.given.done():
                caller.given.set_exception(error)
