"""Calls that are recorded: what comes back, who may have it, what is said of it, and of which calls there is none."""

from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from hardpoint.audit.v1.audit_pb2 import ListEventsRequest
from hardpoint.runtime.v1 import agent_pb2, run_pb2
from hardpoint_kit.auth import DevKeys
from hardpoint_kit.documents import from_value, to_struct, to_value
from hardpoint_kit.errors import ActionFailed, Conflict, HardpointError, NotFound, PermissionDenied
from hardpoint_kit.names import ReleaseName
from hardpoint_kit.rpc.client import channel
from hardpoint_kit.rpc.server import Server
from hardpoint_runtime.domain.executions import Ended, Execution
from hardpoint_runtime.domain.runs import RunState, Usage
from runtime.conftest import AGENT, ATTACHMENT, TOOL, Client, Dial, Fakes
from runtime.factories import release
from runtime.workflows import shop, workflow

DATA = b"a cassette"
TOO_MUCH = ActionFailed("it cannot be recorded", reason="CASSETTE_LIMIT", fix="fetch less")
FAILED = ActionFailed("no", reason="UPSTREAM_ERROR")


def ends(error: HardpointError | None = None, cassette: bytes = DATA, unrecorded: HardpointError | None = None) -> Any:
    async def behave(execution: Execution) -> Ended:
        assert execution.taped.record
        state = RunState.FAILED if error else RunState.SUCCEEDED
        output = None if error else to_value("said")
        return Ended(state, output, error, Usage(), cassette=cassette, unrecorded=unrecorded)

    return behave


async def record(client: Client, **words: Any) -> agent_pb2.CallActionResponse:
    given = {"agent": AGENT, "action": TOOL, "input": to_struct({"location": "Rome"}), "record": True, **words}
    return await client.agents.CallAction(agent_pb2.CallActionRequest(**given))


async def run_of(client: Client, name: str) -> run_pb2.Run:
    return await client.runs.GetRun(run_pb2.GetRunRequest(name=name))


async def test_a_recorded_call_gives_its_cassette_and_both_records_have_it(attached: Client, fakes: Fakes) -> None:
    plain = await attached.call()
    fakes.executor.behave = ends()
    done = await record(attached)
    assert (from_value(done.output), done.cassette, done.HasField("unrecorded")) == ("said", DATA, False)
    assert (await run_of(attached, done.run)).recorded
    assert not (await run_of(attached, plain.run)).recorded
    listed = await attached.audit.ListEvents(ListEventsRequest(parent="orgs/acme", resource=done.run))
    (event,) = listed.events
    facts = {"agent": AGENT, "tool": TOOL, "release": done.release}
    assert (event.action, event.subject, event.facts) == ("run.record", "ada", facts)


@pytest.mark.parametrize("error", [None, FAILED], ids=["done", "failed"])
async def test_what_cannot_be_recorded_is_answered_all_the_same(
    attached: Client, fakes: Fakes, error: HardpointError | None
) -> None:
    fakes.executor.behave = ends(error, b"", TOO_MUCH)
    done = await record(attached)
    told = done.unrecorded
    assert (told.reason, told.message, told.fix) == ("CASSETTE_LIMIT", "it cannot be recorded", "fetch less")
    assert not done.HasField("cassette")
    assert done.reason == (error.reason if error else "")
    assert from_value(done.output) == (None if error else "said")
    run = await run_of(attached, done.run)
    assert (run.recorded, run.reason) == (False, done.reason)


async def test_a_failure_is_answered_with_its_cassette(attached: Client, fakes: Fakes) -> None:
    fakes.executor.behave = ends(FAILED)
    done = await record(attached)
    assert (done.state, done.reason, done.cassette) == (run_pb2.RUN_STATE_FAILED, "UPSTREAM_ERROR", DATA)
    assert (await run_of(attached, done.run)).recorded


async def test_a_test_that_cannot_be_recorded_fails(attached: Client, fakes: Fakes) -> None:
    fakes.executor.behave = ends(None, b"", TOO_MUCH)
    request = agent_pb2.TestActionRequest(
        release="orgs/acme/capabilities/weather/releases/1.0.0",
        action="get-weather",
        input=to_struct({"location": "x"}),
        record=True,
    )
    with pytest.raises(ActionFailed) as failed:
        await attached.agents.TestAction(request)
    assert failed.value.reason == "CASSETTE_LIMIT"
    assert (await run_of(attached, failed.value.metadata["run"])).state == run_pb2.RUN_STATE_SUCCEEDED


async def test_who_may_not_test_has_nothing_recorded(
    attached: Client, server: Server, dial: Dial, fakes: Fakes
) -> None:
    for role in ("agent", "builder", "viewer", "delegate"):  # a builder may test, and not call
        with pytest.raises(PermissionDenied) as refused:
            await record(dial(server, role=role, subject="eve"))
        assert refused.value.metadata["permission"].startswith("runtime.actions.")
    with pytest.raises(NotFound):
        await record(dial(server, "other", "admin"))
    with pytest.raises(PermissionDenied):
        await record(attached, on_behalf_of="eve")
    assert fakes.executor.executions == []
    assert not [event for event in await attached.events() if "record" in event]
    assert (await dial(server, role="agent").call()).run, "it may call as ever"
    fakes.executor.behave = ends()
    assert (await record(dial(server, role="operator"))).cassette == DATA


@pytest.mark.parametrize(
    "words",
    [
        {"dry_run": True},
        {"expect_plan": "sha256:0"},
        {"oversize": agent_pb2.OVERSIZE_FILE},
        {"run": "orgs/acme/runs/r"},
    ],
    ids=lambda words: next(iter(words)),
)
async def test_what_no_test_could_replay_is_not_recorded(attached: Client, fakes: Fakes, words: dict[str, Any]) -> None:
    with pytest.raises(Conflict) as refused:
        await record(attached, **words)
    assert (refused.value.reason, refused.value.metadata["action"]) == ("NO_RECORDING", TOOL)
    assert refused.value.fix
    assert fakes.executor.executions == []


async def test_what_another_organisation_wrote_is_not_recorded(client: Client, fakes: Fakes) -> None:
    fakes.registry.add(replace(release(), name=ReleaseName("other", "weather", "1.0.0")))
    await client.create_agent()
    await client.install("orgs/other/capabilities/weather")
    await client.attach()
    with pytest.raises(Conflict) as refused:
        await record(client)
    assert (refused.value.reason, "another organisation" in refused.value.message) == ("NO_RECORDING", True)
    assert fakes.executor.executions == []
    assert (await client.call()).run, "it may be called as ever"


async def test_nobody_is_recorded_by_somebody_else(
    attached: Client, server: Server, keys: DevKeys, cleanup: AsyncExitStack, fakes: Fakes
) -> None:
    opened = channel(f"127.0.0.1:{server.port}", token=keys.mint("bot", "acme", {"operator", "delegate"}))
    cleanup.push_async_callback(opened.close)
    with pytest.raises(Conflict) as refused:
        await record(Client(opened), on_behalf_of="anna")
    assert refused.value.reason == "NO_RECORDING"
    assert fakes.executor.executions == []


async def test_what_somebody_has_to_approve_is_not_recorded(attached: Client, fakes: Fakes) -> None:
    request = agent_pb2.UpdateAttachmentRequest(
        attachment=agent_pb2.Attachment(name=ATTACHMENT, require_approval=["get-weather"]),
        update_mask={"paths": ["require_approval"]},
    )
    await attached.agents.UpdateAttachment(request)
    with pytest.raises(Conflict) as refused:
        await record(attached)
    assert (refused.value.reason, "steps" in refused.value.fix) == ("NO_RECORDING", True)
    assert fakes.executor.executions == []


async def test_a_workflow_is_not_recorded_and_not_begun(attached: Client, fakes: Fakes) -> None:
    for made in (shop(), workflow({"id": "look"})):
        fakes.registry.add(made)
        capability = made.name.capability
        await attached.install(f"orgs/acme/capabilities/{capability}")
        await attached.attach(f"orgs/acme/installations/{capability}")
    with pytest.raises(Conflict) as refused:
        await record(attached, action="orders.run")
    assert (refused.value.reason, "steps" in refused.value.fix) == ("NO_RECORDING", True)
    assert not (await attached.runs.ListRuns(run_pb2.ListRunsRequest(parent="orgs/acme"))).runs
    fakes.executor.behave = ends()
    assert (await record(attached, action="shop.look")).cassette == DATA, "what the fix says can be done"
