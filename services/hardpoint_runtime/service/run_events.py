"""Owns that events of runs come to triggers: each once, after the commit of what happened, over restarts and processes.

What happened is taken out of its table in the transaction that writes its deliveries.
"""

from dataclasses import replace

from hardpoint_kit.background import Looks
from hardpoint_kit.caller import SYSTEM
from hardpoint_kit.clock import Clock
from hardpoint_kit.names import RunName
from hardpoint_runtime.domain.deliveries import Delivery, DeliveryState
from hardpoint_runtime.domain.triggers import Trigger
from hardpoint_runtime.service.dispatcher import Dispatcher
from hardpoint_runtime.service.room import Arrivals
from hardpoint_runtime.store import Store, Transaction
from hardpoint_runtime.store.run_events import RunEvent

REST_SECONDS = 5.0
"""Between two looks while nothing is heard: what is written is told to every process."""
BATCH = 100


class RunEvents:
    """Writes a delivery for each trigger of a run's org that waits for what happened to it; `wake` when it did."""

    def __init__(self, store: Store, dispatcher: Dispatcher, clock: Clock) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._clock = clock
        self._arrivals = Arrivals()
        self._looks = Looks(self._look, REST_SECONDS, "events")

    async def start(self) -> None:
        """Look from now on: when something is said to have happened, and every few seconds."""
        self._looks.start()

    async def stop(self) -> None:
        """Stop; what happens meanwhile is told later."""
        await self._looks.stop()

    def hear(self, _payload: str) -> None:
        """Something happened."""
        self._looks.wake()

    async def _look(self) -> bool:
        """Tell what happened; whether there may be more."""
        async with self._store.transaction(SYSTEM()) as tx:
            events = await tx.run_events.take(BATCH)
            for event in events:
                for trigger in await tx.triggers.waiting_for(event.org, event.event):
                    await self._arrivals.write(tx, await self._delivery(tx, trigger, event))
        if events:
            self._dispatcher.wake()
        return len(events) == BATCH

    async def _delivery(self, tx: Transaction, trigger: Trigger, event: RunEvent) -> Delivery:
        made = Delivery.of(trigger.name, event.body, {}, self._clock.now(), provider_id=event.id)
        made = replace(made, depth=event.depth + 1, root=event.root)
        judged = made.judged(trigger, made.variables(trigger))
        if judged.state is not DeliveryState.ACCEPTED:
            return judged
        return judged.bounded(await tx.children.full(RunName(event.org, event.root)))
