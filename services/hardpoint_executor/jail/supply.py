"""Owns what both tiers do alike: jails start and end beside the calls, and closing leaves no process behind.

A tier says which of its jails a call gets, which are missing, and what becomes of one that served. A failed start is
told to whoever waits, and tried again when someone calls or a few seconds have passed.

Calls that wait in jails for calls of their own could fill every place and wait for ever. So there is a place more for
each depth: the deepest call that waits finds it free, since nobody as deep runs, and whoever waits for it goes on.
"""

import asyncio
import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from typing import Generic, TypeVar

import structlog

from hardpoint_kit.errors import Unavailable

from .fair_queue import may_run
from .launch import Launcher
from .line import Caller, Line
from .nsjail import JailError, Nsjail
from .sharing import Shared

_log = structlog.get_logger(__name__)

_RETRY_SECONDS = 5.0
_CLOSE_SECONDS = 5.0

J = TypeVar("J", bound=Nsjail)
P = TypeVar("P")


class Supply(ABC, Generic[J, P]):
    """Jails `J` of one launcher, each of which gives a process `P` to one call at a time."""

    def __init__(self, launcher: Launcher[J], line: Line[P], places: int) -> None:
        self.failure = ""
        """Why the last start failed; empty after one that worked."""
        self.closed = False
        self._launcher = launcher
        self._line = line
        self._places = places
        """How many calls may run that are not of a depth of their own."""
        self._taken: dict[J, tuple[str, float]] = {}
        """Jails that run a call, the organisation it belongs to, and since when."""
        self._reserved: dict[J, int] = {}
        """Those of them that have the place of a depth."""
        self._all_back = asyncio.Event()
        self._all_back.set()
        self._starts: set[asyncio.Task[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        """What else is done beside the calls: jails end, slots are renewed."""

    @abstractmethod
    def discard(self, process: P, well: bool, rests: bool = False) -> None:
        """Take back a process whose call ended `well`, with a result or an error of the plugin's own.

        It is killed, unless it `rests` and a call may follow that has all in common with this one.
        """

    def end_run(self, org: str, run: str) -> None:
        """Let no process wait for another call of this run."""

    @abstractmethod
    def _serve(self) -> None:
        """Give what is ready to calls that wait, and start what is then missing."""

    @abstractmethod
    def _start_missing(self) -> None:
        """Start jails, as far as some are missing and there is room."""

    @abstractmethod
    def _add(self, jail: J) -> None:
        """Have a jail that is ready wait for a call."""

    @abstractmethod
    def _idle(self) -> list[J]:
        """The jails that wait for a call."""

    def _something_starts(self) -> bool:
        """Whether there will be a process for a call in a moment that nobody has now."""
        return bool(self._starts)

    async def fill(self) -> None:
        """Start the first jails and wait for them; see `failure` for what went wrong."""
        self._start_missing()
        await asyncio.gather(*self._starts)

    async def take(self, org: str, capability: str, depth: int = 0, shared: Shared | None = None) -> P:
        """Return a process for one call, to be given to `discard` afterwards; so many calls wait in jails for it.

        Where calls have what is `shared` in common, the process may be one that served another of them.

        Raises ResourceExhausted when the queue is full or nothing came free in time, Unavailable when none starts.
        """
        if self.closed:
            raise Unavailable("the executor is stopping", reason="NO_EXECUTOR", retry_after=1.0)
        return await self._line.wait(
            (org, capability),
            self._serve,
            self._is_served_soon,
            lambda process: self.discard(process, True),
            depth,
            shared,
        )

    async def close(self) -> None:
        """Kill every jail, also those that run a call, and wait until no process is left."""
        self.closed = True
        for jail in self._taken:
            jail.kill()
        for start in self._starts:
            start.cancel()
        await asyncio.gather(*self._starts, return_exceptions=True)
        for jail in self._idle():
            self._end(jail)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._all_back.wait()
        while self._tasks:
            await asyncio.gather(*self._tasks)
        self._launcher.close()

    def _is_served_soon(self, caller: Caller[P]) -> bool:
        """Whether something starts, and there are places for all who wait: nobody is kept from one by others."""
        room = self._places - len(self._taken)
        return self._something_starts() and self._may_have_a_place(caller) and len(self._line) <= max(room, 1)

    def _may_have_a_place(self, caller: Caller[P]) -> bool:
        """Whether a call may have one of the places that all share, or the one of its depth."""
        return self._may_share(caller) or self._has_reserve(caller)

    def _may_share(self, caller: Caller[P]) -> bool:
        sharing = self._orgs()
        return len(sharing) < self._places and may_run(caller.org, sharing, self._places)

    def _has_reserve(self, caller: Caller[P]) -> bool:
        return caller.depth > 0 and caller.depth not in self._reserved.values()

    def _more(self) -> int:
        """Places of depths that are taken, or waited for since none of those that all share is to be had."""
        waiting = {caller.depth for caller in self._line if caller.depth and not self._may_share(caller)}
        return len(waiting | set(self._reserved.values()))

    def _give(self, jail: J, process: P, caller: Caller[P]) -> None:
        if not self._may_share(caller):
            self._reserved[jail] = caller.depth
        self._taken[jail] = caller.org, time.monotonic()
        self._all_back.clear()
        caller.given.set_result(process)

    def _take_back(self, jail: J, more: float = 0.0) -> None:
        """Charge the organisation for the time that its call had a jail, and some seconds more."""
        org, since = self._taken.pop(jail)
        self._reserved.pop(jail, None)
        self._line.charge(org, time.monotonic() - since + more)
        if not self._taken:
            self._all_back.set()

    def _owed(self, missing: int) -> int:
        """How many jails to start when so many are missing.

        While a start has failed nobody is let in, so nobody will ask: only another start ends that.
        """
        return max(missing, 1) if self.failure and not self._starts else missing

    def _orgs(self) -> list[str]:
        """The organisations whose calls run in places that all share, each as often as it has some."""
        return [org for jail, (org, _) in self._taken.items() if jail not in self._reserved]

    def _start(self) -> None:
        start = asyncio.create_task(self._started())
        self._starts.add(start)
        start.add_done_callback(self._starts.discard)

    async def _started(self) -> None:
        try:
            jail = await self._launcher.start()
        except (JailError, OSError) as error:
            self._failed(str(error))
            return
        finally:
            if (start := asyncio.current_task()) is not None:
                self._starts.discard(start)
        self.failure = ""
        if self.closed:
            self._end(jail)
        else:
            self._add(jail)

    def _failed(self, why: str) -> None:
        _log.error("no jail could be started", engine=self._launcher.name, why=why)
        self.failure = why
        asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._start_missing)
        self._line.refuse(Unavailable(f"no jail could be started: {why}", reason="JAIL_UNAVAILABLE"))

    def _end(self, jail: J) -> None:
        jail.kill()
        self._begin(self._launcher.discard(jail))

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
