"""Owns the single-use jails of one engine that wait for a call, how many may run at once, and for whom.

Organisations take turns, and none can have every jail: the last quarter of those that may run goes to organisations
that run nothing, so that one whose calls are long and many keeps nobody out. Jails are started ahead, a few at a time,
only while someone waits or the pool is short: an idle pool costs no CPU. The pool of an engine whose usual calls run in
slots holds none until someone asks, and keeps some ready as long as calls come.
"""

import asyncio
import time
from collections import deque
from dataclasses import dataclass

from hardpoint_executor.limits import seconds, whole

from .launch import Launcher
from .line import Line
from .single_use import JailProcess
from .supply import Supply

_OLD_SECONDS = 1800.0
"""Half of nsjail's own time limit, so that no call meets it."""
READY_SECONDS = seconds("single_use.ready_seconds")
"""For so long after a call there are jails ready in a pool that is seldom used."""
_REFILL_SECONDS = 0.01
"""Starting a process holds the event loop for a millisecond or two; a call that has its jail goes first."""


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """How many jails of one engine wait, run and start at once, and how many calls may queue for how long."""

    waiting: int = whole("single_use.waiting")
    running: int = whole("single_use.running")
    starting: int = whole("single_use.starting")
    queue: int = whole("queue.calls")
    queue_seconds: float = seconds("queue.seconds")


class Pool(Supply[JailProcess, JailProcess]):
    """Hands out started jails, each to one call."""

    def __init__(self, launcher: Launcher[JailProcess], options: PoolOptions, *, seldom: bool = False) -> None:
        line: Line[JailProcess] = Line(options.queue, f"{launcher.name} jail", options.queue_seconds)
        super().__init__(launcher, line, options.running)
        self._options = options
        self._seldom = seldom
        self._unused: asyncio.TimerHandle | None = None
        """Of a pool that is seldom used: when no jail is ready any more."""
        self._waiting: deque[JailProcess] = deque()
        self._refill: asyncio.TimerHandle | None = None

    def discard(self, process: JailProcess, _well: bool, _rests: bool = False) -> None:
        """Kill a jail that was taken, in the background, and let the next caller in."""
        self._take_back(process)
        self._end(process)
        self._serve()

    def _serve(self) -> None:
        """Give waiting jails to waiting callers, as far as the running limit goes, and start what is then missing."""
        while self._waiting:
            process = self._waiting[0]
            if not process.alive or time.monotonic() - process.started > _OLD_SECONDS:
                self._end(self._waiting.popleft())
                continue
            caller = self._line.next(self._may_have_a_place)
            if caller is None:
                break
            self._give(self._waiting.popleft(), process, caller)
            self._stay_ready()
        if self._line:
            self._start_missing()
        elif self._refill is None:
            self._refill = asyncio.get_running_loop().call_later(_REFILL_SECONDS, self._start_missing)

    def _start_missing(self) -> None:
        if self._refill is not None:
            self._refill.cancel()
            self._refill = None
        if self.closed:
            return
        room = max(0, self._places + self._more() - len(self._taken))
        ready = 0 if self._seldom and self._unused is None else self._options.waiting
        wanted = max(ready, min(len(self._line), room))
        missing = self._owed(wanted - len(self._waiting) - len(self._starts))
        for _ in range(min(missing, self._options.starting - len(self._starts))):
            self._start()

    def _stay_ready(self) -> None:
        if not self._seldom:
            return
        if self._unused is not None:
            self._unused.cancel()
        self._unused = asyncio.get_running_loop().call_later(READY_SECONDS, self._rest)

    def _rest(self) -> None:
        self._unused = None
        for jail in self._idle():
            self._end(jail)

    def _add(self, jail: JailProcess) -> None:
        self._waiting.append(jail)
        self._serve()

    def _idle(self) -> list[JailProcess]:
        return [self._waiting.popleft() for _ in range(len(self._waiting))]
