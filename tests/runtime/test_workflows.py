"""Workflows walked by DBOS over real PostgreSQL, one process; the executor is a fake that does as told."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from hardpoint.manifest.v1 import context_pb2
from hardpoint.manifest.v1.manifest_pb2 import Authority as Grants
from hardpoint.runtime.v1 import agent_pb2, installation_pb2, run_pb2
from hardpoint_kit.caller import ANY_ORG
from hardpoint_kit.clock import SystemClock
from hardpoint_kit.database import Database
from hardpoint_kit.documents import from_value, to_struct
from hardpoint_kit.errors import ActionFailed, Conflict, HardpointError
from hardpoint_kit.rpc.server import Server
from hardpoint_manifest.authority import Authority
from hardpoint_runtime.domain.context import CallContext
from hardpoint_runtime.server import Options, assemble
from hardpoint_runtime.store.workflows import forget_contents
from runtime.conftest import AGENT, Client, Fakes, Query
from runtime.workflows import ENDED, TOOL, Shop, after, install, output, start, steps, until, workflow
from runtime.workflows import shop as shop_release
from serving import Serve


@pytest.fixture
async def server(url: str, fakes: Fakes, serve: Serve) -> Server:
    """The one runtime of this process that walks workflows."""
    return await serve(assemble(Options(runtime_database_url=url), SystemClock(), fakes.peers(), tuple))


@pytest.fixture
def shop(fakes: Fakes) -> Shop:
    return Shop(fakes.executor)


async def test_steps_run_in_order_and_side_by_side(client: Client, fakes: Fakes, shop: Shop) -> None:
    """The whole way: each step has what came before, its own key, and a record; the output is the plan's."""
    made = workflow(
        {"id": "look", "input": {"order": "${input.order}"}},
        {"id": "put", "input": {"order": "${steps.look.order}"}, "after": after("look")},
        {"id": "mail", "input": {"to": "x"}, "after": after("look")},
        {"id": "store", "input": {"order": "${steps.put.order}"}, "after": after("put", "mail")},
        output={"stored": "${steps.store.order}"},
    )
    await install(client, fakes, made)
    run = await start(client, order=7)
    assert run.state == run_pb2.RUN_STATE_QUEUED
    ended = await until(client, run.name)
    assert ended.state == run_pb2.RUN_STATE_SUCCEEDED, ended
    assert await output(client, ended) == {"stored": 7}
    assert sorted(shop.asked) == ["look", "mail", "put", "store"]
    assert (shop.asked[0], shop.asked[-1]) == ("look", "store")
    run_id = run.name.rpartition("/")[2]
    assert sorted(shop.keys) == [f"{run_id}/{step}" for step in ("look", "mail", "put", "store")]
    listed = await steps(client, run.name)
    assert {step.state for step in listed.values()} == {run_pb2.RUN_STATE_SUCCEEDED}
    assert listed["store"].action == "shop.store"
    assert shop.traces == {run.trace_id}


async def test_a_call_waits_for_the_output_or_says_that_it_runs(client: Client, fakes: Fakes, shop: Shop) -> None:
    gate = asyncio.Event()

    async def slow(execution: object) -> object:
        await gate.wait()
        return await shop(execution)  # type: ignore[arg-type]

    await install(client, fakes, workflow({"id": "put", "input": {"a": 1}}))
    answer = await client.call(TOOL, a=1)
    assert from_value(answer.output) == {"a": 1}
    assert answer.state == run_pb2.RUN_STATE_UNSPECIFIED

    shop.answers["put"] = [slow]
    request = agent_pb2.CallActionRequest(agent=AGENT, action=TOOL, input=to_struct({"a": 2}))
    running = await client.agents.CallAction(request, timeout=1.0)
    assert running.state == run_pb2.RUN_STATE_RUNNING
    gate.set()
    request.run = running.run
    ended = await client.agents.CallAction(request, timeout=20)
    assert from_value(ended.output) == {"a": 1}
    request.input.CopyFrom(to_struct({"a": 3}))
    with pytest.raises(HardpointError) as altered:
        await client.agents.CallAction(request, timeout=20)
    assert altered.value.reason == "CALL_ALTERED"


async def test_a_request_starts_one_run(client: Client, fakes: Fakes, shop: Shop) -> None:
    await install(client, fakes, workflow({"id": "put"}))
    first, second = await start(client, "r1"), await start(client, "r1")
    assert first.name == second.name
    await until(client, first.name)
    assert shop.asked == ["put"]


async def test_a_failed_step_is_retried_when_that_does_no_harm(client: Client, fakes: Fakes, shop: Shop) -> None:
    """S08: 503, 503, 200 with three attempts; a step that may not be repeated waits for a person."""
    away = ActionFailed("the upstream answered 503", reason="UPSTREAM_ERROR", status="503")
    shop.answers = {"put": [away, away], "store": [away]}
    retry = {"attempts": 3, "seconds": 0.1, "backoff": 1}
    keyed = {"idempotency_key": "one", "retry": retry}  # which is no promise of the action's
    made = workflow({"id": "put", "retry": retry}, {"id": "store", "after": after("put"), **keyed})
    await install(client, fakes, made)
    run = await start(client)
    waiting = await until(client, run.name, run_pb2.RUN_STATE_WAITING)
    assert waiting.reason == "MAY_HAVE_HAPPENED"
    assert shop.asked == ["put", "put", "put", "store"]
    assert len(set(shop.keys)) == 2
    listed = await steps(client, run.name)
    assert (listed["put"].attempts, listed["store"].waits) == (3, run_pb2.WAITS_DOUBT)

    resume = run_pb2.ResumeRunRequest(step=listed["store"].name, decision=run_pb2.RESUME_REPEAT)
    await client.runs.ResumeRun(resume)
    assert (await until(client, run.name)).state == run_pb2.RUN_STATE_SUCCEEDED
    assert shop.asked == ["put", "put", "put", "store", "store"]
    with pytest.raises(Conflict) as over:
        await client.runs.ResumeRun(resume)
    assert over.value.reason == "RUN_ENDED"


@pytest.mark.parametrize(
    "part",
    [
        {"input": {"of": "${input.missing}"}},
        {"when": "input.missing > 1"},
        {"for_each": "input.missing"},
        {"idempotency_key": "${input.missing}"},
    ],
)
async def test_a_step_that_may_fail_may_fail_before_it_asks(
    client: Client, fakes: Fakes, shop: Shop, part: dict[str, object]
) -> None:
    """The run goes on, also in another stretch, and the step says why it was not done."""
    go = {"id": "go", "does": "event", "action": "", "input": "go", "after": after("put")}
    made = workflow(
        {"id": "put", "on_error": "continue", **part},
        go,
        {"id": "store", "after": after("go"), "input": {"put": "${steps.put}"}},
        output="${steps.store}",
    )
    await install(client, fakes, made)
    run = await start(client)
    await until(client, run.name, run_pb2.RUN_STATE_WAITING)
    await client.runs.SendEvent(run_pb2.SendEventRequest(run=run.name, event="go"))
    ended = await until(client, run.name)
    assert (ended.state, await output(client, ended)) == (run_pb2.RUN_STATE_SUCCEEDED, {"put": None})
    assert shop.asked == ["store"]
    listed = await steps(client, run.name)
    assert [*listed] == ["put", "go", "store"]
    assert (listed["put"].state, listed["put"].reason) == (run_pb2.RUN_STATE_FAILED, "MAPPING_MISSING")
    assert (listed["put"].attempts, listed["put"].message) == (0, "input.missing is missing")


async def test_what_cannot_be_undone_or_told_says_why(client: Client, fakes: Fakes, shop: Shop) -> None:
    shop.answers = {"mail": [ActionFailed("no such order", reason="USER_ERROR")]}
    undo = {"id": "undo", "does": "call", "action": "shop.undo", "input": {"of": "${output.missing}"}}
    told = {"id": "told", "does": "call", "action": "shop.look", "input": {"why": "${error.missing}"}}
    made = workflow({"id": "store", "revert": undo}, {"id": "mail", "after": after("store")}, on_error=told)
    await install(client, fakes, made)
    run = await start(client)
    ended = await until(client, run.name)
    assert (ended.reason, ended.facts["not_reverted"]) == ("USER_ERROR", "store")
    listed = await steps(client, run.name)
    assert {place: listed[place].reason for place in ("store.revert", "told")} == {
        "store.revert": "MAPPING_MISSING",
        "told": "MAPPING_MISSING",
    }


@pytest.mark.parametrize("said", ["step", "workflow"])
async def test_who_says_how_often_changes_nothing_about_what_may_have_happened(
    client: Client, fakes: Fakes, shop: Shop, said: str
) -> None:
    """What the step says itself, or the workflow for all of its steps: a write that may be done is for a person."""
    shop.answers = {"store": [ActionFailed("the upstream answered 503", reason="UPSTREAM_ERROR", status="503")]}
    retry = {"attempts": 3, "seconds": 0.1, "harmless": said == "workflow"}
    await install(client, fakes, workflow({"id": "store", "retry": retry}))
    run = await start(client)
    waiting = await until(client, run.name, run_pb2.RUN_STATE_WAITING, *ENDED)
    assert (waiting.state, waiting.reason) == (run_pb2.RUN_STATE_WAITING, "MAY_HAVE_HAPPENED")
    assert shop.asked == ["store"]
    step = (await steps(client, run.name))["store"]
    await client.runs.ResumeRun(run_pb2.ResumeRunRequest(step=step.name, decision=run_pb2.RESUME_FAIL))
    assert (await until(client, run.name)).reason == "MAY_HAVE_HAPPENED"


async def test_what_certainly_did_not_happen_is_tried_again_and_then_waits(
    client: Client, fakes: Fakes, shop: Shop
) -> None:
    """A mail server is down: the mail is tried as often as is said, and then a person decides."""
    down = ActionFailed("no connection", reason="UPSTREAM_UNREACHABLE", fix="look at SMTP_URL", happened="no")
    shop.answers = {"mail": [down, down, down]}
    retry = {"attempts": 2, "seconds": 0.1, "backoff": 1, "harmless": True}
    told = {"id": "told", "does": "call", "action": "shop.undo"}
    await install(client, fakes, workflow({"id": "mail", "retry": retry}, on_error=told))
    run = await start(client)
    waiting = await until(client, run.name, run_pb2.RUN_STATE_WAITING)
    assert (waiting.reason, waiting.place, waiting.facts["happened"]) == ("UPSTREAM_UNREACHABLE", "mail", "no")
    assert waiting.fix == "look at SMTP_URL, then: hardpoint resume RUN repeat, skip or fail"
    assert shop.asked == ["mail", "mail"]
    step = (await steps(client, run.name))["mail"]
    assert (step.attempts, step.waits) == (2, run_pb2.WAITS_DOUBT)

    repeat = run_pb2.ResumeRunRequest(step=step.name, decision=run_pb2.RESUME_REPEAT)
    await client.runs.ResumeRun(repeat)
    await _again(client, run.name, 3)
    await client.runs.ResumeRun(run_pb2.ResumeRunRequest(step=step.name, decision=run_pb2.RESUME_FAIL))
    ended = await until(client, run.name)
    assert (ended.state, ended.reason) == (run_pb2.RUN_STATE_FAILED, "UPSTREAM_UNREACHABLE")
    assert shop.asked == ["mail", "mail", "mail", "undo"], "what is done on an error is done when a person says so"


async def _again(client: Client, run: str, attempts: int) -> None:
    """Follow a run until its step waits after so many attempts."""
    async with asyncio.timeout(20):
        async for change in client.runs.WatchRun(run_pb2.WatchRunRequest(name=run)):
            if any(step.attempts == attempts and step.waits == run_pb2.WAITS_DOUBT for step in change.steps):
                return


async def test_what_was_done_is_reverted_the_last_first(client: Client, fakes: Fakes, shop: Shop) -> None:
    """Over a wait too, after which nothing in memory says what was done."""
    bad = ActionFailed("no such order", reason="USER_ERROR")
    shop.answers = {"mail": [bad]}
    revert = {"id": "undo", "does": "call", "action": "shop.undo"}
    made = workflow(
        {"id": "store", "revert": {**revert, "input": {"of": "store"}}},
        {"id": "put", "after": after("store"), "revert": {**revert, "input": {"of": "put"}}},
        {"id": "again", "action": "shop.store", "after": after("put")},
        {"id": "go", "does": "event", "action": "", "input": "go", "after": after("again")},
        {"id": "mail", "after": after("go")},
        on_error={"id": "told", "does": "call", "action": "shop.look", "input": {"why": "${error.message}"}},
    )
    await install(client, fakes, made)
    run = await start(client)
    await until(client, run.name, run_pb2.RUN_STATE_WAITING)
    await client.runs.SendEvent(run_pb2.SendEventRequest(run=run.name, event="go"))
    ended = await until(client, run.name)
    assert (ended.state, ended.reason) == (run_pb2.RUN_STATE_FAILED, "USER_ERROR")
    assert ended.facts["not_reverted"] == "again"
    assert shop.asked == ["store", "put", "store", "mail", "undo", "undo", "look"]
    undone = [e.input["of"] for e in fakes.executor.executions if e.action.id == "undo"]
    assert undone == ["put", "store"]


async def test_an_output_that_is_not_what_is_declared_is_a_failure(client: Client, fakes: Fakes, shop: Shop) -> None:
    undo = {"id": "undo", "does": "call", "action": "shop.undo"}
    made = workflow({"id": "put", "input": {"of": "x"}, "revert": undo}, output={"of": "${steps.put.of}"})
    declared = {"type": "object", "properties": {"of": {"type": "number"}}}
    await install(client, fakes, replace(made, actions=(replace(made.actions[0], output_schema=declared),)))
    ended = await until(client, (await start(client)).name)
    assert (ended.state, ended.reason, ended.place) == (run_pb2.RUN_STATE_FAILED, "TYPE_MISMATCH", "output")
    assert ended.message == "the output is not what the workflow declares: output.of must be number"
    assert shop.asked == ["put", "undo"]


async def test_loops_and_inner_steps(client: Client, fakes: Fakes, shop: Shop) -> None:
    inner = [
        {"id": "look", "does": "call", "action": "shop.look", "input": {"n": "${item}"}},
        {
            "id": "put",
            "does": "call",
            "action": "shop.put",
            "input": {"n": "${steps.look.n * 2}"},
            "after": after("look"),
        },
    ]
    loop = {"does": "steps", "action": "", "for_each": "input.items", "steps": inner, "result": "${steps.put.n}"}
    made = workflow(
        {"id": "each", **loop},
        {"id": "mail", "input": {"all": "${steps.each}"}, "after": after("each")},
    )
    await install(client, fakes, made)
    ended = await until(client, (await start(client, items=[1, 2, 3])).name)
    assert ended.state == run_pb2.RUN_STATE_SUCCEEDED, ended
    assert await output(client, ended) == {"all": [2, 4, 6]}
    assert set(await steps(client, ended.name)) == {
        *(f"each/{i}/{step}" for i in range(3) for step in ("look", "put")),
        "mail",
    }


async def test_a_run_ends_on_its_release_and_under_the_authority_of_now(
    client: Client, fakes: Fakes, shop: Shop
) -> None:
    """What is installed meanwhile changes nothing of its plan; what is granted meanwhile cuts what it reaches."""
    ask = {"id": "ask", "does": "event", "action": "", "input": "go"}
    await install(client, fakes, workflow(ask, {"id": "put", "after": after("ask")}))
    runs = [await start(client) for _ in range(2)]
    for run in runs:
        await until(client, run.name, run_pb2.RUN_STATE_WAITING)
    fakes.registry.add(workflow({"id": "store"}, version="2.0.0"))
    change = installation_pb2.UpdateInstallationRequest(
        installation=installation_pb2.Installation(name="orgs/acme/installations/orders")
    )
    change.update_mask.paths.extend(["constraint", "grants"])
    assert (await client.installations.UpdateInstallation(change)).release.endswith("2.0.0")
    await client.runs.SendEvent(run_pb2.SendEventRequest(run=runs[0].name, event="go"))
    ended = await until(client, runs[0].name)
    assert (ended.state, ended.release) == (run_pb2.RUN_STATE_SUCCEEDED, runs[0].release)
    assert shop.asked == ["put"]
    (execution,) = fakes.executor.executions
    assert execution.authority.hosts == {"api.shop.com"}
    assert [caller.authority.hosts for caller in execution.callers] == [frozenset()]

    await client.detach(f"{AGENT}/attachments/orders")
    await client.runs.SendEvent(run_pb2.SendEventRequest(run=runs[1].name, event="go"))
    stopped = await until(client, runs[1].name)
    assert (stopped.state, stopped.reason) == (run_pb2.RUN_STATE_FAILED, "WORKFLOW_DETACHED")
    assert shop.asked == ["put"]


async def test_steps_see_what_the_agent_knew_as_far_as_all_were_granted(
    client: Client, fakes: Fakes, shop: Shop, url: str, query: Query
) -> None:
    """Kept with the run's input, less what the workflow does not ask for; a fork has it, and it is forgotten."""
    asked = {"shop": ("context.user", "context.conversation"), "orders": ("context.user", "context.files")}
    made = workflow({"id": "put"}, {"id": "look", "after": after("put")})
    for one in (shop_release(), made):
        asks = Authority.of(asked[one.name.capability])
        fakes.registry.add(replace(one, asks=asks))
    fakes.files.add("orgs/acme/files/notes")
    await client.create_agent()
    for capability, permissions in asked.items():
        await client.install(f"orgs/acme/capabilities/{capability}", Grants(permissions=permissions))
        await client.attach(f"orgs/acme/installations/{capability}")
    said = [context_pb2.ConversationMessage(role="user", text="hello-77f0")]
    known = context_pb2.CallContext(
        user=context_pb2.User(name="ada-8c21"),
        conversation=context_pb2.Conversation(messages=said),
        files=["orgs/acme/files/notes"],
    )
    request = run_pb2.StartRunRequest(agent=AGENT, action=TOOL, context=known, request_id="once")
    run = await until(client, (await client.runs.StartRun(request)).name)
    fork = await client.runs.ForkRun(run_pb2.ForkRunRequest(name=run.name, step="look"))
    assert (await until(client, fork.name)).state == run_pb2.RUN_STATE_SUCCEEDED
    seen = [(execution.action.id, execution.context) for execution in fakes.executor.executions]
    assert seen == [(step, CallContext({"name": "ada-8c21"})) for step in ("put", "look", "look")]
    assert fakes.files.tickets == []
    kept = [row for (row,) in await query("SELECT t::text FROM workflows t")]
    assert all("8c21" in row and "77f0" not in row for row in kept)
    database = Database(url)
    async with database.transaction(ANY_ORG) as connection:
        assert await forget_contents(connection, SystemClock().now() + timedelta(seconds=1), 10) == 2
    await database.close()
    for (row,) in await query("SELECT t::text FROM workflows t"):
        assert "8c21" not in row
