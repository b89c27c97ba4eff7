"""An upload that fulfils a trigger's filter starts a run; another one is kept in the history and starts nothing."""

from hardpoint.runtime.v1 import trigger_pb2
from hardpoint_kit.documents import to_struct

from .conftest import eventually
from .test_s16_webhook import asking, history

PDF = b"%PDF-1.4\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF\n"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)


async def test_an_invoice_starts_a_run_and_a_photo_does_not(system, client, agent, add):
    url = system.upstream.serve((200, {"ok": True}))
    await add(asking(url))
    wanted = trigger_pb2.Trigger(
        type=trigger_pb2.TRIGGER_TYPE_EVENT,
        event="file.uploaded",
        action="probe.get",
        input=to_struct({"said": "${event.file.name}"}),
        filter="file.type === 'pdf' && file.name.includes('invoice')",
    )
    request = trigger_pb2.CreateTriggerRequest(parent=agent.name, trigger_id="invoices", trigger=wanted)
    trigger = await client.triggers.CreateTrigger(request)
    await client.upload_file(PDF, "invoice-1.pdf")
    await client.upload_file(PNG, "photo.png")

    async def came() -> dict[str, int]:
        found = {one.provider_id: one.state for one in await history(client, trigger)}
        settled = {trigger_pb2.DELIVERY_STATE_DELIVERED, trigger_pb2.DELIVERY_STATE_FILTERED}
        return found if len(found) == 2 and set(found.values()) == settled else {}

    await eventually(came, seconds=20)
    assert [asked.query for asked in system.upstream.asked(url)] == [{"said": "invoice-1.pdf"}]
