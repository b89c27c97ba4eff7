"""Owns TriggerService on the wire: triggers, their history, and what the door brings."""

from dataclasses import asdict
from datetime import UTC

from hardpoint.manifest.v1 import manifest_pb2
from hardpoint.runtime.v1 import trigger_pb2, trigger_pb2_grpc
from hardpoint_kit.caller import caller
from hardpoint_kit.documents import from_struct, to_struct
from hardpoint_kit.idempotency import request_fingerprint
from hardpoint_kit.names import AgentName, DeliveryName, InstallationName, ReleaseName, TriggerName
from hardpoint_runtime.domain.deliveries import Delivery
from hardpoint_runtime.domain.triggers import Asked, Trigger, TriggerType
from hardpoint_runtime.peers.registry import verifier_from_proto
from hardpoint_runtime.rpc.shared import Context, window
from hardpoint_runtime.service.inbox import Inbox, Posted
from hardpoint_runtime.service.triggers import Triggers


class TriggerRpc(trigger_pb2_grpc.TriggerServiceServicer):
    """TriggerService over the use cases; `door_url` is what the addresses of webhooks begin with."""

    def __init__(self, triggers: Triggers, inbox: Inbox, door_url: str) -> None:
        self._triggers = triggers
        self._inbox = inbox
        self._door_url = door_url.rstrip("/")

    async def CreateTrigger(self, request: trigger_pb2.CreateTriggerRequest, context: Context) -> trigger_pb2.Trigger:
        """Make a trigger."""
        agent = AgentName.parse(request.parent, "parent")
        name = TriggerName(agent.org, agent.agent, request.trigger_id)
        asked = asked_from(request.trigger)
        return self._packed(
            await self._triggers.create_trigger(caller(context), name, asked, request_fingerprint(request))
        )

    async def GetTrigger(self, request: trigger_pb2.GetTriggerRequest, context: Context) -> trigger_pb2.Trigger:
        """Show a trigger."""
        return self._packed(await self._triggers.get_trigger(caller(context), TriggerName.parse(request.name)))

    async def ListTriggers(
        self, request: trigger_pb2.ListTriggersRequest, context: Context
    ) -> trigger_pb2.ListTriggersResponse:
        """Show a page of an agent's triggers."""
        agent = AgentName.parse(request.parent, "parent")
        page = await self._triggers.list_triggers(caller(context), agent, window(request, request))
        return trigger_pb2.ListTriggersResponse(
            triggers=map(self._packed, page.items), next_page_token=page.next_page_token
        )

    async def UpdateTrigger(self, request: trigger_pb2.UpdateTriggerRequest, context: Context) -> trigger_pb2.Trigger:
        """Change a trigger."""
        given = request.trigger
        changed = await self._triggers.update_trigger(
            caller(context),
            TriggerName.parse(given.name, "trigger.name"),
            asked_from(given),
            request.update_mask.paths,
            given.etag,
            request_fingerprint(request),
        )
        return self._packed(changed)

    async def PauseTrigger(self, request: trigger_pb2.PauseTriggerRequest, context: Context) -> trigger_pb2.Trigger:
        """Refuse its events."""
        name = TriggerName.parse(request.name)
        return self._packed(await self._triggers.pause_trigger(caller(context), name, request_fingerprint(request)))

    async def ResumeTrigger(self, request: trigger_pb2.ResumeTriggerRequest, context: Context) -> trigger_pb2.Trigger:
        """Accept its events."""
        name = TriggerName.parse(request.name)
        return self._packed(await self._triggers.resume_trigger(caller(context), name, request_fingerprint(request)))

    async def DeleteTrigger(
        self, request: trigger_pb2.DeleteTriggerRequest, context: Context
    ) -> trigger_pb2.DeleteTriggerResponse:
        """Remove a trigger."""
        name = TriggerName.parse(request.name)
        await self._triggers.delete_trigger(caller(context), name, request_fingerprint(request))
        return trigger_pb2.DeleteTriggerResponse()

    async def ListDeliveries(
        self, request: trigger_pb2.ListDeliveriesRequest, context: Context
    ) -> trigger_pb2.ListDeliveriesResponse:
        """Show a page of what came."""
        name = TriggerName.parse(request.parent, "parent")
        page = await self._triggers.list_deliveries(caller(context), name, window(request, request))
        return trigger_pb2.ListDeliveriesResponse(
            deliveries=map(delivery_to_proto, page.items), next_page_token=page.next_page_token
        )

    async def ReplayDelivery(
        self, request: trigger_pb2.ReplayDeliveryRequest, context: Context
    ) -> trigger_pb2.Delivery:
        """Have a past event run again."""
        release = ReleaseName.parse(request.release, "release") if request.release else None
        name = DeliveryName.parse(request.name)
        replayed = await self._triggers.replay_delivery(caller(context), name, release, request_fingerprint(request))
        return delivery_to_proto(replayed)

    async def Deliver(self, request: trigger_pb2.DeliverRequest, context: Context) -> trigger_pb2.DeliverResponse:
        """Take what the door brings."""
        at = request.receive_time.ToDatetime(tzinfo=UTC)
        said = await self._inbox.deliver(
            caller(context), Posted(request.token, dict(request.headers), request.body, at)
        )
        return trigger_pb2.DeliverResponse(
            status=said.status, content_type=said.content_type, body=said.body, retry_after=said.retry_after
        )

    def _packed(self, trigger: Trigger) -> trigger_pb2.Trigger:
        return trigger_to_proto(trigger, f"{self._door_url}/hooks/{trigger.token}" if trigger.token else "")


def asked_from(given: trigger_pb2.Trigger) -> Asked:
    """Read what a trigger is to be."""
    named = trigger_pb2.TriggerType.Name(given.type).removeprefix("TRIGGER_TYPE_")
    return Asked(
        display_name=given.display_name,
        type=TriggerType(named) if given.type else None,
        action=given.action,
        input=from_struct(given.input, "trigger.input") if given.HasField("input") else None,
        filter=given.filter,
        declared=given.declared,
        verifier=verifier_from_proto(given.verifier) if given.verifier.kind else None,
        allow_unsigned=given.allow_unsigned,
        schedule=given.schedule,
        time_zone=given.time_zone,
        event=given.event,
        order_by=given.order_by,
    )


def trigger_to_proto(trigger: Trigger, url: str) -> trigger_pb2.Trigger:
    """Write a trigger."""
    return trigger_pb2.Trigger(
        name=str(trigger.name),
        display_name=trigger.display_name,
        type=f"TRIGGER_TYPE_{trigger.type}",
        state=f"TRIGGER_STATE_{trigger.state}",
        action=trigger.action,
        input=to_struct(trigger.input),
        filter=trigger.filter,
        declared=trigger.declared,
        verifier=manifest_pb2.Verifier(**asdict(trigger.verifier)) if trigger.token else None,
        allow_unsigned=trigger.allow_unsigned,
        url=url,
        schedule=trigger.schedule,
        time_zone=trigger.time_zone,
        next_time=trigger.next_at,
        event=trigger.event,
        installation=str(InstallationName(trigger.name.org, trigger.installation)),
        create_time=trigger.revision.created_at,
        update_time=trigger.revision.updated_at,
        etag=trigger.revision.etag,
        made_by=trigger.made_by,
        order_by=trigger.order_by,
    )


def delivery_to_proto(delivery: Delivery) -> trigger_pb2.Delivery:
    """Write a delivery."""
    return trigger_pb2.Delivery(
        name=str(delivery.name),
        state=f"DELIVERY_STATE_{delivery.state}",
        reason=delivery.reason,
        message=delivery.message,
        provider_id=delivery.provider_id,
        size_bytes=delivery.size,
        receive_time=delivery.received_at,
        run=delivery.run,
        attempts=delivery.attempts,
        due_time=delivery.due_at if delivery.state == "ACCEPTED" else None,
        original=delivery.original,
        release=delivery.release,
    )
