"""Owns the single-use jails of one engine that wait for a call, how many may run at once, and for whom.

Organisations take turns, and none can have every jail: the last quarter of those that may run goes to organisations
that run nothing, so that one whose calls are long and many keeps nobody out. Jails are started ahead, a few at a time,
only while someone waits or the pool is short: an idle pool costs no CPU. A failed start is told to whoever waits, and
tried again when someone calls or a few seconds have passed.
"""

import asyncio
import contextlib
import time
from collections import deque
from dataclasses import dataclass

import structlog

from hardpoint_kit.errors import Unavailable

from .fair_queue import FairQueue, may_run
from .launch import Launcher
from .nsjail import JailError
from .single_use import JailProcess

_log = structlog.get_logger(__name__)

_OLD_SECONDS = 1800.0
"""Half of nsjail's own time limit, so that no call meets it."""
_RETRY_SECONDS = 5.0
_CLOSE_SECONDS = 5.0
_REFILL_SECONDS = 0.01
"""Starting a process holds the event loop for a millisecond or two; a call that has its jail goes first."""


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """How many jails of one engine wait, run and start at once, and how many calls may queue for how long."""

    waiting: int = 2
    running: int = 8
    starting: int = 2
    queue: int = 32
    queue_seconds: float = 0.9


@dataclass(frozen=True, slots=True, eq=False)
class _Caller:
    org: str
    jail: asyncio.Future[JailProcess]


class Pool:
    """Hands out started jails, each to one call."""

    def __init__(self, launcher: Launcher[JailProcess], options: PoolOptions) -> None:
        self.failure = ""
        """Why the last start failed; empty after one that worked."""
        self._launcher = launcher
        self._options = options
        self._waiting: deque[JailProcess] = deque()
        self._callers: FairQueue[_Caller] = FairQueue(options.queue, f"{launcher.name} jail")
        self._taken: dict[JailProcess, tuple[str, float]] = {}
        """Jails that have a call, the organisation it belongs to, and since when."""
        self._all_back = asyncio.Event()
        self._all_back.set()
        self._starts: set[asyncio.Task[None]] = set()
        self._endings: set[asyncio.Task[None]] = set()
        self._refill: asyncio.TimerHandle | None = None
        self.closed = False

    async def fill(self) -> None:
        """Start the first jails and wait for them; see `failure` for what went wrong."""
        self._start_missing()
        await asyncio.gather(*self._starts)

    async def take(self, org: str, _capability: str) -> JailProcess:
        """Return a jail for one call of an organisation, to be given to `discard` afterwards.

        Raises ResourceExhausted when the queue is full or no jail came free in time, Unavailable when none starts.
        """
        if self.closed:
            raise Unavailable("the executor is stopping", reason="NO_EXECUTOR", retry_after=1.0)
        caller = _Caller(org, asyncio.get_running_loop().create_future())
        if evicted := self._callers.put(org, caller):
            _fail(evicted, self._callers.full())
        self._serve()
        try:
            async with asyncio.timeout(self._options.queue_seconds):
                return await caller.jail
        except (TimeoutError, asyncio.CancelledError) as error:
            came = not self._callers.remove(caller) and caller.jail.done() and not caller.jail.cancelled()
            if came and caller.jail.exception() is None:
                self.discard(caller.jail.result())  # it came in the moment the caller gave up
            if isinstance(error, TimeoutError):
                raise self._callers.full() from None
            raise

    def discard(self, process: JailProcess, _well: bool = True) -> None:
        """Kill a jail that was taken, in the background, and let the next caller in."""
        if taken := self._taken.pop(process, None):
            org, since = taken
            self._callers.charge(org, time.monotonic() - since)
        if not self._taken:
            self._all_back.set()
        self._end(process)
        self._serve()

    async def close(self) -> None:
        """Kill every jail, also those that were taken, and wait until no process is left."""
        self.closed = True
        for process in self._taken:
            process.kill()
        for start in self._starts:
            start.cancel()
        await asyncio.gather(*self._starts, return_exceptions=True)
        while self._waiting:
            self._end(self._waiting.popleft())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._all_back.wait()
        while self._endings:
            await asyncio.gather(*self._endings)
        self._launcher.close()

    def _serve(self) -> None:
        """Give waiting jails to waiting callers, as far as the running limit goes, and start what is then missing."""
        while self._waiting and len(self._taken) < self._options.running:
            process = self._waiting[0]
            if not process.alive or time.monotonic() - process.started > _OLD_SECONDS:
                self._end(self._waiting.popleft())
                continue
            caller = self._callers.pop(self._may_run)
            if caller is None:
                break
            if caller.jail.done():
                continue  # it was cancelled and has not yet left the queue
            self._taken[self._waiting.popleft()] = caller.org, time.monotonic()
            self._all_back.clear()
            caller.jail.set_result(process)
        if self._callers:
            self._start_missing()
        elif self._refill is None:
            self._refill = asyncio.get_running_loop().call_later(_REFILL_SECONDS, self._start_missing)

    def _may_run(self, caller: _Caller) -> bool:
        return may_run(caller.org, [org for org, _ in self._taken.values()], self._options.running)

    def _start_missing(self) -> None:
        if self._refill is not None:
            self._refill.cancel()
            self._refill = None
        if self.closed:
            return
        room = max(0, self._options.running - len(self._taken))
        wanted = max(self._options.waiting, min(len(self._callers), room))
        missing = wanted - len(self._waiting) - len(self._starts)
        if self.failure and not self._starts:
            missing = max(missing, 1)  # nobody is let in while a start has failed, so only another start ends that
        for _ in range(min(missing, self._options.starting - len(self._starts))):
            start = asyncio.create_task(self._start())
            self._starts.add(start)
            start.add_done_callback(self._started)

    async def _start(self) -> None:
        try:
            process = await self._launcher.start()
        except (JailError, OSError) as error:
            self._failed(str(error))
            return
        self.failure = ""
        self._waiting.append(process)

    def _started(self, start: asyncio.Task[None]) -> None:
        self._starts.discard(start)
        if not self.closed and not self.failure:
            self._serve()

    def _failed(self, why: str) -> None:
        _log.error("no jail could be started", engine=self._launcher.name, why=why)
        self.failure = why
        asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._start_missing)
        while caller := self._callers.pop():
            _fail(caller, Unavailable(f"no jail could be started: {why}", reason="JAIL_UNAVAILABLE"))

    def _end(self, process: JailProcess) -> None:
        process.kill()
        ending = asyncio.create_task(self._launcher.discard(process))
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)


def _fail(caller: _Caller, error: Exception) -> None:
    if not caller.jail.done():
        caller.jail.set_exception(error)
