"""Stored files from end to end: uploaded, handed to an action by handle, read in the jail, saved, and taken again."""

import json
from datetime import datetime, timedelta

import pytest

from hardpoint.files.v1 import files_pb2
from hardpoint.manifest.v1 import manifest_pb2
from hardpoint.runtime.v1 import run_pb2
from hardpoint_client import Agent, Hardpoint
from hardpoint_client.client import output_of
from hardpoint_client.files import handle_of
from hardpoint_kit.errors import ActionFailed, InvalidArgument, NotFound
from system.conftest import Add, System, add_file, eventually
from system.orders import orders, start, until

PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + bytes(range(256)) * 2500

PYTHON = b"""
from hardpoint_sdk import action, capability

FILE = {"name": "file", "type": "file", "required": True}
TEXT = {"name": "id", "type": "string"}

@capability(id="copier", name="Copier", version="1.0.0", description="Copies files",
            permissions=["file.read", "file.write", "compute.heavy"])
class Copier:
    @action(description="Copy a file", inputs=[FILE], outputs=[{"name": "copy", "type": "file"}], effect="write")
    async def copy(self, input):
        data = await self.file.open(input["file"])
        name = "copy of " + input["file"]["name"]
        return {"copy": await self.file.save(name, data[::-1], "application/pdf")}

    @action(description="Return much")
    async def flood(self, input):
        return [{"n": n, "text": "x" * 200} for n in range(8000)]

    @action(description="Open what an id names", inputs=[TEXT])
    async def peek(self, input):
        return {"bytes": len(await self.file.open(input["id"]))}
"""
JAVASCRIPT = b"""
export default {
  id: 'copier', name: 'Copier', version: '1.0.0', description: 'Copies files', engine: 'ENGINE',
  permissions: ['file.read', 'file.write', 'compute.heavy'],
  actions: {
    copy: {
      description: 'Copy a file', inputs: [{ name: 'file', type: 'file', required: true }], effect: 'write',
      outputs: [{ name: 'copy', type: 'file' }],
      async run(input) {
        const data = await this.file.open(input.file);
        return { copy: await this.file.save('copy of ' + input.file.name, data.reverse(), 'application/pdf') };
      },
    },
  },
};
"""


async def events(client: Hardpoint) -> list[str]:
    return [event.action for event in reversed((await client.events("files")).events)]


@pytest.mark.parametrize(
    ("source", "filename"),
    [
        (PYTHON, "copier.py"),
        (JAVASCRIPT.replace(b"ENGINE", b"node"), "copier.js"),
        (JAVASCRIPT.replace(b"ENGINE", b"quickjs"), "copier.js"),
    ],
    ids=["python", "node", "quickjs"],
)
async def test_a_file_goes_through_an_action(client: Hardpoint, agent: Agent, source: bytes, filename: str) -> None:
    await add_file(client, agent, source, filename)
    given = await client.upload_file(PDF, "invoice.pdf")
    assert (given.type, given.creator) == ("application/pdf", "tester")
    answer = await client.call(agent.id, "copier.copy", {"file": {"id": given.name}})
    copy = output_of(answer)["copy"]
    assert (copy["name"], copy["type"], copy["size"]) == ("copy of invoice.pdf", "application/octet-stream", len(PDF))
    assert await client.read_file(copy["id"]) == PDF[::-1]
    stored = await client.files.GetFile(files_pb2.GetFileRequest(name=copy["id"]))
    assert (stored.run, stored.creator) == (answer.run, "tester")
    assert {"file.read", "file.write"} <= set(answer.used.permissions)
    assert await events(client) == ["file.upload", "file.open", "file.save", "file.read"]
    again = await client.call(agent.id, "copier.copy", {"file": copy})
    assert await client.read_file(output_of(again)["copy"]["id"]) == PDF


async def test_an_id_in_a_text_opens_nothing(client: Hardpoint, agent: Agent) -> None:
    await add_file(client, agent, PYTHON, "copier.py")
    given = await client.upload_file(PDF, "invoice.pdf")
    with pytest.raises(ActionFailed) as refused:
        await client.call(agent.id, "copier.peek", {"id": given.name})
    assert refused.value.reason == "FILE_NOT_GIVEN"


async def test_another_orgs_file_and_a_guessed_one_are_refused_alike(
    system: System, client: Hardpoint, agent: Agent, org: str
) -> None:
    await add_file(client, agent, PYTHON, "copier.py")
    stranger = system.client(f"{org}-x", subject="stranger")
    foreign = await stranger.upload_file(PDF, "theirs.pdf")
    told = []
    for name in (foreign.name, f"{client.org}/files/{'a' * 26}"):
        with pytest.raises(InvalidArgument) as refused:
            await client.call(agent.id, "copier.copy", {"file": {"id": name}})
        told.append((refused.value.reason, refused.value.place, refused.value.message))
    assert told[0] == told[1]
    assert told[0][:2] == ("FILE_UNKNOWN", "input.file")


async def test_what_is_not_granted_is_denied_with_what_to_do(client: Hardpoint, agent: Agent) -> None:
    grants = manifest_pb2.Authority(permissions=["file.read", "compute.heavy"])
    await add_file(client, agent, PYTHON, "copier.py", grants=grants)
    given = await client.upload_file(b"x", "a.txt")
    with pytest.raises(ActionFailed) as refused:
        await client.call(agent.id, "copier.copy", {"file": handle_of(given)})
    assert (refused.value.reason, refused.value.metadata["permission"]) == ("PERMISSION_NOT_GRANTED", "file.write")
    assert refused.value.fix == 'grant "file.write" to the installation'


async def test_a_temporary_file_goes_by_itself_and_the_same_bytes_stay_where_they_are_kept(
    client: Hardpoint, agent: Agent
) -> None:
    await client.attach(agent.id, "files")
    text = {"name": "a.txt", "data": "the same"}
    stays = (await agent.execute("files.save", text)).data["file"]
    later = (await agent.execute("files.temporary", text)).data["file"]
    goes = (await agent.execute("files.temporary", {**text, "expires_in": 1})).data["file"]
    order = [datetime.fromisoformat(handle["expire_time"]) for handle in (goes, later, stays)]
    assert order == sorted(order)
    assert order[1] - order[0] < timedelta(hours=1, minutes=10)
    assert order[2] - order[0] > timedelta(days=29)
    assert (await agent.execute("files.read", {"input": later})).data["data"] == "the same"

    gone = await eventually(lambda: expired(client, goes["id"]))
    assert gone.reason == "FILE_EXPIRED"
    refused = (await agent.execute("files.read", {"input": goes})).error
    assert (refused.reason, refused.place) == ("FILE_EXPIRED", "input.input")
    assert refused.metadata["expire_time"] == gone.metadata["expire_time"] == goes["expire_time"]
    assert refused.fix
    listed = await client.files.ListFiles(files_pb2.ListFilesRequest(parent=client.org))
    assert [file.name for file in listed.files] == [later["id"], stays["id"]]
    for handle in (later, stays):
        assert (await agent.execute("files.read", {"input": handle})).data["data"] == "the same"


async def test_a_run_that_outlives_its_file_says_so(client: Hardpoint, agent: Agent, add: Add) -> None:
    await client.attach(agent.id, "files")
    made = {"id": "make", "action": "files.temporary", "name": "a.txt", "data": "x", "expires_in": 1}
    asked = {"id": "ask", "action": "approve", "message": "Go on?"}
    used = {"id": "use", "action": "files.read", "input": "${steps.make.file}"}
    permissions = ["file.read", "file.write", "compute.moderate"]
    await add({**orders(made, asked, used), "permissions": permissions, "hosts": []})
    run = (await start(client, agent)).name
    await until(client, run, run_pb2.RUN_STATE_WAITING)
    (file,) = (await client.files.ListFiles(files_pb2.ListFilesRequest(parent=client.org, run=run))).files
    await eventually(lambda: expired(client, file.name))
    steps = (await client.runs.ListSteps(run_pb2.ListStepsRequest(parent=run))).steps
    (step,) = (step for step in steps if step.waits == run_pb2.WAITS_APPROVAL)
    await client.runs.ApproveStep(run_pb2.ApproveStepRequest(step=step.name, digest=step.digest))
    ended = await until(client, run)
    assert (ended.state, ended.reason) == (run_pb2.RUN_STATE_FAILED, "FILE_EXPIRED")


async def expired(client: Hardpoint, file: str) -> NotFound | None:
    """How a file is missed, once it is over."""
    try:
        await client.files.GetFile(files_pb2.GetFileRequest(name=file))
    except NotFound as gone:
        return gone
    return None


async def test_an_output_that_is_too_large_is_stored_when_it_is_wanted(client: Hardpoint, agent: Agent) -> None:
    grants = manifest_pb2.Authority(permissions=["file.read", "compute.heavy"])
    await add_file(client, agent, PYTHON, "copier.py", grants=grants)
    with pytest.raises(ActionFailed) as refused:
        await client.call(agent.id, "copier.flood")
    assert refused.value.reason == "OUTPUT_LIMIT"
    assert "--oversize-to-file" in refused.value.fix
    answer = await client.call(agent.id, "copier.flood", oversize_to_file=True)
    output = output_of(answer)
    assert answer.output_in_file
    assert output["preview"][0] == {"n": 0, "text": "x" * 200}
    assert output["schema"]["items"]["properties"] == {"n": {"type": "integer"}, "text": {"type": "string"}}
    stored = await client.files.GetFile(files_pb2.GetFileRequest(name=output["file"]["id"]))
    assert (stored.run, stored.type) == (answer.run, "application/json")
    rows = json.loads(await client.read_file(stored.name))
    assert (len(rows), rows[-1]["n"]) == (8000, 7999)
    told = await Agent(client, agent.id, oversize_to_file=True).execute("copier.flood")
    assert (told.success, told.in_file) == (True, True)
    assert told.data["preview"] == output["preview"]
