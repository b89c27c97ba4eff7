"""Workflows walked by DBOS over real PostgreSQL, one process; the executor is a fake that does as told."""

import asyncio
import uuid
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta

import pytest

from hardpoint.manifest.v1 import context_pb2
from hardpoint.manifest.v1.manifest_pb2 import Authority as Grants
from hardpoint.runtime.v1 import agent_pb2, installation_pb2, run_pb2
from hardpoint_kit.auth import DevKeys
from hardpoint_kit.caller import ANY_ORG
from hardpoint_kit.clock import SystemClock
from hardpoint_kit.database import Database
from hardpoint_kit.documents import from_value, to_struct, to_value
from hardpoint_kit.errors import ActionFailed, Conflict, HardpointError, ResourceExhausted, Unavailable
from hardpoint_kit.names import ReleaseName, RunName
from hardpoint_kit.rpc.client import channel
from hardpoint_kit.rpc.server import Server
from hardpoint_manifest.authority import Authority
from hardpoint_runtime.domain.context import CallContext
from hardpoint_runtime.domain.executions import Ended, Execution, Ticket
from hardpoint_runtime.domain.runs import Failure, Inner, RunState, Usage
from hardpoint_runtime.domain.workflows import Decision, StepRun
from hardpoint_runtime.server import Options, assemble
from hardpoint_runtime.service import steps as stepping
from hardpoint_runtime.service import walker as walking
from hardpoint_runtime.service.steering import MOST_EARLY_EVENTS
from hardpoint_runtime.service.stretch import Way
from hardpoint_runtime.store.events import EarlyEvents, forget_events
from hardpoint_runtime.store.workflows import forget_contents
from runtime.conftest import AGENT, Client, Dial, Fakes, Query
from runtime.fakes import succeed
from runtime.workflows import TOOL, Shop, after, install, output, start, steps, until, workflow
from runtime.workflows import shop as shop_release
from serving import Serve, eventually


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
    made = workflow({"id": "put", "retry": retry}, {"id": "store", "retry": retry, "after": after("put")})
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


async def test_a_lost_executor_is_waited_for(client: Client, fakes: Fakes, shop: Shop) -> None:
    lost = Unavailable("the executor was lost while the action ran")
    shop.answers = {"put": [lost], "store": [lost]}
    await install(client, fakes, workflow({"id": "put"}, {"id": "store", "after": after("put")}))
    run = await start(client)
    waiting = await until(client, run.name, run_pb2.RUN_STATE_WAITING)
    assert (waiting.reason, waiting.place) == ("MAY_HAVE_HAPPENED", "store")
    assert shop.asked == ["put", "put", "store"]
    listed = await steps(client, run.name)
    skip = run_pb2.ResumeRunRequest(step=listed["store"].name, decision=run_pb2.RESUME_SKIP)
    skip.output.struct_value.CopyFrom(to_struct({"rows": 1}))
    await client.runs.ResumeRun(skip)
    ended = await until(client, run.name)
    assert await output(client, ended) == {"rows": 1}
    assert shop.asked.count("store") == 1


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


async def test_an_approval_is_bound_to_what_was_shown(
    client: Client, server: Server, fakes: Fakes, shop: Shop, dial: Dial
) -> None:
    made = workflow(
        {"id": "ask", "does": "approval", "action": "", "input": {"pay": "${input.amount}"}, "by": "somebody-else"},
        {"id": "store", "after": after("ask")},
    )
    await install(client, fakes, made)
    run = await start(client, amount=5)
    assert (await until(client, run.name, run_pb2.RUN_STATE_WAITING)).reason == "APPROVAL_REQUIRED"
    assert shop.asked == []
    step = (await steps(client, run.name))["ask"]
    assert from_value(step.shown) == {"pay": 5}

    viewed = (await steps(dial(server, role="viewer"), run.name))["ask"]
    assert not viewed.HasField("shown"), "what is shown is of the input"

    approve = run_pb2.ApproveStepRequest(step=step.name, digest=f"sha256:{'0' * 64}")
    with pytest.raises(Conflict) as stale:
        await client.runs.ApproveStep(approve)
    assert stale.value.reason == "APPROVAL_STALE"
    approve.digest = step.digest
    with pytest.raises(HardpointError) as own:
        await client.runs.ApproveStep(approve)
    assert own.value.reason == "OWN_APPROVAL"
    other = dial(server, subject="grace")
    await other.runs.ApproveStep(approve)
    assert (await until(client, run.name)).state == run_pb2.RUN_STATE_SUCCEEDED
    assert shop.asked == ["store"]
    assert (await steps(client, run.name))["ask"].decided_by == "grace"


async def test_events_and_waits(client: Client, fakes: Fakes, shop: Shop) -> None:
    made = workflow(
        {"id": "pause", "does": "wait", "action": "", "input": 1.5},
        {"id": "paid", "does": "event", "action": "", "input": "paid", "after": after("pause")},
        output="${steps.paid.by}",
    )
    await install(client, fakes, made)
    run = await start(client)

    async def awaited() -> None:
        async for change in client.runs.WatchRun(run_pb2.WatchRunRequest(name=run.name)):
            if change.run.reason == "EVENT_AWAITED":
                return

    await asyncio.wait_for(awaited(), 20)
    event = run_pb2.SendEventRequest(run=run.name, event="unpaid")
    await client.runs.SendEvent(event)
    event.event = "paid"
    event.payload.struct_value.CopyFrom(to_struct({"by": "card"}))
    await client.runs.SendEvent(event)
    assert await output(client, await until(client, run.name)) == "card"


async def test_each_time_that_steps_wait_for_comes_once(
    client: Client, fakes: Fakes, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them has all others look again, and those that look too soon wait for the same time as before."""
    wake, wakes = Way.wake, []

    def woken(way: Way) -> None:
        wakes.append(way)
        wake(way)

    monkeypatch.setattr(Way, "wake", woken)
    times = [0.01 * number for number in range(20)]
    waits = {"id": "pause", "does": "wait", "action": "", "input": "${item}", "for_each": "input.times"}
    await install(client, fakes, workflow(waits))
    run = await start(client, times=times)
    assert (await until(client, run.name)).state == run_pb2.RUN_STATE_SUCCEEDED
    assert len(wakes) <= len(times)


async def test_an_event_that_comes_early_is_kept_for_its_step(client: Client, fakes: Fakes, shop: Shop) -> None:
    """The first of a name for the first step; and no more than a run can use."""
    held = asyncio.Event()

    async def hold(execution: Execution) -> Ended:
        await held.wait()
        return await succeed(execution)

    shop.answers["look"] = [hold]
    await install(
        client,
        fakes,
        workflow(
            {"id": "look"},
            {"id": "one", "does": "event", "action": "", "input": "paid", "after": after("look")},
            {"id": "two", "does": "event", "action": "", "input": "paid", "after": after("one")},
            output="${[steps.one, steps.two]}",
        ),
    )
    run = await start(client)

    async def send(event: str, payload: str = "") -> run_pb2.Run:
        request = run_pb2.SendEventRequest(run=run.name, event=event, request_id=uuid.uuid4().hex)
        request.payload.string_value = payload
        return await client.runs.SendEvent(request)

    for payload in ("first", "second"):
        await send("paid", payload)
    for number in range(MOST_EARLY_EVENTS - 2):
        await send(f"other-{number}")
    with pytest.raises(ResourceExhausted) as full:
        await send("paid", "third")
    assert full.value.reason == "TOO_MANY_EVENTS"
    held.set()
    assert await output(client, await until(client, run.name)) == ["first", "second"]
    with pytest.raises(Conflict) as over:
        await send("paid")
    assert over.value.reason == "RUN_ENDED"


@pytest.mark.parametrize("meanwhile", ["the database goes away", "another one comes"])
async def test_an_event_that_came_early_is_not_lost(
    client: Client, fakes: Fakes, shop: Shop, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    """Between the writing of a step that waits and the look for what came before anything may happen."""
    held, look = asyncio.Event(), Way.came_early

    async def hold(execution: Execution) -> Ended:
        await held.wait()
        return await succeed(execution)

    async def send(payload: str) -> None:
        request = run_pb2.SendEventRequest(run=run.name, event="paid")
        request.payload.string_value = payload
        await client.runs.SendEvent(request)

    async def came_early(way: Way, row: StepRun) -> StepRun:
        if not happened:
            happened.append(meanwhile)
            await send("second")
            if meanwhile == "the database goes away":
                raise Unavailable("the database went away")
        return await look(way, row)

    happened: list[str] = []
    monkeypatch.setattr(Way, "came_early", came_early)
    monkeypatch.setattr(walking, "AGAIN_SECONDS", 0.0)
    shop.answers["look"] = [hold]
    event = {"does": "event", "action": "", "input": "paid"}
    first, then = {"id": "one", **event, "after": after("look")}, {"id": "two", **event, "after": after("one")}
    await install(client, fakes, workflow({"id": "look"}, first, then, output="${[steps.one, steps.two]}"))
    run = await start(client)
    await send("first")
    held.set()
    assert await output(client, await until(client, run.name)) == ["first", "second"]


async def test_a_step_is_looked_at_again_by_who_goes_on(
    client: Client, fakes: Fakes, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever wrote that a step waits may die before it looks for the event that came early."""
    taken, failures = EarlyEvents.take, [Unavailable("the database went away")]

    async def take(self: EarlyEvents, run: RunName, event: str) -> Decision | None:
        if failures:
            raise failures.pop()
        return await taken(self, run, event)

    monkeypatch.setattr(EarlyEvents, "take", take)
    monkeypatch.setattr(walking, "AGAIN_SECONDS", 0.0)
    held = asyncio.Event()

    async def hold(execution: Execution) -> Ended:
        await held.wait()
        return await succeed(execution)

    shop.answers["look"] = [hold]
    event = {"id": "one", "does": "event", "action": "", "input": "paid", "after": after("look")}
    await install(client, fakes, workflow({"id": "look"}, event))
    run = await start(client)
    await client.runs.SendEvent(run_pb2.SendEventRequest(run=run.name, event="paid"))
    held.set()
    assert (await until(client, run.name)).state == run_pb2.RUN_STATE_SUCCEEDED


async def test_a_run_that_never_waits_for_events_is_sent_none(
    client: Client, fakes: Fakes, shop: Shop, url: str, query: Query
) -> None:
    await install(client, fakes, workflow({"id": "ask", "does": "approval", "action": "", "input": "?"}))
    run = await until(client, (await start(client)).name, run_pb2.RUN_STATE_WAITING)
    with pytest.raises(Conflict) as never:
        await client.runs.SendEvent(run_pb2.SendEventRequest(run=run.name, event="paid"))
    assert never.value.reason == "STEP_NOT_WAITING"
    await query(
        "INSERT INTO early_events (org, run, event, subject, payload, sent_at) SELECT org, run, 'e', '', '1',"
        " now() - interval '31 days' FROM workflows"
    )
    database = Database(url)
    async with database.transaction(ANY_ORG) as connection:
        assert await forget_events(connection, SystemClock().now() - timedelta(days=30), 10) == 0, "it goes on"
    await client.runs.CancelRun(run_pb2.CancelRunRequest(name=run.name))
    async with database.transaction(ANY_ORG) as connection:
        assert await forget_events(connection, SystemClock().now() - timedelta(days=32), 10) == 0
        assert await forget_events(connection, SystemClock().now() - timedelta(days=30), 10) == 1
    await database.close()


async def test_a_cancelled_run_stops_what_it_executes(client: Client, fakes: Fakes, shop: Shop) -> None:
    begun, killed = asyncio.Event(), asyncio.Event()

    async def forever(_execution: object) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            killed.set()
            raise

    async def talk(_execution: object) -> Ended:
        return Ended(RunState.SUCCEEDED, to_value({}), None, Usage(output_tokens=3))

    shop.answers = {"look": [talk], "put": [forever]}
    made = ({"id": "look"}, {"id": "put", "after": after("look")}, {"id": "store", "after": after("put")})
    await install(client, fakes, workflow(*made))
    run = await start(client)
    await asyncio.wait_for(begun.wait(), 20)
    cancelled = await client.runs.CancelRun(run_pb2.CancelRunRequest(name=run.name))
    assert cancelled.state == run_pb2.RUN_STATE_CANCELLED
    await asyncio.wait_for(killed.wait(), 5)
    assert (await steps(client, run.name))["put"].state == run_pb2.RUN_STATE_CANCELLED
    assert cancelled.end_time.ToNanoseconds() > cancelled.start_time.ToNanoseconds()
    assert cancelled.usage.output_tokens == 3, "of what had ended"
    assert shop.asked == ["look", "put"]
    with pytest.raises(Conflict):
        await client.runs.CancelRun(run_pb2.CancelRunRequest(name=run.name))


async def test_whom_a_delegate_asks_for_approves_nothing_of_it(
    server: Server, client: Client, fakes: Fakes, shop: Shop, dial: Dial, keys: DevKeys, cleanup: AsyncExitStack
) -> None:
    ask = {"id": "ask", "does": "approval", "action": "", "input": "?", "by": "somebody-else"}
    await install(client, fakes, workflow(ask, {"id": "put", "after": after("ask")}))
    opened = channel(f"127.0.0.1:{server.port}", token=keys.mint("bot", "acme", {"agent", "delegate"}))
    cleanup.push_async_callback(opened.close)
    begin = run_pb2.StartRunRequest(agent=AGENT, action=TOOL, on_behalf_of="anna")
    begun = await Client(opened).runs.StartRun(begin)
    await until(client, begun.name, run_pb2.RUN_STATE_WAITING)
    anna = dial(server, role="operator", subject="anna")
    forked = await client.runs.ForkRun(run_pb2.ForkRunRequest(name=begun.name, step="put"))
    await until(client, forked.name, run_pb2.RUN_STATE_WAITING)
    for run in (begun, forked):
        step = (await steps(anna, run.name))["ask"]
        with pytest.raises(HardpointError) as own:
            await anna.runs.ApproveStep(run_pb2.ApproveStepRequest(step=step.name, digest=step.digest))
        assert own.value.reason == "OWN_APPROVAL"


async def test_what_was_approved_is_not_done_again_by_a_fork_of_it(
    client: Client, server: Server, fakes: Fakes, shop: Shop, dial: Dial
) -> None:
    """Who forks a run and who started it are both who asks."""
    ask = {"does": "approval", "action": "", "by": "somebody-else"}
    made = workflow(
        {"id": "ask", **ask, "input": "${input.amount}"},
        {"id": "look", "after": after("ask")},
        {"id": "put", "after": after("look")},
    )
    await install(client, fakes, made)

    async def approve(by: Client, run: str) -> None:
        step = (await steps(by, run))["ask"]
        await by.runs.ApproveStep(run_pb2.ApproveStepRequest(step=step.name, digest=step.digest))

    grace, eve = (dial(server, subject=name) for name in ("grace", "eve"))
    run = await start(client, amount=5)
    await until(client, run.name, run_pb2.RUN_STATE_WAITING)
    await approve(grace, run.name)
    await until(client, run.name)
    forked = await grace.runs.ForkRun(run_pb2.ForkRunRequest(name=run.name, step="put"))
    await until(client, forked.name, run_pb2.RUN_STATE_WAITING)
    assert shop.asked == ["look", "put"]
    for starter in (client, grace):
        with pytest.raises(HardpointError) as own:
            await approve(starter, forked.name)
        assert own.value.reason == "OWN_APPROVAL"
    await approve(eve, forked.name)
    assert (await until(client, forked.name)).state == run_pb2.RUN_STATE_SUCCEEDED
    assert shop.asked == ["look", "put", "put"]


async def test_a_fork_does_again_what_comes_after_a_step(client: Client, fakes: Fakes, shop: Shop) -> None:
    bad = ActionFailed("no", reason="USER_ERROR")
    shop.answers = {"put": [bad]}
    put = {"id": "put", "input": {"n": "${steps.look.n}"}, "after": after("look")}
    made = workflow({"id": "look", "input": {"n": 1}}, put)
    await install(client, fakes, made)
    run = await until(client, (await start(client)).name)
    assert run.state == run_pb2.RUN_STATE_FAILED
    forked = await client.runs.ForkRun(run_pb2.ForkRunRequest(name=run.name, step="put"))
    ended = await until(client, forked.name)
    assert await output(client, ended) == {"n": 1}
    assert shop.asked == ["look", "put", "put"]


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


async def test_an_action_that_somebody_has_to_approve(client: Client, fakes: Fakes, shop: Shop) -> None:
    """S15: the call pauses as a run; approved it runs once and unaltered."""
    fakes.registry.add(shop_release())
    await client.create_agent()
    await client.install("orgs/acme/capabilities/shop")
    attachment = await client.attach("orgs/acme/installations/shop")
    attachment.require_approval.append("mail")
    request = agent_pb2.UpdateAttachmentRequest(attachment=attachment)
    request.update_mask.paths.append("require_approval")
    await client.agents.UpdateAttachment(request)

    call = agent_pb2.CallActionRequest(agent=AGENT, action="shop.mail", input=to_struct({"to": "ada"}))
    paused = await client.agents.CallAction(call, timeout=20)
    assert (paused.state, paused.reason) == (run_pb2.RUN_STATE_WAITING, "APPROVAL_REQUIRED")
    assert shop.asked == []
    step = (await steps(client, paused.run))["call"]
    assert from_value(step.shown) == {"action": "shop.mail", "input": {"to": "ada"}}
    await client.runs.ApproveStep(run_pb2.ApproveStepRequest(step=step.name, digest=step.digest))
    await until(client, paused.run)
    call.run = paused.run
    assert from_value((await client.agents.CallAction(call, timeout=20)).output) == {"to": "ada"}
    call.input.CopyFrom(to_struct({"to": "eve"}))
    with pytest.raises(HardpointError) as altered:
        await client.agents.CallAction(call, timeout=20)
    assert altered.value.reason == "CALL_ALTERED"
    assert shop.asked == ["mail"]
    assert (await client.call("shop.look", a=1)).state == run_pb2.RUN_STATE_UNSPECIFIED


async def test_no_workflow_goes_around_an_approval(client: Client, fakes: Fakes, shop: Shop) -> None:
    """A step that calls an action that has to be approved waits for it too, and so does the workflow's own action."""
    await install(client, fakes, workflow({"id": "mail", "input": {"to": "${input.to}"}}))
    for attached, action in (("shop", "mail"), ("orders", "run")):
        request = agent_pb2.UpdateAttachmentRequest(
            attachment=agent_pb2.Attachment(name=f"{AGENT}/attachments/{attached}", require_approval=[action])
        )
        request.update_mask.paths.append("require_approval")
        await client.agents.UpdateAttachment(request)
    run = await start(client, to="ada")
    for place in ("approval", "mail"):
        await until(client, run.name, run_pb2.RUN_STATE_WAITING)
        step = (await steps(client, run.name))[place]
        assert shop.asked == []
        await client.runs.ApproveStep(run_pb2.ApproveStepRequest(step=step.name, digest=step.digest))
        if place == "approval":
            await eventually(lambda: _is_there(client, run.name, "mail"))
    assert (await until(client, run.name)).state == run_pb2.RUN_STATE_SUCCEEDED
    assert shop.asked == ["mail"]


async def _is_there(client: Client, run: str, place: str) -> bool:
    return place in await steps(client, run)


async def test_the_end_of_a_branch_is_seen_while_another_one_runs(client: Client, fakes: Fakes, shop: Shop) -> None:
    held = asyncio.Event()

    async def hold(execution: Execution) -> Ended:
        await held.wait()
        return await succeed(execution)

    shop.answers["put"] = [hold]
    await install(client, fakes, workflow({"id": "look"}, {"id": "put"}))
    run = await start(client)

    async def looked() -> bool:
        found = await steps(client, run.name)
        return "look" in found and found["look"].state == run_pb2.RUN_STATE_SUCCEEDED

    await eventually(looked)
    held.set()
    assert (await until(client, run.name)).state == run_pb2.RUN_STATE_SUCCEEDED


async def test_nothing_is_begun_by_who_was_silent_when_another_one_took_over(
    client: Client, fakes: Fakes, shop: Shop, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stalled between the step's row and its execution: the row is there, and so may the other one's effect be."""
    monkeypatch.setattr(stepping, "STALLED_SECONDS", 0.0)
    await install(client, fakes, workflow({"id": "store"}))
    ticket = fakes.registry.artifact_ticket
    asked, go = asyncio.Event(), asyncio.Event()

    async def slow(name: ReleaseName) -> Ticket:
        asked.set()
        await go.wait()
        return await ticket(name)

    monkeypatch.setattr(fakes.registry, "artifact_ticket", slow)
    run = await start(client)
    await asked.wait()
    assert (await steps(client, run.name))["store"].attempts == 1
    await query("UPDATE workflows SET walk = walk + 1")
    go.set()

    async def is_left() -> bool:
        return await query("SELECT status FROM dbos.workflow_status") == [("SUCCESS",)]

    await eventually(is_left)
    assert shop.asked == []


async def test_what_steps_use_and_what_ran_inside_of_them_is_counted(client: Client, fakes: Fakes, shop: Shop) -> None:
    """As of a plain call: executions and grants of the workflow and of what it calls, and the calls inside."""
    used = Authority(frozenset({"network.http.get"}), frozenset({"api.shop.com"}))
    deep = ReleaseName("acme", "deep", "1.0.0")

    async def use(execution: Execution) -> Ended:
        inner = Inner("0", "deep.er", deep, RunState.SUCCEEDED, Failure(), SystemClock().now(), 5, Usage())
        told = Usage(peak_memory_bytes=5, bytes_out=7, input_tokens=2, output_tokens=1)
        return Ended(RunState.SUCCEEDED, to_value({}), None, told, used, (inner,))

    async def fail(execution: Execution) -> Ended:
        return Ended(RunState.FAILED, None, ActionFailed("no"), Usage(peak_memory_bytes=9, input_tokens=30))

    shop.answers["put"] = [fail, use]
    await install(client, fakes, workflow({"id": "put", "retry": {"attempts": 2, "seconds": 0}}))
    run = await until(client, (await start(client)).name)
    assert run.state == run_pb2.RUN_STATE_SUCCEEDED
    summed = (run.usage.peak_memory_bytes, run.usage.bytes_out, run.usage.input_tokens, run.usage.output_tokens)
    assert summed == (9, 7, 32, 1), "of all attempts"
    counted = {}
    for capability in ("orders", "shop"):
        name = f"orgs/acme/installations/{capability}"
        found = await client.installations.GetInstallation(installation_pb2.GetInstallationRequest(name=name))
        grants = {use.grant: use.execution_count for use in found.grant_uses}
        counted[capability] = (found.counters.execution_count, found.counters.error_count, grants)
    uses = {"network.http.get": 1, "api.shop.com": 1}
    assert counted == {"orders": (1, 0, uses), "shop": (2, 1, uses)}
    listed = await client.runs.ListSteps(run_pb2.ListStepsRequest(parent=run.name))
    assert [(step.path, step.action, step.name.rpartition("/")[2]) for step in listed.steps] == [
        ("put", "shop.put", "1"),
        ("put/0", "deep.er", "2"),
    ]


async def test_a_process_walks_for_one_runtime(
    server: Server, client: Client, fakes: Fakes, shop: Shop, url: str
) -> None:
    another = assemble(Options(runtime_database_url=url), SystemClock(), fakes.peers(), tuple)
    with pytest.raises(Conflict):
        await another.start()
    await another.stop()
    await install(client, fakes, workflow({"id": "put"}))
    assert (await until(client, (await start(client)).name)).state == run_pb2.RUN_STATE_SUCCEEDED


async def test_contents_are_forgotten_and_the_record_stays(
    client: Client, fakes: Fakes, shop: Shop, url: str, query: Query
) -> None:
    await install(client, fakes, workflow({"id": "put", "input": {"name": "${input.name}"}}))
    run = await until(client, (await start(client, name="zebra-crossing")).name)
    database = Database(url)
    async with database.transaction(ANY_ORG) as connection:
        assert await forget_contents(connection, SystemClock().now() - timedelta(days=1), 10) == 0
        assert await forget_contents(connection, SystemClock().now() + timedelta(seconds=1), 10) == 1
        assert await forget_contents(connection, SystemClock().now() + timedelta(seconds=1), 10) == 0
    await database.close()
    for table in ("workflows", "steps", "runs"):
        for (row,) in await query(f"SELECT t::text FROM {table} t"):
            assert "zebra" not in row, table
    assert (await steps(client, run.name))["put"].state == run_pb2.RUN_STATE_SUCCEEDED
    with pytest.raises(Conflict) as gone:
        await client.runs.ForkRun(run_pb2.ForkRunRequest(name=run.name, step="put"))
    assert gone.value.reason == "CONTENTS_FORGOTTEN"


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
