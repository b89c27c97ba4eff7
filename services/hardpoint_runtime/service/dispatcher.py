"""Owns that what was accepted runs: deliveries are taken from the inbox, run, tried again, and settled.

The inbox is a table, so a process that dies loses none. Whoever runs a delivery says every few seconds that it lives;
what a dead process ran is taken up by another one, or by its successor.
"""

import asyncio
import contextlib
import secrets
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import structlog

from hardpoint_kit.background import Looks
from hardpoint_kit.caller import SYSTEM, acting_as
from hardpoint_kit.clock import Clock
from hardpoint_kit.errors import HardpointError, NotFound
from hardpoint_kit.names import ReleaseName, RunName
from hardpoint_kit.telemetry import tracer
from hardpoint_runtime.domain.calls import Occasion
from hardpoint_runtime.domain.deliveries import Delivery
from hardpoint_runtime.domain.releases import WORKFLOW, Effect
from hardpoint_runtime.domain.runs import Run, new_run_name
from hardpoint_runtime.domain.snapshot import Offer
from hardpoint_runtime.domain.triggers import Trigger
from hardpoint_runtime.service.calls import Calls
from hardpoint_runtime.service.workflows import Workflows
from hardpoint_runtime.store import Store, Transaction

AT_ONCE = 16
OF_ONE_ORG = 4
"""What one process runs at the same time, in all and for an org."""
LOOK_SECONDS = 1.0
BEAT_SECONDS = 3.0
LIVES = timedelta(seconds=10)
"""How long a process that says nothing more is believed to live."""

_log = structlog.stdlib.get_logger(__name__)


class Dispatcher:
    """Runs what is accepted, each org in its turn; `wake` says that there is more."""

    def __init__(self, store: Store, calls: Calls, workflows: Workflows, clock: Clock) -> None:
        self._store = store
        self._calls = calls
        self._workflows = workflows
        self._clock = clock
        self._owner = secrets.token_hex(8)
        self._running: dict[asyncio.Task[None], Delivery] = {}
        self._taking = Looks(self._take, LOOK_SECONDS, "deliveries")
        self._beating = Looks(self._beat, BEAT_SECONDS, "deliveries")

    async def start(self) -> None:
        """Run what waits, and what comes from now on."""
        self._taking.start()
        self._beating.start()

    async def stop(self) -> None:
        """Take nothing more, let what runs end, and leave what does not to others."""
        await self._taking.stop()
        if self._running:
            await asyncio.wait(self._running)
        await self._beating.stop()

    def wake(self) -> None:
        """There is something new to run."""
        self._taking.wake()

    async def _take(self) -> bool:
        """Begin as much of what is due as there is room for; what ends makes more."""
        free = AT_ONCE - len(self._running)
        if free <= 0:
            return False
        running = Counter(delivery.name.org for delivery in self._running.values())
        full = [org for org, count in running.items() if count >= OF_ONE_ORG]
        room = OF_ONE_ORG - max((count for count in running.values() if count < OF_ONE_ORG), default=0)
        now = self._clock.now()
        async with self._store.transaction(SYSTEM()) as tx:
            claimed = await tx.deliveries.claim(self._owner, now, now + LIVES, free, room, full)
        for delivery in claimed:
            task = asyncio.create_task(self._run(delivery))
            self._running[task] = delivery
            task.add_done_callback(self._ended)
        return False

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._taking.wake()

    async def _run(self, delivery: Delivery) -> None:
        """Make one attempt and settle it; what cannot be settled stays running, and is taken up later."""
        run = new_run_name(delivery.name.org, self._clock.now())
        try:
            async with self._store.transaction(SYSTEM(run.org)) as tx:
                trigger = await tx.triggers.get(delivery.name.trigger_name)
                if not await tx.deliveries.started(delivery, self._owner, str(run)):
                    return
            with tracer.start_as_current_span(f"trigger {trigger.name.trigger}"):
                settled = await self._attempted(trigger, delivery, run)
            async with self._store.transaction(SYSTEM(run.org)) as tx:
                await tx.deliveries.settle(settled, self._owner)
        except HardpointError as error:
            _log.warning(
                "a delivery is not settled", delivery=str(delivery.name), reason=error.reason, problem=error.loggable
            )
        except Exception:
            _log.exception("a delivery is not settled", delivery=str(delivery.name))

    async def _attempted(self, trigger: Trigger, delivery: Delivery, run: RunName) -> Delivery:
        repeatable = False
        release = ReleaseName.parse(delivery.release) if delivery.release else None
        agent, who = trigger.name.agent_name, delivery.caller(trigger)
        try:
            with acting_as(who):
                offer = await self._calls.offered(agent, trigger.action, release)
                repeatable = _repeatable(offer)
                variables = delivery.variables(trigger)
                value = trigger.input_for(variables)
                if _goes_on(offer):
                    return await self._begun(trigger, delivery, offer, offer.input.admit(offer.name, value), variables)
                occasion = Occasion(run, delivery.key, delivery.depth, bool(delivery.run), delivery.root)
                await self._calls.call_for(who, agent, offer, value, occasion)
        except HardpointError as error:
            return delivery.failed(error, repeatable, self._clock.now())
        return delivery.delivered(run)

    async def _begun(
        self,
        trigger: Trigger,
        delivery: Delivery,
        offer: Offer,
        value: Mapping[str, Any],
        variables: Mapping[str, Any],
    ) -> Delivery:
        """Begin a run that goes on by itself, in the transaction that settles the delivery: both or neither."""
        about = {**variables["trigger"], **_brought(variables["event"])}
        starters = (*trigger.authors, *filter(None, [delivery.replayed_by]))
        agent = trigger.name.agent_name
        who, depth, root = delivery.caller(trigger), delivery.depth, delivery.root
        workflow = await self._workflows.prepare(
            who, agent, offer, value, about, starters=starters, depth=depth, root=root
        )
        delivered = delivery.delivered(workflow.name)
        async with self._store.transaction(trigger.caller) as tx:
            if await tx.deliveries.settle(delivered, self._owner):
                await tx.workflows.add(workflow)
        return delivered

    async def _beat(self) -> bool:
        """Say that what runs here does, and settle what was left: by a process that died, or by a task."""
        now = self._clock.now()
        async with self._store.transaction(SYSTEM()) as tx:
            await tx.deliveries.keep(self._owner, [*self._running.values()], now + LIVES)
        # Others may be slow to say what was left; who does not say in time that it lives has its own run twice.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BEAT_SECONDS):
                while await self._take_up(now):
                    pass
        self._taking.wake()
        return False

    async def _take_up(self, now: datetime) -> bool:
        """Settle one delivery that was left; whether there was any."""
        async with self._store.transaction(SYSTEM()) as tx:
            left = await tx.deliveries.left(now, 1)
            for delivery in left:
                _log.warning("a delivery was left running", delivery=str(delivery.name), run=delivery.run)
                await tx.deliveries.settle(await self._taken_up(tx, delivery))
        return bool(left)

    async def _taken_up(self, tx: Transaction, delivery: Delivery) -> Delivery:
        recorded: Run | None = None
        repeatable = False
        with contextlib.suppress(NotFound):
            recorded = await tx.runs.get(RunName.parse(delivery.run)) if delivery.run else None
        if recorded is None and delivery.run:
            trigger = await tx.triggers.get(delivery.name.trigger_name)
            release = ReleaseName.parse(delivery.release) if delivery.release else None
            with contextlib.suppress(HardpointError), acting_as(trigger.caller):
                repeatable = _repeatable(await self._calls.offered(trigger.name.agent_name, trigger.action, release))
        return delivery.taken_up(recorded, repeatable, self._clock.now())


def _goes_on(offer: Offer) -> bool:
    """Whether its run goes on by itself once it is begun: a workflow's, and what somebody has to approve."""
    return offer.attached.release.kind == WORKFLOW or offer.name.action in offer.attached.approvals


def _repeatable(offer: Offer) -> bool:
    """Whether it may run twice for one event; a run that goes on by itself is begun once or not at all."""
    return _goes_on(offer) or offer.action.effect is Effect.READ or offer.action.idempotent


def _brought(event: Any) -> dict[str, Any]:
    """What a plan finds in `trigger` of the event itself: `trigger.file` of an upload."""
    return {"file": event["file"]} if isinstance(event, Mapping) and "file" in event else {}
