"""Workflows whose steps call other workflows, over real PostgreSQL: begun once, waited for, cut, and ended together."""

import json
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from hardpoint.manifest.v1.manifest_pb2 import Authority as Grants
from hardpoint.manifest.v1.manifest_pb2 import Verifier
from hardpoint.runtime.v1 import agent_pb2, run_pb2, trigger_pb2
from hardpoint_kit.clock import SystemClock
from hardpoint_kit.database import Database
from hardpoint_kit.documents import to_struct, to_value
from hardpoint_kit.errors import ActionFailed, NotFound, PermissionDenied, Unavailable
from hardpoint_kit.names import ReleaseName
from hardpoint_kit.rpc.server import Server
from hardpoint_manifest.authority import Authority
from hardpoint_manifest.check import check
from hardpoint_manifest.load import load
from hardpoint_runtime.domain.releases import Release
from hardpoint_runtime.durable.engine import AT_ONCE_OF_ORG
from hardpoint_runtime.durable.stretches import Stretches
from hardpoint_runtime.server import Options, assemble
from hardpoint_runtime.service import walker as walking
from hardpoint_runtime.service.children import Children
from hardpoint_runtime.store import Store
from runtime.conftest import AGENT, Client, Fakes, Query
from runtime.triggers import create, history
from runtime.workflows import Shop, after, install, output, start, steps, until, workflow
from serving import Serve, eventually

BILLING = "billing.run"
BILL = {"id": "bill", "action": BILLING, "input": {"order": "${input.order}"}}
EVENT = {"id": "paid", "does": "event", "action": "", "input": "paid"}


@pytest.fixture
async def server(url: str, fakes: Fakes, serve: Serve) -> Server:
    """The one runtime of this process that walks workflows."""
    return await serve(assemble(Options(runtime_database_url=url), SystemClock(), fakes.peers(), tuple))


@pytest.fixture
def shop(fakes: Fakes) -> Shop:
    return Shop(fakes.executor)


def orders(*steps: dict[str, Any], calls: tuple[str, ...] = (BILLING,), **plan: Any) -> Release:
    made = workflow(*(steps or (BILL,)), **plan)
    return replace(made, calls=(*made.calls, *calls))


def billing(*steps: dict[str, Any], calls: tuple[str, ...] = (), **plan: Any) -> Release:
    made = workflow(*(steps or ({"id": "store", "input": {"order": "${input.order}"}},)), **plan)
    return replace(made, name=ReleaseName("acme", "billing", "1.0.0"), calls=(*made.calls, *calls))


async def ready(client: Client, fakes: Fakes, parent: Release, child: Release) -> None:
    """An agent with the shop and the parent attached; the child is installed, and attached to nobody."""
    fakes.registry.add(child)
    await install(client, fakes, parent)
    await client.install("orgs/acme/capabilities/billing", Grants(permissions=["network.http.get"]))


async def begun(client: Client, run: run_pb2.Run, step: str = "bill") -> str:
    """The name of the run that a step began."""
    await eventually(lambda: _has_child(client, run.name, step))
    return (await steps(client, run.name))[step].child


async def _has_child(client: Client, run: str, step: str) -> bool:
    found = (await steps(client, run)).get(step)
    if found is None or not found.child:
        return False
    try:
        await client.runs.GetRun(run_pb2.GetRunRequest(name=found.child))
    except NotFound:
        return False
    return True


async def test_a_step_waits_for_the_run_of_another_workflow(client: Client, fakes: Fakes, shop: Shop) -> None:
    """It gives what that gives, for the same person; what the child's steps reach is cut by its parent as it is now."""
    await ready(client, fakes, orders(), billing(EVENT, {"id": "store", "after": after("paid"), "input": "${input}"}))
    run = await start(client, order=7)
    child = await begun(client, run)
    await until(client, child, run_pb2.RUN_STATE_WAITING)
    parent = await until(client, run.name, run_pb2.RUN_STATE_WAITING)
    assert parent.reason == ""  # nobody is asked anything by it
    assert (await steps(client, run.name))["bill"].waits == run_pb2.WAITS_RUN
    await client.runs.SendEvent(run_pb2.SendEventRequest(run=child, event="paid", payload=to_value(1)))
    assert (await until(client, run.name)).state == run_pb2.RUN_STATE_SUCCEEDED
    assert await output(client, run) == {"order": 7}
    ended = await client.runs.GetRun(run_pb2.GetRunRequest(name=child))
    assert (ended.subject, ended.action, ended.state) == (run.subject, BILLING, run_pb2.RUN_STATE_SUCCEEDED)
    (execution,) = fakes.executor.executions
    reached = Authority(frozenset({"network.http.get"}), frozenset({"api.shop.com"}))
    assert [(one.release.capability, one.authority) for one in execution.callers] == [
        ("orders", reached),
        ("billing", Authority(frozenset({"network.http.get"}))),
    ]


async def test_a_step_calls_a_workflow_by_the_name_of_its_installation(
    client: Client, fakes: Fakes, shop: Shop
) -> None:
    """The one that it names, with the grants of that one; it is not the one that is called as its capability."""
    named = {"id": "bill", "action": "paper.run", "input": {"order": "${input.order}"}}
    await ready(client, fakes, orders(named, calls=("paper.run",)), billing())
    billing_of_paper = {"installation_id": "paper", "own_name": True}
    await client.install("orgs/acme/capabilities/billing", Grants(hosts=["api.shop.com"]), **billing_of_paper)
    run = await start(client, order=7)
    assert (await until(client, run.name)).state == run_pb2.RUN_STATE_SUCCEEDED
    child = (await steps(client, run.name))["bill"].child
    assert (await client.runs.GetRun(run_pb2.GetRunRequest(name=child))).action == "paper.run"
    (execution,) = fakes.executor.executions
    assert execution.callers[-1].authority == Authority(frozenset(), frozenset({"api.shop.com"}))


async def test_a_child_that_fails_fails_its_step_for_its_reason(client: Client, fakes: Fakes, shop: Shop) -> None:
    shop.answers["store"] = [ActionFailed("the till is shut", reason="USER_ERROR")]
    await ready(client, fakes, orders(), billing())
    run = await start(client, order=7)
    failed = await until(client, run.name)
    child = (await steps(client, run.name))["bill"].child
    assert (failed.state, failed.reason) == (run_pb2.RUN_STATE_FAILED, "USER_ERROR")
    assert "the till is shut" in failed.message
    assert child in failed.message


async def test_a_parent_and_its_child_are_cancelled_together(client: Client, fakes: Fakes, shop: Shop) -> None:
    """The child with its parent; a child alone fails the step that waits for it."""
    await ready(client, fakes, orders(), billing(EVENT))
    run = await start(client, order=7)
    child = await begun(client, run)
    await client.runs.CancelRun(run_pb2.CancelRunRequest(name=run.name))
    assert (await until(client, child)).state == run_pb2.RUN_STATE_CANCELLED
    run = await start(client, order=8)
    child = await begun(client, run)
    await client.runs.CancelRun(run_pb2.CancelRunRequest(name=child))
    failed = await until(client, run.name)
    assert (failed.state, failed.reason) == (run_pb2.RUN_STATE_FAILED, "CANCELLED")


async def test_a_child_ends_with_a_parent_that_failed_beside_it(client: Client, fakes: Fakes, shop: Shop) -> None:
    """And before the parent reverts what it did: it would go on doing what is being undone."""
    shop.answers["put"] = [ActionFailed("no", reason="USER_ERROR")]
    store = {"id": "store", "revert": {"id": "undo", "does": "call", "action": "shop.undo"}}
    wait = {"id": "go", "does": "event", "action": "", "input": "go", "after": after("store")}
    await ready(client, fakes, orders(BILL, store, wait, {"id": "put", "after": after("go")}), billing(EVENT))
    run = await start(client, order=7)
    child = await begun(client, run)
    await client.runs.SendEvent(run_pb2.SendEventRequest(run=run.name, event="go"))
    assert (await until(client, run.name)).state == run_pb2.RUN_STATE_FAILED
    cancelled = await until(client, child)
    assert cancelled.state == run_pb2.RUN_STATE_CANCELLED
    reverted = (await steps(client, run.name))["store.revert"]
    assert reverted.state == run_pb2.RUN_STATE_SUCCEEDED
    assert cancelled.end_time.ToDatetime() <= reverted.start_time.ToDatetime()


async def test_what_is_done_on_an_error_keeps_its_child(client: Client, fakes: Fakes, shop: Shop) -> None:
    """Though the run is walked again meanwhile, and looks again at what is to end with its failure."""
    shop.answers["put"] = [ActionFailed("no", reason="USER_ERROR")]
    waits = {"id": "go", "does": "event", "action": "", "input": "go"}
    on_error = {"id": "tell", "does": "call", "action": BILLING, "input": {"order": 7}}
    await ready(client, fakes, orders({"id": "put"}, waits, on_error=on_error), billing(EVENT))
    run = await start(client, order=7)
    child = await begun(client, run, "tell")
    await until(client, run.name, run_pb2.RUN_STATE_WAITING)
    await client.runs.SendEvent(run_pb2.SendEventRequest(run=run.name, event="go"))
    await until(client, run.name, run_pb2.RUN_STATE_WAITING)
    await client.runs.SendEvent(run_pb2.SendEventRequest(run=child, event="paid"))
    assert (await until(client, run.name)).state == run_pb2.RUN_STATE_FAILED
    assert (await until(client, child)).state == run_pb2.RUN_STATE_SUCCEEDED


async def test_a_step_gives_its_child_no_more_time_than_it_has(client: Client, fakes: Fakes, shop: Shop) -> None:
    await ready(client, fakes, orders({**BILL, "timeout_seconds": 0.2}), billing(EVENT))
    run = await start(client, order=7)
    failed = await until(client, run.name)
    assert (failed.state, failed.reason) == (run_pb2.RUN_STATE_FAILED, "TIMEOUT")
    child = (await steps(client, run.name))["bill"].child
    assert (await until(client, child)).state == run_pb2.RUN_STATE_CANCELLED


async def test_two_workflows_that_call_each_other_come_to_an_end(client: Client, fakes: Fakes, shop: Shop) -> None:
    back = billing({"id": "back", "action": "orders.run", "input": "${input}"}, calls=("orders.run",))
    await ready(client, fakes, orders(), back)
    failed = await until(client, (await start(client, order=7)).name)
    assert (failed.state, failed.reason) == (run_pb2.RUN_STATE_FAILED, "CALLEE_CYCLE")
    assert failed.facts["cycle"] == "orders -> billing -> orders.run"


@pytest.mark.parametrize("committed", [False, True])
async def test_a_child_is_begun_once_whoever_dies(
    client: Client, fakes: Fakes, shop: Shop, query: Query, monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    """Before and after it was begun, when its name is written down in any case."""
    monkeypatch.setattr(walking, "AGAIN_SECONDS", 0.01)
    real, died = Children.begin, []

    async def begin(*given: Any) -> bool:
        done = await real(*given) if committed or died else True
        if not died:
            died.append(True)
            raise Unavailable("dead")
        return done

    monkeypatch.setattr(Children, "begin", begin)
    await ready(client, fakes, orders(), billing())
    run = await start(client, order=7)
    assert (await until(client, run.name)).state == run_pb2.RUN_STATE_SUCCEEDED
    assert shop.asked == ["store"]
    assert len(await query("SELECT run FROM workflows")) == 2


async def test_an_end_that_nobody_was_told_of_is_found(
    client: Client, url: str, fakes: Fakes, shop: Shop, cleanup: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever ended the child died before it told the parent."""

    async def die(*_given: Any) -> None:
        return None

    with monkeypatch.context() as dead:
        dead.setattr(Children, "_tell", die)
        await ready(client, fakes, orders(), billing())
        run = await start(client, order=7)
        await until(client, await begun(client, run))
        await until(client, run.name, run_pb2.RUN_STATE_WAITING)
    database, stretches = Database(url), Stretches(url)
    cleanup.push_async_callback(database.close)
    cleanup.callback(stretches.close)
    await Children(Store(database, stretches), fakes.config, SystemClock()).mend()
    assert (await until(client, run.name)).state == run_pb2.RUN_STATE_SUCCEEDED


async def test_parents_that_wait_hold_no_place_of_their_org(client: Client, fakes: Fakes, shop: Shop) -> None:
    await ready(client, fakes, orders(), billing())
    runs = [await start(client, order=n) for n in range(AT_ONCE_OF_ORG + 2)]
    for run in runs:
        assert (await until(client, run.name)).state == run_pb2.RUN_STATE_SUCCEEDED


async def test_a_child_and_a_fork_of_it_reach_no_more_than_its_parent(client: Client, fakes: Fakes, shop: Shop) -> None:
    """Nor does who started the parent approve a step of it; where the parent may not run any more, neither may they."""
    ask = {"id": "ask", "does": "approval", "action": "", "input": "?", "by": "somebody-else"}
    await ready(
        client, fakes, orders(), billing({"id": "store", "input": "${input}"}, {**ask, "after": after("store")})
    )
    child = await begun(client, await start(client, order=7))
    await until(client, child, run_pb2.RUN_STATE_WAITING)
    step = (await steps(client, child))["ask"]
    with pytest.raises(PermissionDenied, match="who started a run"):
        await client.runs.ApproveStep(run_pb2.ApproveStepRequest(step=step.name, digest=step.digest))
    forked = await client.runs.ForkRun(run_pb2.ForkRunRequest(name=child, step="store"))
    await until(client, forked.name, run_pb2.RUN_STATE_WAITING)
    above = [[one.release.capability for one in execution.callers] for execution in fakes.executor.executions]
    assert above == [["orders", "billing"]] * 2

    off = agent_pb2.Attachment(name=f"{AGENT}/attachments/orders", enabled=False)
    update = agent_pb2.UpdateAttachmentRequest(attachment=off, update_mask=FieldMask(paths=["enabled"]))
    await client.agents.UpdateAttachment(update)
    again = await client.runs.ForkRun(run_pb2.ForkRunRequest(name=child, step="store"))
    assert (await until(client, again.name)).reason == "WORKFLOW_DETACHED"


async def test_what_a_step_cannot_promise_of_a_workflow_is_refused(client: Client, fakes: Fakes, shop: Shop) -> None:
    """No second attempt; and no workflow that only another org has installed."""
    elsewhere = {"id": "other", "action": "elsewhere.run"}
    made = orders(
        {**BILL, "retry": {"attempts": 2}, "on_error": "continue"}, elsewhere, calls=(BILLING, "elsewhere.run")
    )
    await ready(client, fakes, made, billing())
    failed = await until(client, (await start(client, order=7)).name)
    assert failed.reason == "CALLEE_NOT_INSTALLED"
    bill = (await steps(client, failed.name))["bill"]
    assert (bill.reason, bill.child) == ("CALLEE_WORKFLOW", "")


@pytest.mark.parametrize("effect", [None, "read"])
async def test_what_all_steps_have_as_their_retry_is_none_for_a_workflow(
    client: Client, fakes: Fakes, shop: Shop, effect: str | None
) -> None:
    """`error_handling.retry` is for what does no harm: a step that calls a workflow begins it, once."""
    shop.answers = {"store": [ActionFailed("no", reason="USER_ERROR")]}
    words = {"steps": [{"id": "bill", "action": BILLING, "effect": effect}], "error_handling": {"retry": 3}}
    written = {"capability": {"id": "orders", "version": "1.0.0", "workflow": words}}
    found = check(load(json.dumps(written).encode(), "orders.json")).manifest
    assert found is not None
    assert found.plan is not None
    eased = {**BILL, "effect": effect, "retry": found.plan.steps[0].retry.model_dump()}
    await ready(client, fakes, orders(eased), billing())
    run = await until(client, (await start(client, order=7)).name)
    assert (run.reason, shop.asked) == ("USER_ERROR", ["store"])
    again = await until(client, (await start(client, order=7)).name)
    assert (again.state, shop.asked) == (run_pb2.RUN_STATE_SUCCEEDED, ["store"] * 2)


async def test_a_dry_run_begins_no_run(client: Client, fakes: Fakes, shop: Shop, query: Query) -> None:
    await ready(client, fakes, orders(), billing())
    dry = agent_pb2.CallActionRequest(agent=AGENT, action="orders.run", input=to_struct({"order": 7}), dry_run=True)
    (step,) = (await client.agents.CallAction(dry)).plan.steps
    assert step.message == "begins a run of billing.run, whose plan a dry run of that makes"
    assert (shop.asked, await query("SELECT run FROM workflows")) == ([], [])


async def test_runs_of_steps_and_of_events_have_one_budget(
    client: Client, fakes: Fakes, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run that a step begins is what its parent may begin; the event of its failure begins nothing any more."""
    monkeypatch.setattr("hardpoint_runtime.store.children.MOST_DESCENDANTS", 1)
    shop.answers["store"] = [ActionFailed("the till is shut", reason="USER_ERROR")]
    again = {**BILL, "id": "again", "after": after("bill", port="settled")}
    await ready(client, fakes, orders({**BILL, "on_error": "continue"}, again), billing())
    kind, heard = trigger_pb2.TRIGGER_TYPE_EVENT, f"event.run.action == '{BILLING}'"
    given = {"action": "orders.run", "input": {"order": 1}, "filter": heard, "verifier": Verifier()}
    await create(client, type=kind, event="run.failed", **given)
    run = await start(client, order=7)
    failed = await until(client, run.name)
    assert (failed.state, failed.reason) == (run_pb2.RUN_STATE_FAILED, "CALLEE_LIMIT")

    async def refused() -> bool:
        return ("EVENT_LIMIT", "") in [(one.reason, one.run) for one in await history(client)]

    await eventually(refused)
