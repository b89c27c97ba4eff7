"""An event begins a run of a workflow, once, and its plan knows what came."""

import pytest

from hardpoint.manifest.v1.manifest_pb2 import Verifier
from hardpoint.runtime.v1 import run_pb2, trigger_pb2
from hardpoint_kit.clock import SystemClock
from hardpoint_kit.documents import from_value
from hardpoint_kit.errors import PermissionDenied
from hardpoint_kit.rpc.server import Server
from hardpoint_runtime.server import Options, assemble
from runtime.conftest import Client, Dial, Fakes
from runtime.triggers import create, history, settled
from runtime.workflows import Shop, install, until, workflow
from serving import Serve


@pytest.fixture
async def server(url: str, fakes: Fakes, serve: Serve) -> Server:
    """The one runtime of this process that walks workflows."""
    return await serve(assemble(Options(runtime_database_url=url), SystemClock(), fakes.peers(), tuple))


async def test_an_upload_begins_a_workflow(client: Client, fakes: Fakes) -> None:
    shop = Shop(fakes.executor)
    asked = {"file": "${trigger.file.name}", "by": "${trigger.id}", "given": "${input.file.id}"}
    await install(client, fakes, workflow({"id": "look", "input": asked}))
    trigger = await create(
        client,
        "files",
        type=trigger_pb2.TRIGGER_TYPE_EVENT,
        event="file.uploaded",
        action="orders.run",
        input={"file": "${event.file}"},
        verifier=Verifier(),
    )
    fakes.files.upload("orgs/acme/files/f1", "invoice-1.pdf", "application/pdf")
    await settled(client, "DELIVERED", name=trigger.name)
    (one,) = await history(client, trigger.name)
    ended = await until(client, one.run)
    assert (ended.state, ended.action, ended.subject) == (run_pb2.RUN_STATE_SUCCEEDED, "orders.run", trigger.name)
    gave = await client.runs.GetRunOutput(run_pb2.GetRunOutputRequest(name=one.run))
    assert from_value(gave.output) == {"file": "invoice-1.pdf", "by": "files", "given": "orgs/acme/files/f1"}
    assert shop.asked == ["look"]


async def test_who_made_or_changed_a_trigger_or_had_it_run_again_counts_as_who_started_its_run(
    client: Client, server: Server, fakes: Fakes, dial: Dial
) -> None:
    Shop(fakes.executor)
    ask = {"id": "ask", "does": "approval", "action": "", "input": "Really?", "by": "somebody-else"}
    await install(client, fakes, workflow(ask))
    trigger = await create(
        client,
        "files",
        type=trigger_pb2.TRIGGER_TYPE_EVENT,
        event="file.uploaded",
        action="orders.run",
        input={"file": "${event.file}"},
        verifier=Verifier(),
    )
    grace, eve, mallory = (dial(server, subject=name) for name in ("grace", "eve", "mallory"))
    change = trigger_pb2.UpdateTriggerRequest(trigger=trigger_pb2.Trigger(name=trigger.name, display_name="Files"))
    change.update_mask.paths.append("display_name")
    await grace.triggers.UpdateTrigger(change)

    async def asked(delivery: int) -> run_pb2.ApproveStepRequest:
        run = (await history(client, trigger.name))[delivery].run
        await until(client, run, run_pb2.RUN_STATE_WAITING)
        (step,) = (await client.runs.ListSteps(run_pb2.ListStepsRequest(parent=run))).steps
        return run_pb2.ApproveStepRequest(step=step.name, digest=step.digest)

    async def own(approve: run_pb2.ApproveStepRequest, *callers: Client) -> None:
        for caller in callers:
            with pytest.raises(PermissionDenied) as refused:
                await caller.runs.ApproveStep(approve)
            assert refused.value.reason == "OWN_APPROVAL"

    fakes.files.upload("orgs/acme/files/f1", "invoice-1.pdf", "application/pdf")
    await settled(client, "DELIVERED", name=trigger.name)
    (first,) = await history(client, trigger.name)
    approve = await asked(0)
    await own(approve, client, grace)
    await mallory.triggers.ReplayDelivery(trigger_pb2.ReplayDeliveryRequest(name=first.name))
    await settled(client, "DELIVERED", "DELIVERED", name=trigger.name)
    await own(await asked(1), client, grace, mallory)
    await mallory.runs.ApproveStep(approve)
    await eve.runs.ApproveStep(await asked(1))
    for delivery in await history(client, trigger.name):
        assert (await until(client, delivery.run)).state == run_pb2.RUN_STATE_SUCCEEDED
