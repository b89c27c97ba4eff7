"""Calls of actions: admitted, executed with remembered tickets, recorded before they are answered."""

import asyncio
from dataclasses import replace

import pytest

from hardpoint.manifest.v1.manifest_pb2 import Authority as Grants
from hardpoint.runtime.v1 import agent_pb2, run_pb2
from hardpoint_kit.documents import from_value, to_struct
from hardpoint_kit.errors import (
    ActionFailed,
    Conflict,
    DeadlineExceeded,
    HardpointError,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)
from hardpoint_kit.names import SettingsName
from hardpoint_manifest.authority import Authority
from hardpoint_runtime.domain.executions import Ended, Execution
from runtime.conftest import AGENT, TOOL, Client, Fakes, Query, eventually
from runtime.factories import API_KEY, action, release
from runtime.fakes import Gate, failing, raising, succeed
from serving import SetClock


async def test_an_answer_has_output_run_release_and_usage(attached: Client, fakes: Fakes) -> None:
    answer = await attached.call(location="New York", days=3)
    assert from_value(answer.output) == {"location": "New York", "days": 3}
    assert answer.release == "orgs/acme/capabilities/weather/releases/1.0.0"
    assert (answer.usage.wall_ms, answer.usage.broker_calls) == (3.0, 1)
    run = await attached.runs.GetRun(run_pb2.GetRunRequest(name=answer.run))
    assert (run.agent, run.action, run.release) == (AGENT, TOOL, answer.release)
    assert (run.state, run.subject, run.usage) == (run_pb2.RUN_STATE_SUCCEEDED, "ada", answer.usage)
    assert len(run.trace_id) == 32
    (execution,) = fakes.executor.executions
    assert str(execution.run) == answer.run
    assert execution.agent == AGENT


async def test_the_authority_in_force_is_what_is_asked_and_granted(client: Client, fakes: Fakes) -> None:
    asks = Authority(frozenset({"network.http.get", "ai.call"}), frozenset({"*.weather.com", "maps.test"}))
    fakes.registry.add(release(asks=asks))
    await client.create_agent()
    await client.install(grants=Grants(permissions=["network.http.get"], hosts=["api.weather.com"]))
    await client.attach()
    await client.call()
    assert fakes.executor.executions[0].authority == Authority(
        frozenset({"network.http.get"}), frozenset({"api.weather.com"})
    )


@pytest.mark.parametrize(
    "name", ["x);process.exit(1)//", "__proto__", "constructor", "weather.__proto__", "weather.constructor", "weather"]
)
async def test_a_name_that_no_action_can_have_is_refused_before_anything(
    attached: Client, fakes: Fakes, query: Query, name: str
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await attached.call(name, agent="orgs/acme/agents/nobody")
    assert refused.value.reason == "ACTION_NAME_INVALID"
    assert fakes.executor.executions == []
    assert await query("SELECT 1 FROM runs") == []


async def test_an_unknown_action_names_the_nearest_and_what_to_do(attached: Client, query: Query) -> None:
    with pytest.raises(NotFound) as refused:
        await attached.call("weather.get-wether")
    assert refused.value.reason == "ACTION_NOT_ATTACHED"
    assert refused.value.metadata["nearest"] == TOOL
    assert refused.value.fix == f"did you mean {TOOL}? Or see what there is: hardpoint tools helper"
    assert await query("SELECT 1 FROM runs") == []


async def test_input_that_does_not_fit_is_refused_field_by_field(attached: Client, fakes: Fakes, query: Query) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await attached.call(days="three", locatoin="secret words", units="kelvin")
    assert refused.value.reason == "INPUT_INVALID"
    assert refused.value.violations == {
        "input.location": "is required",
        "input.days": "must be integer",
        "input.units": "must be one of 'metric', 'imperial'",
        "input.locatoin": "is not an input; did you mean location?",
    }
    assert "secret words" not in refused.value.message
    assert fakes.executor.executions == []
    assert await query("SELECT 1 FROM runs") == []


async def test_a_paused_agent_calls_nothing(attached: Client) -> None:
    await attached.agents.PauseAgent(agent_pb2.PauseAgentRequest(name=AGENT))
    assert await attached.tools() == []
    with pytest.raises(Conflict) as refused:
        await attached.call()
    assert refused.value.reason == "AGENT_PAUSED"
    await attached.agents.ResumeAgent(agent_pb2.ResumeAgentRequest(name=AGENT))
    await attached.call()


async def test_what_the_action_raised_is_raised_and_recorded(attached: Client, fakes: Fakes) -> None:
    fakes.executor.behave = failing(ActionFailed("x is\0 not a function", place="plugin.js:12:9", fix="define x"))
    with pytest.raises(ActionFailed) as failed:
        await attached.call()
    assert (failed.value.reason, failed.value.place, failed.value.fix) == ("USER_ERROR", "plugin.js:12:9", "define x")
    run = await attached.runs.GetRun(run_pb2.GetRunRequest(name=failed.value.metadata["run"]))
    assert run.state == run_pb2.RUN_STATE_FAILED
    assert (run.reason, run.place, run.fix) == ("USER_ERROR", "plugin.js:12:9", "define x")
    assert run.message == "x is\ufffd not a function"
    assert run.usage.wall_ms == 2.0


@pytest.mark.parametrize(
    "error",
    [
        Unavailable("no executor can be reached", reason="NO_EXECUTOR", retry_after=1.0),
        ResourceExhausted("every jail is busy", reason="QUEUE_FULL", retry_after=0.5),
        DeadlineExceeded("waited too long"),
    ],
)
async def test_what_did_not_run_is_no_run(attached: Client, fakes: Fakes, query: Query, error: HardpointError) -> None:
    fakes.executor.behave = raising(error)
    with pytest.raises(type(error)) as refused:
        await attached.call()
    assert (refused.value.reason, refused.value.retry_after) == (error.reason, error.retry_after)
    assert "run" not in refused.value.metadata
    assert await query("SELECT 1 FROM runs") == []


async def test_a_warm_call_asks_nobody_but_the_executor(client: Client, fakes: Fakes) -> None:
    fakes.registry.add(release(requirements=(API_KEY,)))
    fakes.config.keys["orgs/acme/settings/weather"] = {"API_KEY"}
    await client.create_agent()
    await client.install()
    await client.attach()
    await watched(fakes)
    for _ in range(3):
        await client.call()
    assert fakes.registry.asked[1:] == ["ticket orgs/acme/capabilities/weather/releases/1.0.0"]
    assert fakes.config.leased == ["orgs/acme/settings/weather"]
    assert {(e.artifact_ticket, e.lease_token) for e in fakes.executor.executions} == {("artifact-2", "lease-1")}


async def test_a_release_without_requirements_takes_no_lease(attached: Client, fakes: Fakes) -> None:
    await attached.call()
    assert fakes.config.leased == []
    assert fakes.executor.executions[0].lease_token == ""


async def test_tickets_are_replaced_before_they_expire(attached: Client, fakes: Fakes, clock: SetClock) -> None:
    fakes.registry.expires = clock.now().replace(hour=13)
    await attached.call()
    clock.move(minutes=59)
    await attached.call()
    clock.move(seconds=31)
    await attached.call()
    tickets = [execution.artifact_ticket for execution in fakes.executor.executions]
    assert tickets[0] == tickets[1] != tickets[2]


async def needing_a_key(client: Client, fakes: Fakes) -> None:
    fakes.registry.add(release(requirements=(API_KEY,)))
    fakes.config.keys["orgs/acme/settings/weather"] = {"API_KEY"}
    await client.create_agent()
    await client.install()
    await client.attach()
    await watched(fakes)
    await client.call()


async def watched(fakes: Fakes) -> None:
    async def watching() -> bool:
        return bool(fakes.config.watchers) and fakes.config.watchers[0].empty()

    await eventually(watching)


async def test_changed_settings_take_a_new_lease(client: Client, fakes: Fakes) -> None:
    await needing_a_key(client, fakes)
    fakes.config.tell((SettingsName("acme", "other"),))
    await watched(fakes)
    await client.call()
    assert len(fakes.config.leased) == 1
    fakes.config.tell((SettingsName("acme", "weather"),))
    await watched(fakes)
    await client.call()
    assert len(fakes.config.leased) == 2
    assert fakes.executor.executions[-1].lease_token == "lease-2"


async def test_leases_are_not_trusted_while_changes_are_not_heard(client: Client, fakes: Fakes) -> None:
    await needing_a_key(client, fakes)
    fakes.config.watch_refused = True
    fakes.config.tell(Unavailable("config went away"))

    async def unwatched() -> bool:
        return not fakes.config.watchers

    await eventually(unwatched)
    await client.call()
    await client.call()
    assert len(fakes.config.leased) == 3
    fakes.config.watch_refused = False
    await watched(fakes)
    await client.call()
    await client.call()
    assert len(fakes.config.leased) == 4


async def test_a_refused_ticket_is_replaced_once(attached: Client, fakes: Fakes) -> None:
    async def refuse_the_first(execution: Execution) -> Ended:
        if len(fakes.executor.executions) == 1:
            raise Unauthenticated("unknown ticket", reason="TICKET_INVALID")
        return await succeed(execution)

    fakes.executor.behave = refuse_the_first
    await attached.call()
    first, second = (execution.artifact_ticket for execution in fakes.executor.executions)
    assert first != second

    fakes.executor.behave = raising(Unauthenticated("unknown ticket", reason="TICKET_INVALID"))
    with pytest.raises(HardpointError):
        await attached.call()
    assert len(fakes.executor.executions) == 4


async def test_detached_during_a_call_it_ends_normally_and_the_next_is_refused(attached: Client, fakes: Fakes) -> None:
    gate = fakes.executor.behave = Gate()
    running = asyncio.create_task(attached.call())
    await gate.begun.wait()
    await attached.detach()
    with pytest.raises(NotFound) as refused:
        await attached.call()
    assert refused.value.reason == "ACTION_NOT_ATTACHED"
    gate.released.set()
    answer = await running
    run = await attached.runs.GetRun(run_pb2.GetRunRequest(name=answer.run))
    assert run.state == run_pb2.RUN_STATE_SUCCEEDED


async def test_a_cancelled_call_stops_the_execution_and_is_recorded(attached: Client, fakes: Fakes) -> None:
    gate = fakes.executor.behave = Gate()
    running = asyncio.create_task(attached.call())
    await gate.begun.wait()
    running.cancel()
    await asyncio.wait([running])
    await gate.cancelled.wait()

    async def recorded() -> bool:
        listed = await attached.runs.ListRuns(run_pb2.ListRunsRequest(parent="orgs/acme"))
        return [run.state for run in listed.runs] == [run_pb2.RUN_STATE_CANCELLED]

    await eventually(recorded)


async def test_an_execution_has_no_more_time_than_its_caller(attached: Client, fakes: Fakes) -> None:
    request = agent_pb2.CallActionRequest(agent=AGENT, action=TOOL, input=to_struct({"location": "x"}))
    await attached.agents.CallAction(request, timeout=8)
    await attached.agents.CallAction(request, timeout=100)
    hurried, relaxed = fakes.executor.executions
    assert 0 < hurried.wall_seconds <= hurried.timeout < 8
    assert relaxed.wall_seconds == 30
    assert 30 < relaxed.timeout < 100


async def test_a_draft_is_tried_with_all_that_it_asks(client: Client, fakes: Fakes) -> None:
    draft = release(version="2.0.0", requirements=(API_KEY,))
    fakes.registry.add(draft)
    request = agent_pb2.TestActionRequest(
        release=str(draft.name), action="get-weather", input=to_struct({"location": "x"})
    )
    with pytest.raises(Conflict) as refused:
        await client.agents.TestAction(request)
    assert refused.value.reason == "SETTINGS_MISSING"

    fakes.config.keys["orgs/acme/settings/trial"] = {"API_KEY"}
    request.settings = "orgs/acme/settings/trial"
    answer = await client.agents.TestAction(request)
    (execution,) = fakes.executor.executions
    assert execution.authority == draft.asks
    assert (execution.lease_token, execution.agent) == ("lease-1", "")
    run = await client.runs.GetRun(run_pb2.GetRunRequest(name=answer.run))
    assert (run.agent, run.action, run.release) == ("", TOOL, str(draft.name))


async def test_a_workflow_is_no_call_to_test(client: Client, fakes: Fakes) -> None:
    draft = replace(release(), kind="WORKFLOW")
    fakes.registry.add(draft)
    request = agent_pb2.TestActionRequest(release=str(draft.name), action="get-weather")
    with pytest.raises(Conflict) as refused:
        await client.agents.TestAction(request)
    assert refused.value.reason == "NO_TEST"
    assert "hardpoint test FILE" in refused.value.fix
    assert not fakes.executor.executions


async def test_a_test_stays_within_the_org_and_the_release(client: Client, fakes: Fakes) -> None:
    fakes.registry.add(release(actions=(action(), action("get-forecast"))), release(org="umbrella"))
    request = agent_pb2.TestActionRequest(
        release="orgs/acme/capabilities/weather/releases/1.0.0",
        action="get-forcast",
        input=to_struct({"location": "x"}),
    )
    with pytest.raises(NotFound) as unknown:
        await client.agents.TestAction(request)
    assert unknown.value.fix == "did you mean get-forecast?"
    request.action = "__proto__"
    with pytest.raises(InvalidArgument) as invalid:
        await client.agents.TestAction(request)
    assert invalid.value.reason == "ACTION_NAME_INVALID"
    request.action = "get-weather"
    request.settings = "orgs/umbrella/settings/weather"
    with pytest.raises(NotFound):
        await client.agents.TestAction(request)
    request.settings = ""
    request.release = "orgs/umbrella/capabilities/weather/releases/1.0.0"
    with pytest.raises(NotFound):
        await client.agents.TestAction(request)
    assert fakes.executor.executions == []
