"""What people do to runs of workflows: approve, send events, cancel and fork."""

import asyncio
import uuid
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest

from hardpoint.runtime.v1 import agent_pb2, run_pb2
from hardpoint_kit.auth import DevKeys
from hardpoint_kit.caller import ANY_ORG
from hardpoint_kit.clock import SystemClock
from hardpoint_kit.database import Database
from hardpoint_kit.documents import from_value, to_struct, to_value
from hardpoint_kit.errors import ActionFailed, Conflict, HardpointError, ResourceExhausted, Unavailable
from hardpoint_kit.rpc.client import channel
from hardpoint_kit.rpc.server import Server
from hardpoint_runtime.domain.executions import Ended, Execution
from hardpoint_runtime.domain.runs import RunState, Usage
from hardpoint_runtime.domain.workflows import StepRun
from hardpoint_runtime.service import walker as walking
from hardpoint_runtime.service.steering import MOST_EARLY_EVENTS
from hardpoint_runtime.service.stretch import Way
from hardpoint_runtime.store.events import forget_events
from runtime.conftest import AGENT, Client, Dial, Fakes, Query
from runtime.fakes import succeed
from runtime.test_workflows import server, shop
from runtime.workflows import TOOL, Shop, after, install, output, start, steps, until, workflow
from runtime.workflows import shop as shop_release
from serving import eventually

__all__ = ["server", "shop"]


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


async def test_a_fork_that_fails_too_reverts_what_it_did_and_tells_of_it(
    client: Client, fakes: Fakes, shop: Shop
) -> None:
    """What the first run reverted is not taken for done, and its reverts are none of the fork's."""
    bad = ActionFailed("no", reason="USER_ERROR")
    shop.answers = {"mail": [bad, bad, bad]}
    undo = {"id": "undo", "does": "call", "action": "shop.undo"}
    made = workflow(
        {"id": "store", "revert": {**undo, "input": {"of": "store"}}},
        {"id": "put", "after": after("store"), "revert": {**undo, "input": {"of": "put"}}},
        {"id": "mail", "after": after("put")},
        on_error={"id": "on-error", "does": "call", "action": "shop.look"},
    )
    await install(client, fakes, made)
    run = await until(client, (await start(client)).name)
    failed = ["store", "put", "mail", "undo", "undo", "look"]
    assert shop.asked == failed
    for step in ("mail", "put"):
        with pytest.raises(Conflict) as refused:
            await client.runs.ForkRun(run_pb2.ForkRunRequest(name=run.name, step=step))
        assert refused.value.fix == "fork the run at store, which is then done again"
    forked = await client.runs.ForkRun(run_pb2.ForkRunRequest(name=run.name, step="store"))
    ended = await until(client, forked.name)
    assert (ended.state, "not_reverted" in ended.facts) == (run_pb2.RUN_STATE_FAILED, False)
    assert shop.asked == failed * 2
    again = await client.runs.ForkRun(run_pb2.ForkRunRequest(name=forked.name, step="store"))
    await until(client, again.name)
    assert shop.asked == failed * 3


async def test_a_fork_repeats_nothing_that_may_have_happened_unless_it_begins_there(
    client: Client, fakes: Fakes, shop: Shop
) -> None:
    lost = Unavailable("the executor was lost")
    shop.answers = {"store": [lost]}
    await install(client, fakes, workflow({"id": "store"}, {"id": "put", "after": after("store")}))
    run = await until(client, (await start(client)).name, run_pb2.RUN_STATE_WAITING)
    step = (await steps(client, run.name))["store"]
    later = run_pb2.ForkRunRequest(name=run.name, step="put")
    with pytest.raises(Conflict) as refused:
        await client.runs.ForkRun(later)
    assert refused.value.fix == "fork the run at store, which is then done again"
    await client.runs.ResumeRun(run_pb2.ResumeRunRequest(step=step.name, decision=run_pb2.RESUME_FAIL))
    await until(client, run.name)
    with pytest.raises(Conflict):
        await client.runs.ForkRun(later)
    assert shop.asked == ["store"]
    forked = await client.runs.ForkRun(run_pb2.ForkRunRequest(name=run.name, step="store"))
    assert (await until(client, forked.name)).state == run_pb2.RUN_STATE_SUCCEEDED
    assert shop.asked == ["store", "store", "put"]


async def test_an_action_that_somebody_has_to_approve(client: Client, fakes: Fakes, shop: Shop) -> None:
    """S15: the call pauses as a run; approved it runs once and unaltered."""
    fakes.registry.add(shop_release())
    await client.create_agent()
    await client.install("orgs/acme/capabilities/shop")
    await client.attach("orgs/acme/installations/shop", require_approval=["mail"])

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


async def test_what_nobody_answers_in_time_fails_and_what_is_due_goes_on(
    client: Client, fakes: Fakes, shop: Shop
) -> None:
    late = {"action": "", "timeout_seconds": 0.1, "on_error": "continue"}
    made = workflow(
        {"id": "ask", "does": "approval", "input": "pay", **late},
        {"id": "paid", "does": "event", "input": "paid", **late},
        {"id": "later", "does": "wait", "action": "", "input": "2020-01-31T08:00:00Z"},
        {"id": "look", "timeout_seconds": 7, "after": after("ask", "paid", "later", port="settled")},
    )
    await install(client, fakes, made)
    run = await until(client, (await start(client)).name)
    assert run.state == run_pb2.RUN_STATE_SUCCEEDED
    ended = {path: (step.state, step.reason) for path, step in (await steps(client, run.name)).items()}
    assert ended == {
        "ask": (run_pb2.RUN_STATE_FAILED, "TIMEOUT"),
        "paid": (run_pb2.RUN_STATE_FAILED, "TIMEOUT"),
        "later": (run_pb2.RUN_STATE_SUCCEEDED, ""),
        "look": (run_pb2.RUN_STATE_SUCCEEDED, ""),
    }
    assert fakes.executor.executions[-1].wall_seconds == 7


async def test_a_loop_over_more_than_it_says_begins_nothing(client: Client, fakes: Fakes, shop: Shop) -> None:
    await install(client, fakes, workflow({"id": "put", "for_each": "input.list"}))
    run = await until(client, (await start(client, list=[*range(500)])).name)
    assert (run.state, run.reason) == (run_pb2.RUN_STATE_FAILED, "EXPRESSION_FAILED")
    assert ("500 items; at most 100" in run.message, "`max_items`" in run.fix) == (True, True)
    assert shop.asked == []


async def test_a_run_is_followed_from_where_one_left_off(client: Client, fakes: Fakes, shop: Shop) -> None:
    pay = {"id": "paid", "does": "event", "action": "", "input": "paid", "after": after("put")}
    await install(client, fakes, workflow({"id": "put"}, pay))
    run = await start(client)
    async with asyncio.timeout(20):
        async for change in client.runs.WatchRun(run_pb2.WatchRunRequest(name=run.name)):
            if change.run.reason == "EVENT_AWAITED":
                break
        seen = change.sequence
        await client.runs.SendEvent(run_pb2.SendEventRequest(run=run.name, event="paid"))
        again = run_pb2.WatchRunRequest(name=run.name, sequence=seen)
        changes = [change async for change in client.runs.WatchRun(again)]
    assert {step.path for change in changes for step in change.steps} == {"paid"}
    assert all(change.sequence > seen for change in changes)
    assert changes[-1].run.state == run_pb2.RUN_STATE_SUCCEEDED
