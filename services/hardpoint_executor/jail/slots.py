"""Owns the slots that are there: whom each serves, when one is started, renewed or ended, and whose call comes next.

A slot serves one capability of one organisation and never another. A call gets a slot that serves its capability, else
a clean one, which then serves it. When neither is there, a slot of an organisation that took more, or one that was not
used just now, makes room for a new one: who makes few and short calls keeps a warm slot beside those who do not. A
slot ends after a call that did not end in a result or an error of the plugin's own, after so many calls, and when idle.
New ones are started beside the calls, so that nobody waits for a renewal as long as a clean one is there.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass

import structlog

from hardpoint_kit.errors import Unavailable

from .fair_queue import FairQueue, may_run
from .launch import Launcher
from .nsjail import JailError
from .slot import Child, Slot

_log = structlog.get_logger(__name__)

_RETRY_SECONDS = 5.0
_CLOSE_SECONDS = 5.0
_AFTERWARDS_SECONDS = 0.002
"""Cloning takes a processor for a moment; when nobody waits, the answer of the call that has ended goes first."""
_GROW_SECONDS = 0.02
"""A start costs as much as a dozen calls: what waits for less finds a slot that has become free."""
_START_SECONDS = 0.1
"""What a call is charged for a slot that has to end after it, about what another one costs to start."""
_JUST_NOW_SECONDS = 0.25
"""Who used a slot so lately is likely to use it again."""

Owner = tuple[str, str]
"""An organisation and a capability. Without a capability a slot serves one call alone."""


@dataclass(frozen=True, slots=True)
class SlotOptions:
    """How many slots there are at most, how many wait clean and start at once, how long each serves, and the queue."""

    most: int = 8
    clean: int = 1
    starting: int = 2
    calls: int = 500
    """What the calls of one slot have in common is its address layout and hash seed: not for longer than this."""
    idle_seconds: float = 30.0
    queue: int = 32
    queue_seconds: float = 0.9


@dataclass(frozen=True, slots=True, eq=False)
class _Caller:
    owner: Owner
    child: asyncio.Future[Child]


class Slots:
    """Hands out children of slots, each to one call."""

    def __init__(self, launcher: Launcher[Slot], options: SlotOptions) -> None:
        self.failure = ""
        """Why the last start failed; empty after one that worked."""
        self.closed = False
        self._launcher = launcher
        self._options = options
        self._callers: FairQueue[_Caller] = FairQueue(options.queue, launcher.name)
        self._ready: list[Slot] = []
        """Slots whose child waits for a call, the last used last."""
        self._busy: dict[Slot, str] = {}
        """Slots that run a call, and the organisation it belongs to. `Slot.used` is when it began."""
        self._renewing: set[Slot] = set()
        """Slots that get another child."""
        self._resting: set[asyncio.Future[None]] = set()
        """Of renewals that wait for the answer of a call to go first."""
        self._starting = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._growth: asyncio.TimerHandle | None = None
        self._tidying: asyncio.TimerHandle | None = None
        self._all_back = asyncio.Event()
        self._all_back.set()

    async def fill(self) -> None:
        """Start the first slots and wait for them; see `failure` for what went wrong."""
        self._grow()
        await asyncio.gather(*self._tasks)

    async def take(self, org: str, capability: str) -> Child:
        """Return a child for one call, to be given to `discard` afterwards.

        Raises ResourceExhausted when the queue is full or no slot came free in time, Unavailable when none starts.
        """
        if self.closed:
            raise Unavailable("the executor is stopping", reason="NO_EXECUTOR", retry_after=1.0)
        caller = _Caller((org, capability), asyncio.get_running_loop().create_future())
        if (evicted := self._callers.put(org, caller)) and not evicted.child.done():
            evicted.child.set_exception(self._callers.full())
        self._serve()
        for rest in self._resting:
            if not rest.done():
                rest.set_result(None)
        try:
            async with asyncio.timeout(self._options.queue_seconds):
                return await caller.child
        except (TimeoutError, asyncio.CancelledError) as error:
            came = not self._callers.remove(caller) and caller.child.done() and not caller.child.cancelled()
            if came and caller.child.exception() is None:
                self.discard(caller.child.result(), True)  # it came in the moment the caller gave up
            if isinstance(error, TimeoutError):
                raise self._callers.full() from None
            raise

    def discard(self, child: Child, well: bool) -> None:
        """Kill a child that was taken, and let its slot serve the next call, if the call ended `well`, or end."""
        slot = child.slot
        child.kill()
        org = self._busy.pop(slot)
        if not self._busy:
            self._all_back.set()
        slot.calls += 1
        now = time.monotonic()
        self._callers.charge(org, now - slot.used + (0 if well else _START_SECONDS))
        slot.used = now
        once = slot.owner is None or not slot.owner[1]
        if self.closed or once or not well or slot.calls >= self._options.calls or self._owed_to_another(slot):
            self._end(slot)
        else:
            self._renewing.add(slot)
            self._begin(self._renew(slot))
        self._serve()

    async def close(self) -> None:
        """Kill every child and every slot, and wait until no process is left."""
        self.closed = True
        for timer in (self._growth, self._tidying):
            if timer is not None:
                timer.cancel()
        for slot in self._busy:
            slot.kill()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._all_back.wait()
        while self._ready:
            self._end(self._ready.pop())
        while self._tasks:
            await asyncio.gather(*self._tasks)
        self._launcher.close()

    def _serve(self) -> None:
        """Give children that wait to calls that wait, by turns, and start what is then missing."""
        while (caller := self._callers.pop(self._may_be_served)) is not None:
            if caller.child.done():
                continue  # it was cancelled and has not yet left the queue
            slot = self._slot_for(caller)
            assert slot is not None
            assert slot.child is not None
            self._ready.remove(slot)
            slot.owner = caller.owner
            self._busy[slot] = caller.owner[0]
            slot.used = time.monotonic()
            self._all_back.clear()
            caller.child.set_result(slot.child)
        if self._unserved():
            self._grow()
        elif self._growth is None and not self.closed:
            self._growth = asyncio.get_running_loop().call_later(_GROW_SECONDS, self._grow)

    def _may_be_served(self, caller: _Caller) -> bool:
        allowed = may_run(caller.owner[0], self._busy.values(), self._options.most)
        return allowed and self._slot_for(caller) is not None

    def _slot_for(self, caller: _Caller) -> Slot | None:
        """The slot that served this capability last, else a clean one.

        Where there is no room for another, a call rather waits for a slot of its own that comes back in a moment.
        """
        for slot in [slot for slot in self._ready if not slot.alive]:
            self._ready.remove(slot)
            self._end(slot)
        own = [slot for slot in self._ready if slot.owner == caller.owner]
        if own:
            return own[-1]
        others = sum(other.owner == caller.owner and other is not caller for other in self._callers)
        coming = sum(slot.owner == caller.owner for slot in self._renewing)
        if coming > others and self._total() >= self._options.most:
            return None
        return next((slot for slot in self._ready if slot.owner is None), None)

    def _unserved(self) -> set[Owner]:
        """Who waits and is owed a slot: capabilities without one, of organisations with less than their share."""
        if not self._callers:
            return set()
        owned = self._owned()
        held, orgs = Counter(owned), Counter(org for org, _ in owned)
        waiting = {caller.owner for caller in self._callers}
        share = self._options.most // max(1, len(orgs.keys() | {org for org, _ in waiting}))
        return {owner for owner in waiting if not held[owner] or orgs[owner[0]] < share}

    def _owned(self) -> list[Owner]:
        slots = (*self._ready, *self._busy, *self._renewing)
        return [slot.owner for slot in slots if slot.owner is not None]

    def _owed_to_another(self, slot: Slot) -> bool:
        """Whether this slot, just free, makes room for a capability that has none, of whoever took no more."""
        if slot.owner is None or self._total() < self._options.most:
            return False
        owed = [owner for owner in self._unserved() if owner != slot.owner and self._goes_before(owner[0], slot)]
        return len(owed) > self._starting

    def _goes_before(self, org: str, slot: Slot) -> bool:
        """Whether an organisation may have what an idle slot holds although it is about to be used again."""
        assert slot.owner is not None
        return org == slot.owner[0] or self._callers.taken(org) < self._callers.taken(slot.owner[0])

    def _total(self) -> int:
        return len(self._ready) + len(self._busy) + len(self._renewing) + self._starting

    def _grow(self) -> None:
        """Start slots: for who is owed one, for who waits as far as there is room, and to have clean ones ready."""
        if self._growth is not None:
            self._growth.cancel()
            self._growth = None
        if self.closed:
            return
        unserved = self._unserved()
        clean = sum(slot.owner is None for slot in self._ready)
        missing = max(self._options.clean - clean, len(self._callers)) - self._starting
        for _ in range(min(missing, self._options.starting - self._starting)):
            if self._total() >= self._options.most:
                idle = self._dispensable(unserved)
                if idle is None or self._starting >= len(unserved):
                    return
                self._ready.remove(idle)
                self._end(idle)
            self._starting += 1
            self._begin(self._start())

    def _dispensable(self, unserved: set[Owner]) -> Slot | None:
        """The idle slot of whoever took most, of those that are not about to be used by somebody who goes before."""
        since = time.monotonic() - _JUST_NOW_SECONDS
        idle = [
            (self._callers.taken(slot.owner[0]), slot)
            for slot in self._ready
            if slot.owner is not None
            and (slot.used < since or any(self._goes_before(org, slot) for org, _ in unserved))
        ]
        return max(idle, key=lambda pair: pair[0], default=(0.0, None))[1]

    async def _start(self) -> None:
        try:
            slot = await self._launcher.start()
        except (JailError, OSError) as error:
            self._failed(str(error))
            return
        finally:
            self._starting -= 1
        self.failure = ""
        self._add(slot)

    async def _renew(self, slot: Slot) -> None:
        if not self._callers:
            await self._rest()
        why = ""
        try:
            await slot.renew_child()
        except JailError as error:
            why = str(error)
        finally:
            self._renewing.discard(slot)
        if why:
            _log.warning("a slot is lost", why=why)
            self._end(slot)
            self._serve()  # somebody may have waited for this one
        else:
            self._add(slot)

    async def _rest(self) -> None:
        """Wait a moment, or until somebody calls."""
        rest = asyncio.get_running_loop().create_future()
        self._resting.add(rest)
        try:
            async with asyncio.timeout(_AFTERWARDS_SECONDS):
                await rest
        except TimeoutError:
            pass
        finally:
            self._resting.discard(rest)

    def _add(self, slot: Slot) -> None:
        if self.closed:
            self._end(slot)
            return
        self._ready.append(slot)
        self._serve()
        self._tidy_later()

    def _tidy_later(self) -> None:
        if self._tidying is None and (self._owned() or len(self._ready) > self._options.clean):
            self._tidying = asyncio.get_running_loop().call_later(self._options.idle_seconds, self._tidy)

    def _tidy(self) -> None:
        """End slots that served nobody for a while, and clean ones that nobody came for."""
        self._tidying = None
        since = time.monotonic() - self._options.idle_seconds
        clean = [slot for slot in self._ready if slot.owner is None]
        idle = [slot for slot in self._ready if slot.owner is not None and slot.used < since]
        for slot in idle + clean[self._options.clean :]:
            self._ready.remove(slot)
            self._end(slot)
        self._tidy_later()
        self._serve()

    def _failed(self, why: str) -> None:
        _log.error("no slot could be started", engine=self._launcher.name, why=why)
        self.failure = why
        asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._grow)
        while (caller := self._callers.pop()) is not None:
            if not caller.child.done():
                caller.child.set_exception(Unavailable(f"no slot could be started: {why}", reason="JAIL_UNAVAILABLE"))

    def _end(self, slot: Slot) -> None:
        slot.kill()
        self._begin(self._launcher.discard(slot))

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
