"""Owns the slots that are there: whom each serves, when one is started, renewed or ended, and whose call comes next.

A slot serves one capability of one organisation and never another. A call gets a slot that serves its capability, else
a clean one, which then serves it. When neither is there, a slot of an organisation that took more, or one that was not
used just now, makes room for a new one: who makes few and short calls keeps a warm slot beside those who do not. A
slot ends after a call that did not end in a result or an error of the plugin's own, after so many calls, and when idle.
New ones are started beside the calls, so that nobody waits for a renewal as long as a clean one is there.

Where the calls of a run may share a child, it is stopped after one of them and waits for the next for a few seconds. It
is a favour: whoever else has nothing to be served by has it ended, and a call that finds none has a new one.
"""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass

import structlog

from hardpoint_executor.limits import seconds, whole

from .launch import Launcher
from .line import Caller, Line, Owner
from .nsjail import JailError
from .sharing import Shared
from .slot import Child, Slot
from .supply import Supply

_log = structlog.get_logger(__name__)

_AFTERWARDS_SECONDS = 0.002
"""Cloning takes a processor for a moment; when nobody waits, the answer of the call that has ended goes first."""
_GROW_SECONDS = 0.02
"""A start costs as much as a dozen calls: what waits for less finds a slot that has become free."""
_START_SECONDS = 0.1
"""What a call is charged for a slot that has to end after it, about what another one costs to start."""
_JUST_NOW_SECONDS = 0.25
"""Who used a slot so lately is likely to use it again."""
_CHILD_SECONDS = seconds("slots.shared_seconds")
"""For so long at most a child serves the calls of one run."""


@dataclass(frozen=True, slots=True)
class SlotOptions:
    """How many slots there are at most, how many wait clean and start at once, how long each serves, and the queue."""

    most: int = whole("slots.most")
    clean: int = whole("slots.clean")
    starting: int = whole("slots.starting")
    calls: int = whole("slots.calls")
    """What the calls of one slot have in common is its address layout and hash seed: not for longer than this."""
    idle_seconds: float = seconds("slots.idle_seconds")
    rest_seconds: float = seconds("slots.rest_seconds")
    """For so long a child waits for another call of its run."""
    queue: int = whole("queue.calls")
    queue_seconds: float = seconds("queue.seconds")


class Slots(Supply[Slot, Child]):
    """Hands out children of slots, each to one call."""

    def __init__(self, launcher: Launcher[Slot], options: SlotOptions) -> None:
        super().__init__(launcher, Line(options.queue, launcher.name, options.queue_seconds), options.most)
        self._options = options
        self._ready: list[Slot] = []
        """Slots whose child waits for a call, the last used last."""
        self._renewing: set[Slot] = set()
        """Slots that get another child."""
        self._resting: set[asyncio.Future[None]] = set()
        """Of renewals that wait for the answer of a call to go first."""
        self._found: Slot | None = None
        """Of the call that was looked at last."""
        self._growth: asyncio.TimerHandle | None = None
        self._tidying: asyncio.TimerHandle | None = None

    async def take(self, org: str, capability: str, depth: int = 0, shared: Shared | None = None) -> Child:
        """Return a child for one call; see `Supply.take`."""
        for rest in self._resting:
            if not rest.done():
                rest.set_result(None)
        return await super().take(org, capability, depth, shared)

    def discard(self, child: Child, well: bool, rests: bool = False) -> None:
        """Kill a child that was taken, unless it `rests`; its slot serves another call if this one ended `well`."""
        slot = child.slot
        rests = rests and time.monotonic() - slot.child_since < _CHILD_SECONDS
        if not rests:
            child.kill()
        self._take_back(slot, 0.0 if well else _START_SECONDS)
        slot.calls += 1
        slot.used = time.monotonic()
        once = slot.owner is None or not slot.owner[1]
        over = self._total() >= self._most
        if self.closed or once or not well or over or slot.calls >= self._options.calls or self._owed_to_another(slot):
            self._end(slot)
        elif rests:
            asyncio.get_running_loop().call_later(self._options.rest_seconds, self._wait_no_longer, slot, slot.calls)
            self._ready.append(slot)
            self._tidy_later()
        else:
            self._renew_child(slot)
        self._serve()

    def end_run(self, org: str, run: str) -> None:
        """Let no child wait for another call of this run."""
        for slot in [slot for slot in self._ready if slot.shared is not None and slot.shared.is_of(org, run)]:
            self._clear(slot)

    async def close(self) -> None:
        """Kill every child and every slot, and wait until no process is left."""
        for timer in (self._growth, self._tidying):
            if timer is not None:
                timer.cancel()
        await super().close()

    def _serve(self) -> None:
        """Give children that wait to calls that wait, by turns, and start what is then missing."""
        while (caller := self._line.next(self._may_be_served)) is not None:
            slot = self._found
            assert slot is not None
            assert slot.child is not None
            self._ready.remove(slot)
            if slot.shared is None:
                slot.child_since = time.monotonic()
            else:
                slot.child.go_on()
            slot.owner, slot.shared = caller.owner, caller.shared
            self._give(slot, slot.child, caller)
        self._clear_for_others()
        if self._unserved():
            self._start_missing()
        elif self._growth is None and not self.closed:
            self._growth = asyncio.get_running_loop().call_later(_GROW_SECONDS, self._start_missing)

    def _may_be_served(self, caller: Caller[Child]) -> bool:
        """Whether there is a slot for a call, and which: the last one that was found is for the call that is next."""
        self._found = self._slot_for(caller) if self._may_have_a_place(caller) else None
        return self._found is not None

    def _slot_for(self, caller: Caller[Child]) -> Slot | None:
        """The slot that served this capability last, else a clean one.

        Where there is no room for another, a call rather waits for a slot of its own that comes back in a moment.
        """
        for slot in [slot for slot in self._ready if not slot.alive]:
            self._ready.remove(slot)
            self._end(slot)
        own = [slot for slot in self._ready if slot.owner == caller.owner and slot.shared in (None, caller.shared)]
        for slot in [slot for slot in own if slot.shared is not None]:
            assert slot.child is not None
            if slot.child.waits:
                return slot
            own.remove(slot)
            self._clear(slot)
        if own:
            return own[-1]
        others = sum(other.owner == caller.owner and other is not caller for other in self._line)
        coming = sum(slot.owner == caller.owner for slot in self._renewing)
        if coming > others and self._total() >= self._most:
            return None
        return next((slot for slot in self._ready if slot.owner is None), None)

    def _clear_for_others(self) -> None:
        """Have children that wait for the next call of a run make room for other calls of their capability."""
        resting = [slot for slot in self._ready if slot.shared is not None]
        if not resting:
            return
        waiting = Counter(caller.owner for caller in self._line if self._may_have_a_place(caller))
        waiting.subtract(slot.owner for slot in self._renewing if slot.owner is not None)
        for slot in resting:
            if slot.owner is not None and waiting[slot.owner] > 0:
                waiting[slot.owner] -= 1
                self._clear(slot)

    def _something_starts(self) -> bool:
        return bool(self._starts or self._renewing)

    def _wait_no_longer(self, slot: Slot, calls: int) -> None:
        """Wait no longer for another call of a run, when there was none since."""
        if slot in self._ready and slot.shared is not None and slot.calls == calls:
            self._clear(slot)

    def _clear(self, slot: Slot) -> None:
        """Give an idle slot another child in place of the one that served calls of a run."""
        assert slot.child is not None
        slot.child.kill()
        self._ready.remove(slot)
        self._renew_child(slot)

    def _renew_child(self, slot: Slot) -> None:
        self._renewing.add(slot)
        self._begin(self._renew(slot))

    def _unserved(self) -> set[Owner]:
        """Who waits and is owed a slot: capabilities without one, of organisations with less than their share."""
        if not self._line:
            return set()
        owned = self._owned()
        held, orgs = Counter(owned), Counter(org for org, _ in owned)
        waiting = {caller.owner for caller in self._line}
        share = self._places // max(1, len(orgs.keys() | {org for org, _ in waiting}))
        return {owner for owner in waiting if not held[owner] or orgs[owner[0]] < share}

    def _owned(self) -> list[Owner]:
        slots = (*self._ready, *self._taken, *self._renewing)
        return [slot.owner for slot in slots if slot.owner is not None]

    def _owed_to_another(self, slot: Slot) -> bool:
        """Whether this slot, just free, makes room for a capability that has none, of whoever took no more."""
        if slot.owner is None or self._total() < self._most:
            return False
        owed = [owner for owner in self._unserved() if owner != slot.owner and self._goes_before(owner[0], slot)]
        return len(owed) > len(self._starts)

    def _goes_before(self, org: str, slot: Slot) -> bool:
        """Whether an organisation may have what an idle slot holds although it is about to be used again."""
        assert slot.owner is not None
        return org == slot.owner[0] or self._line.taken(org) < self._line.taken(slot.owner[0])

    @property
    def _most(self) -> int:
        return self._places + self._more()

    def _total(self) -> int:
        return len(self._ready) + len(self._taken) + len(self._renewing) + len(self._starts)

    def _start_missing(self) -> None:
        """Start slots: for who is owed one, for who waits as far as there is room, and to have clean ones ready."""
        if self._growth is not None:
            self._growth.cancel()
            self._growth = None
        if self.closed:
            return
        unserved = self._unserved()
        clean = sum(slot.owner is None for slot in self._ready)
        missing = self._owed(max(self._options.clean - clean, len(self._line)) - len(self._starts))
        for _ in range(min(missing, self._options.starting - len(self._starts))):
            if self._total() >= self._most:
                idle = self._dispensable(unserved) if len(self._starts) < len(unserved) else self._spare()
                if idle is None:
                    self._look_again()
                    return
                self._ready.remove(idle)
                self._end(idle)
            self._start()

    def _look_again(self) -> None:
        """While calls wait, slots become idle without a word."""
        if self._line:
            self._growth = asyncio.get_running_loop().call_later(_JUST_NOW_SECONDS, self._start_missing)

    def _dispensable(self, unserved: set[Owner]) -> Slot | None:
        """The idle slot of whoever took most, of those that are not about to be used by somebody who goes before."""
        since = time.monotonic() - _JUST_NOW_SECONDS
        idle = [
            (self._line.taken(slot.owner[0]), slot)
            for slot in self._ready
            if slot.owner is not None
            and (slot.used < since or any(self._goes_before(org, slot) for org, _ in unserved))
        ]
        return max(idle, key=lambda pair: pair[0], default=(0.0, None))[1]

    def _spare(self) -> Slot | None:
        """An idle slot of an organisation whose calls wait for slots of another capability of its own."""
        since = time.monotonic() - _JUST_NOW_SECONDS
        waiting = {caller.owner for caller in self._line}
        orgs = {org for org, _ in waiting}
        for slot in self._ready:
            if slot.owner is not None and slot.owner not in waiting and slot.owner[0] in orgs and slot.used < since:
                return slot
        return None

    async def _renew(self, slot: Slot) -> None:
        if not self._line:
            await self._rest()
        why = ""
        try:
            await slot.renew_child()
        except JailError as error:
            why = str(error)
        finally:
            self._renewing.discard(slot)
        if self.closed:
            self._end(slot)
        elif why:
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
        self._ready.append(slot)
        self._serve()
        self._tidy_later()

    def _idle(self) -> list[Slot]:
        return [self._ready.pop() for _ in range(len(self._ready))]

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
