"""Uploads come to the triggers that wait for them, each once."""

from typing import Any

from hardpoint.manifest.v1.manifest_pb2 import Verifier
from hardpoint.runtime.v1 import trigger_pb2
from hardpoint_runtime.service import room
from runtime.conftest import AGENT, Client, eventually
from runtime.fakes import Gate
from runtime.triggers import create, history, settled, states


async def upload_trigger(client: Client, **given: Any) -> trigger_pb2.Trigger:
    given = {"filter": "file.type == 'pdf' && file.name.contains('invoice')", **given}
    kind, wanted = trigger_pb2.TRIGGER_TYPE_EVENT, {"location": "${event.file.name}"}
    return await create(client, "files", type=kind, event="file.uploaded", verifier=Verifier(), input=wanted, **given)


async def test_an_upload_that_fulfils_the_filter_runs_once_and_another_starts_nothing(attached, another, fakes, clock):
    await another()
    trigger = await upload_trigger(attached)
    fakes.files.upload("orgs/acme/files/f1", "invoice-1.pdf", "application/pdf")
    await settled(attached, "DELIVERED", name=trigger.name)
    clock.move(seconds=1)
    fakes.files.upload("orgs/acme/files/f2", "photo.png", "image/png")
    fakes.files.upload("orgs/other/files/f3", "invoice-3.pdf", "application/pdf")
    await settled(attached, "DELIVERED", "FILTERED", name=trigger.name)
    ran, filtered = await history(attached, trigger.name)
    assert (ran.provider_id, filtered.provider_id) == ("orgs/acme/files/f1", "orgs/acme/files/f2")
    assert [execution.input for execution in fakes.executor.executions] == [{"location": "invoice-1.pdf"}]


async def test_uploads_are_heard_of_from_where_listening_ended(attached, another, fakes, query):
    trigger = await upload_trigger(attached, filter="")
    fakes.files.upload("orgs/acme/files/f1", "a.pdf", "application/pdf")
    await settled(attached, "DELIVERED", name=trigger.name)
    assert fakes.files.asked_after[0] == ""
    await another()

    async def heard() -> bool:
        return fakes.files.asked_after[1:] == ["1"]

    await eventually(heard)
    assert await query("SELECT cursor FROM uploads_heard") == [("1",)]


async def test_a_paused_trigger_hears_of_no_upload(attached, fakes):
    trigger = await upload_trigger(attached, filter="file.media_type == 'application/pdf'")
    await attached.triggers.PauseTrigger(trigger_pb2.PauseTriggerRequest(name=trigger.name))
    fakes.files.upload("orgs/acme/files/f1", "a.pdf", "application/pdf")
    await create(attached, "all", type=trigger_pb2.TRIGGER_TYPE_EVENT, event="file.uploaded", verifier=Verifier())
    fakes.files.upload("orgs/acme/files/f2", "b.pdf", "application/pdf")
    await eventually(lambda: came(attached, f"{AGENT}/triggers/all"))
    assert await states(attached, trigger.name) == []


async def test_uploads_to_an_org_that_has_enough_waiting_are_refused(attached, fakes, monkeypatch):
    monkeypatch.setattr(room, "MOST_WAITING", 1)
    fakes.executor.behave = gate = Gate()
    trigger = await upload_trigger(attached, filter="")
    for number, became in ((1, ["RUNNING"]), (2, ["REFUSED", "RUNNING"])):
        fakes.files.upload(f"orgs/acme/files/f{number}", "a.pdf", "application/pdf")
        await eventually(lambda became=became: are(attached, trigger.name, became))
    gate.released.set()
    await eventually(lambda: are(attached, trigger.name, ["DELIVERED", "REFUSED"]))


async def are(client: Client, name: str, wanted: list[str]) -> bool:
    return sorted(await states(client, name)) == wanted


async def came(client: Client, name: str) -> bool:
    return bool(await states(client, name))
