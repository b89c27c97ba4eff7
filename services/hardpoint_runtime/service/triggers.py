"""Owns what operators do with triggers, and with the history of what came to them."""

from collections.abc import Iterable
from dataclasses import replace

from hardpoint_kit.caller import Caller
from hardpoint_kit.clock import Clock
from hardpoint_kit.errors import InvalidArgument
from hardpoint_kit.masks import check_etag
from hardpoint_kit.names import AgentName, DeliveryName, ReleaseName, TriggerName
from hardpoint_kit.paging import Page
from hardpoint_runtime.domain.actions import ActionName
from hardpoint_runtime.domain.deliveries import Delivery
from hardpoint_runtime.domain.paging import Window
from hardpoint_runtime.domain.snapshot import Snapshot
from hardpoint_runtime.domain.triggers import Asked, Trigger
from hardpoint_runtime.service.dispatcher import Dispatcher
from hardpoint_runtime.service.snapshots import Snapshots
from hardpoint_runtime.store import Store, Transaction


class Triggers:
    """Triggers and their history; `fingerprint` tells a write request from others with the same request id."""

    def __init__(self, store: Store, snapshots: Snapshots, dispatcher: Dispatcher, clock: Clock) -> None:
        self._store = store
        self._snapshots = snapshots
        self._dispatcher = dispatcher
        self._clock = clock

    async def create_trigger(self, caller: Caller, name: TriggerName, asked: Asked, fingerprint: str) -> Trigger:
        """Make a trigger of an action that the agent may call; raises AlreadyExists, NotFound, InvalidArgument."""
        snapshot = await self._snapshots.get(name.agent_name)
        if asked.declared:
            asked = _over_declared(snapshot, asked)
        if not asked.action:
            what = f"{asked.declared} names none" if asked.declared else "a trigger runs one"
            raise InvalidArgument(
                {"trigger.action": f"is required: {what}"}, fix="name one that the agent may call: --action weather.get"
            )
        offer = snapshot.admit(ActionName.parse(asked.action))

        async def create(tx: Transaction) -> Trigger:
            trigger = Trigger.new(name, asked, offer.attached.installation, self._clock.now(), caller.subject)
            await tx.agents.get(name.agent_name, lock=True)
            await tx.triggers.add(trigger)
            facts = {"type": trigger.type, "runs": trigger.action, "verifier": trigger.verifier.kind}
            await tx.audit("trigger.create", name, **facts)
            return trigger

        return await self._store.once(caller, "CreateTrigger", fingerprint, Trigger, create)

    async def get_trigger(self, caller: Caller, name: TriggerName) -> Trigger:
        """Return a trigger; raises NotFound."""
        async with self._store.transaction(caller) as tx:
            return await tx.triggers.get(name)

    async def list_triggers(self, caller: Caller, agent: AgentName, window: Window) -> Page[Trigger]:
        """Return a page of an agent's triggers by name; raises NotFound for the agent."""
        async with self._store.transaction(caller) as tx:
            await tx.agents.get(agent)
            return window.page(await tx.triggers.within(agent, window), lambda trigger: trigger.name.trigger)

    async def update_trigger(
        self, caller: Caller, name: TriggerName, asked: Asked, mask: Iterable[str], etag: str, fingerprint: str
    ) -> Trigger:
        """Change what the mask names; raises NotFound, StaleEtag, InvalidArgument."""

        async def update(tx: Transaction) -> Trigger:
            trigger = await tx.triggers.get(name, lock=True)
            check_etag(etag, trigger.revision.etag)
            trigger = trigger.changed(asked, mask, self._clock.now(), caller.subject)
            await tx.triggers.save(trigger)
            await tx.audit("trigger.update", name, verifier=trigger.verifier.kind, unsigned=trigger.allow_unsigned)
            return trigger

        return await self._store.once(caller, "UpdateTrigger", fingerprint, Trigger, update)

    async def pause_trigger(self, caller: Caller, name: TriggerName, fingerprint: str) -> Trigger:
        """Refuse events from now on; what was accepted still runs. Raises NotFound, Conflict."""

        async def pause(tx: Transaction) -> Trigger:
            trigger = (await tx.triggers.get(name, lock=True)).paused(self._clock.now())
            await tx.triggers.save(trigger)
            await tx.audit("trigger.pause", name)
            return trigger

        return await self._store.once(caller, "PauseTrigger", fingerprint, Trigger, pause)

    async def resume_trigger(self, caller: Caller, name: TriggerName, fingerprint: str) -> Trigger:
        """Accept events again, of a schedule those from now on; raises NotFound, Conflict."""

        async def resume(tx: Transaction) -> Trigger:
            trigger = (await tx.triggers.get(name, lock=True)).resumed(self._clock.now())
            await tx.triggers.save(trigger)
            await tx.audit("trigger.resume", name)
            return trigger

        return await self._store.once(caller, "ResumeTrigger", fingerprint, Trigger, resume)

    async def delete_trigger(self, caller: Caller, name: TriggerName, fingerprint: str) -> None:
        """Remove a trigger with its history; its runs stay. Raises NotFound."""

        async def delete(tx: Transaction) -> None:
            await tx.triggers.delete(name)
            await tx.audit("trigger.delete", name)

        await self._store.once(caller, "DeleteTrigger", fingerprint, type(None), delete)

    async def list_deliveries(self, caller: Caller, trigger: TriggerName, window: Window) -> Page[Delivery]:
        """Return a page of a trigger's deliveries, the newest first; raises NotFound for the trigger."""
        async with self._store.transaction(caller) as tx:
            await tx.triggers.get(trigger)
            return window.page(await tx.deliveries.within(trigger, window), lambda one: one.name.delivery)

    async def replay_delivery(
        self, caller: Caller, name: DeliveryName, release: ReleaseName | None, fingerprint: str
    ) -> Delivery:
        """Have a past event run again, with the attached release or a named one; raises NotFound, Conflict."""

        async def replay(tx: Transaction) -> Delivery:
            trigger = await tx.triggers.get(name.trigger_name)
            prefix = ActionName.parse(trigger.action).prefix
            if release is not None and release.capability != await tx.installations.capability_of(name.org, prefix):
                raise InvalidArgument({"release": f"is no release of {trigger.action}"}, fix="name one of its own")
            fresh = (await tx.deliveries.get(name)).replayed(str(release or ""), caller.subject, self._clock.now())
            await tx.deliveries.add(fresh)
            await tx.audit("delivery.replay", name, delivery=fresh.name.delivery, release=release or "")
            return replace(fresh, body=b"")

        replayed = await self._store.once(caller, "ReplayDelivery", fingerprint, Delivery, replay)
        self._dispatcher.wake()
        return replayed


def _over_declared(snapshot: Snapshot, asked: Asked) -> Asked:
    """What is asked, over what the attached release of that capability declares; raises as `Snapshot.admit`."""
    declared = ActionName.parse(asked.declared)
    of_prefix = [found for name, found in snapshot.offers.items() if name.prefix == declared.prefix]
    offers = [offer for found in of_prefix for offer in found]
    best = max(offers, key=lambda offer: offer.attached.priority, default=None)
    if best is None:
        snapshot.admit(declared)
        raise AssertionError("unreachable: what nothing offers is not admitted")
    return asked.over(declared.prefix, best.attached.release.trigger(declared.action))
