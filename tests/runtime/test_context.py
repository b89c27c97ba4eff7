"""What an agent gives along with a call: shown as far as grants go, kept with a workflow's input and nowhere else."""

import pytest
from google.protobuf.json_format import ParseDict

from hardpoint.manifest.v1.context_pb2 import CallContext
from hardpoint.manifest.v1.manifest_pb2 import Authority as Grants
from hardpoint.runtime.v1 import agent_pb2
from hardpoint_kit.errors import InvalidArgument
from hardpoint_manifest.authority import Authority
from hardpoint_runtime.domain import context
from runtime.conftest import AGENT, TOOL, Client, Fakes, Query
from runtime.factories import release

USER = {"id": "u-1", "name": "Ada", "email": "ada-8c21@example.com", "locale": "en-GB"}
TALK = {"id": "c-1", "messages": [{"role": "user", "text": "hello-77f0"}, {"role": "assistant", "text": "hi"}]}
NOTES = "orgs/acme/files/notes"
GIVEN = ParseDict({"user": USER, "conversation": TALK, "files": [NOTES]}, CallContext())
ALL = frozenset({"context.user", "context.conversation", "context.files"})


async def attach(client: Client, fakes: Fakes, asked: frozenset[str], granted: frozenset[str]) -> None:
    fakes.registry.add(release(asks=Authority(asked, frozenset())))
    fakes.files.add(NOTES)
    await client.create_agent()
    await client.install(grants=Grants(permissions=sorted(granted)))
    await client.attach()


async def call(client: Client, given: CallContext = GIVEN) -> agent_pb2.CallActionResponse:
    request = agent_pb2.CallActionRequest(agent=AGENT, action=TOOL, context=given)
    request.input.update({"location": "Rome"})
    return await client.agents.CallAction(request, timeout=30)


@pytest.mark.parametrize("granted", [ALL, ALL - {"context.files"}, frozenset({"context.user"}), frozenset()], ids=len)
async def test_what_is_granted_goes_to_the_executor_and_nothing_else(
    client: Client, fakes: Fakes, granted: frozenset[str]
) -> None:
    await attach(client, fakes, ALL, granted)
    await call(client)
    (execution,) = fakes.executor.executions
    assert execution.context.user == (USER if "context.user" in granted else None)
    assert execution.context.conversation == (TALK if "context.conversation" in granted else None)
    shown = "context.files" in granted
    assert execution.files.known == ((fakes.files.handles[NOTES],) if shown else ())
    assert [names for _, names, _ in fakes.files.tickets] == ([[NOTES]] if shown else [])
    assert execution.files.handles == ()


async def test_nothing_of_it_is_recorded_with_a_call(client: Client, fakes: Fakes, query: Query) -> None:
    await attach(client, fakes, ALL, ALL)
    await call(client)
    for (table,) in await query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
        for (row,) in await query(f'SELECT t::text FROM "{table}" t'):
            assert "8c21" not in row, table
            assert "77f0" not in row, table


async def test_files_that_are_not_there_and_a_long_conversation_are_refused(client: Client, fakes: Fakes) -> None:
    await attach(client, fakes, ALL, ALL)
    for stranger in ("orgs/globex/files/notes", "orgs/acme/files/guessed", "../notes"):
        with pytest.raises(InvalidArgument) as refused:
            await call(client, CallContext(files=[NOTES, stranger]))
        assert (refused.value.reason, refused.value.place) == ("FILE_UNKNOWN", "context.files[1]")
    words = "x" * (context.MOST_BYTES // 2)
    said = [{"role": "user", "text": words}, {"role": "tool", "text": words + "x"}]
    with pytest.raises(InvalidArgument, match="65537 bytes"):
        await call(client, ParseDict({"conversation": {"messages": said}}, CallContext()))
    with pytest.raises(InvalidArgument):
        await call(client, ParseDict({"conversation": {"messages": [{"role": "root", "text": ""}]}}, CallContext()))
    assert fakes.executor.executions == []
