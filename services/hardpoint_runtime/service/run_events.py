"""Owns that events of runs come to triggers: each once, after the commit of what happened, over restarts and processes.

What happened is taken out of its table in the transaction that writes its deliveries.
"""

import asyncio

import structlog

from hardpoint_kit.background import Background
from hardpoint_kit.caller import SYSTEM
from hardpoint_kit.clock import Clock
from hardpoint_kit.errors import HardpointError
from hardpoint_runtime.domain.deliveries import Delivery, DeliveryState
from hardpoint_runtime.domain.triggers import Trigger
from hardpoint_runtime.service.dispatcher import Dispatcher
from hardpoint_runtime.service.inbox import MOST_WAITING
from hardpoint_runtime.store import Store
from hardpoint_runtime.store.run_events import RunEvent

LOOK_SECONDS = 1.0
BATCH = 100

_log = structlog.stdlib.get_logger(__name__)


class RunEvents:
    """Writes a delivery for each trigger of a run's org that waits for what happened to it."""

    def __init__(self, store: Store, dispatcher: Dispatcher, clock: Clock) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._clock = clock
        self._looking = Background(self._look_forever)

    async def start(self) -> None:
        """Look once a second from now on."""
        self._looking.start()

    async def stop(self) -> None:
        """Stop; what happens meanwhile is told later."""
        await self._looking.stop()

    async def look(self) -> int:
        """Tell what happened; how much it was."""
        async with self._store.transaction(SYSTEM()) as tx:
            events = await tx.run_events.take(BATCH)
            for event in events:
                for trigger in await tx.triggers.waiting_for(event.org, event.event):
                    waiting = await tx.deliveries.waiting(event.org, MOST_WAITING)
                    await tx.deliveries.add_once(self._delivery(trigger, event, has_room=waiting < MOST_WAITING))
        if events:
            self._dispatcher.wake()
        return len(events)

    def _delivery(self, trigger: Trigger, event: RunEvent, *, has_room: bool) -> Delivery:
        depth = event.depth + 1
        made = Delivery.of(trigger.name, event.body, {}, self._clock.now(), provider_id=event.id, depth=depth)
        judged = made.judged(trigger, made.variables(trigger))
        if judged.state is not DeliveryState.ACCEPTED:
            return judged
        if not has_room:
            return judged.refused("RESOURCE_EXHAUSTED", f"{MOST_WAITING} deliveries of the org wait already")
        bounded = judged.bounded()
        if bounded.state is DeliveryState.REFUSED:
            _log.warning("runs start each other by events", trigger=str(trigger.name), happened=event.id)
        return bounded

    async def _look_forever(self) -> None:
        while True:
            try:
                while await self.look() == BATCH:
                    pass
            except HardpointError as error:
                _log.warning("events wait", reason=error.reason, problem=error.message)
            except Exception:
                _log.exception("events wait")  # a defect, which must not end the loop
            await asyncio.sleep(LOOK_SECONDS)
