"""An event begins a run of a workflow, once, and its plan knows what came."""

import pytest

from hardpoint.manifest.v1.manifest_pb2 import Verifier
from hardpoint.runtime.v1 import run_pb2, trigger_pb2
from hardpoint_kit.clock import SystemClock
from hardpoint_kit.documents import from_value
from hardpoint_kit.rpc.server import Server
from hardpoint_runtime.server import Options, assemble
from runtime.conftest import Client, Fakes
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
