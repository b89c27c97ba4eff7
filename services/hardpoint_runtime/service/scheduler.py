"""Owns that schedules come: each time once over all processes, in the transaction that plans the next.

What was missed while nobody ran is made up for once, however often it was missed.
"""

import json
from dataclasses import replace
from datetime import datetime

import structlog

from hardpoint_kit.background import Looks
from hardpoint_kit.caller import SYSTEM
from hardpoint_kit.clock import Clock
from hardpoint_runtime.domain.deliveries import Delivery
from hardpoint_runtime.domain.triggers import Trigger
from hardpoint_runtime.service.dispatcher import Dispatcher
from hardpoint_runtime.service.room import bounded
from hardpoint_runtime.store import Store

LOOK_SECONDS = 1.0
BATCH = 100

_log = structlog.stdlib.get_logger(__name__)


class Scheduler:
    """Writes a delivery for each schedule whose time has come."""

    def __init__(self, store: Store, dispatcher: Dispatcher, clock: Clock) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._clock = clock
        self._looks = Looks(self.tick, LOOK_SECONDS, "schedules")

    async def start(self) -> None:
        """Look once a second from now on."""
        self._looks.start()

    async def stop(self) -> None:
        """Stop; what comes meanwhile is made up for later."""
        await self._looks.stop()

    async def tick(self) -> bool:
        """Write what is due now; whether there may be more."""
        now = self._clock.now()
        async with self._store.transaction(SYSTEM()) as tx:
            due = await tx.triggers.due(now, BATCH)
            for trigger in due:
                await tx.deliveries.add(await bounded(tx, _delivery(trigger)))
                await tx.triggers.plan(_planned(trigger, now))
        if due:
            self._dispatcher.wake()
        return len(due) == BATCH


def _planned(trigger: Trigger, now: datetime) -> Trigger:
    """The trigger with its next time; without any where that cannot be told, which holds up nobody else's."""
    try:
        return trigger.planned(now)
    except Exception:
        _log.exception("a schedule comes no more until it is changed or resumed", trigger=str(trigger.name))
        return replace(trigger, next_at=None)


def _delivery(trigger: Trigger) -> Delivery:
    assert trigger.next_at is not None
    time = trigger.next_at.isoformat().replace("+00:00", "Z")
    body = json.dumps({"time": time, "schedule": trigger.schedule}).encode()
    due = Delivery.of(trigger.name, body, {}, trigger.next_at, provider_id=time)
    return due.judged(trigger, due.variables(trigger))
