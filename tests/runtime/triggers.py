"""Triggers as tests make them, what comes to them, and what became of it."""

import json
from typing import Any

from hardpoint.manifest.v1.manifest_pb2 import Verifier
from hardpoint.runtime.v1 import trigger_pb2
from hardpoint_kit.documents import to_struct
from runtime.conftest import AGENT, TOOL, Client, eventually

NAME = f"{AGENT}/triggers/hook"
SLACK = Verifier(kind="slack", secret="SIGNING_SECRET")
INPUT = {"location": "${event.event.text}"}


async def create(client: Client, trigger_id: str = "hook", request_id: str = "", **given: Any) -> trigger_pb2.Trigger:
    given.setdefault("type", trigger_pb2.TRIGGER_TYPE_WEBHOOK)
    given.setdefault("action", TOOL)
    given.setdefault("verifier", SLACK)
    given["input"] = to_struct(given.get("input", INPUT))
    request = trigger_pb2.CreateTriggerRequest(
        parent=AGENT, trigger_id=trigger_id, trigger=trigger_pb2.Trigger(**given), request_id=request_id
    )
    return await client.triggers.CreateTrigger(request)


async def history(client: Client, name: str = NAME) -> list[Any]:
    """What came, the oldest first."""
    listed = await client.triggers.ListDeliveries(trigger_pb2.ListDeliveriesRequest(parent=name))
    return list(reversed(listed.deliveries))


async def states(client: Client, name: str = NAME) -> list[str]:
    found = await history(client, name)
    return [trigger_pb2.DeliveryState.Name(one.state).removeprefix("DELIVERY_STATE_") for one in found]


async def settled(client: Client, *wanted: str, name: str = NAME) -> None:
    async def holds() -> bool:
        return await states(client, name) == list(wanted)

    try:
        await eventually(holds)
    except TimeoutError:
        assert await history(client, name) == wanted


def slack_event(text: str = "Oslo", event_id: str = "Ev1") -> bytes:
    return json.dumps({"type": "event_callback", "event_id": event_id, "event": {"text": text}}).encode()
