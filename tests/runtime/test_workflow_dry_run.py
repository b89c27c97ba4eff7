"""Dry runs of workflows: what reads is done, what writes is planned, and what nobody knows is said and not guessed."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from hardpoint.manifest.v1 import manifest_pb2
from hardpoint.runtime.v1 import agent_pb2, run_pb2
from hardpoint_kit.documents import to_struct, to_value
from hardpoint_kit.errors import ActionFailed, Conflict, Unavailable
from hardpoint_kit.rpc.server import Server
from hardpoint_runtime.domain.effects import Effect
from hardpoint_runtime.domain.executions import Ended, Execution
from hardpoint_runtime.domain.runs import RunState
from runtime.conftest import AGENT, Client, Dial, Fakes, Query
from runtime.fakes import succeed
from runtime.workflows import TOOL, Shop, after, install, workflow

POST = Effect("sha256:1", "", "r", "shop.put", "fetch", "POST", "api.shop.com/x", {"n": 1}, "")


@pytest.fixture
def shop(fakes: Fakes) -> Shop:
    return Shop(fakes.executor)


def writes(*, gives: Any = None, error: ActionFailed | None = None) -> Any:
    """An action that would write, and answers this in its dry run."""

    async def behave(execution: Execution) -> Ended:
        assert execution.dry_run
        ended = await succeed(execution)
        output = None if error else to_value(gives)
        state = RunState.FAILED if error else ended.state
        return replace(ended, state=state, output=output, error=error, planned=(POST,))

    return behave


async def dry(client: Client, **value: Any) -> agent_pb2.CallActionResponse:
    request = agent_pb2.CallActionRequest(agent=AGENT, action=TOOL, input=to_struct(value), dry_run=True)
    return await client.agents.CallAction(request, timeout=20)


def told(plan: manifest_pb2.EffectPlan) -> dict[str, str]:
    outcome = manifest_pb2.PlannedStep.Outcome
    return {step.path: outcome.Name(step.outcome).removeprefix("OUTCOME_").lower() for step in plan.steps}


async def test_what_reads_is_done_what_writes_is_planned_and_nothing_durable_begins(
    client: Client, fakes: Fakes, shop: Shop, query: Query
) -> None:
    shop.answers = {"put": [writes(gives={"id": 7}), writes(gives={"id": 7})], "mail": [writes(), writes()]}
    made = workflow(
        {"id": "look", "input": {"order": "${input.order}"}},
        {"id": "put", "input": {"order": "${steps.look.order}"}, "after": after("look"), "output": "stored"},
        {"id": "mail", "input": {"about": "${stored.id}"}, "after": after("put")},
        output="${steps.mail}",
    )
    await install(client, fakes, made)
    answer = await dry(client, order=5)
    plan = answer.plan
    assert told(plan) == {"look": "done", "put": "planned", "mail": "planned"}
    assert [(effect.path, effect.target) for effect in plan.effects] == [("put", POST.target), ("mail", POST.target)]
    assert [dict(one.input) for one in fakes.executor.executions] == [{"order": 5}, {"order": 5}, {"about": 7}]
    assert not plan.incomplete
    run = await client.runs.GetRun(run_pb2.GetRunRequest(name=answer.run))
    assert (run.dry_run, run.plan, run.state) == (True, plan.digest, run_pb2.RUN_STATE_SUCCEEDED)
    listed = (await client.runs.ListSteps(run_pb2.ListStepsRequest(parent=answer.run))).steps
    assert [step.path for step in listed] == ["look", "put", "mail"]
    for table in ("workflows", "usage_counters", "grant_uses", "effect_plans"):
        assert await query(f"SELECT 1 FROM {table}") == [], table
    assert (await dry(client, order=5)).plan.digest == plan.digest

    request = agent_pb2.CallActionRequest(agent=AGENT, action=TOOL, expect_plan=plan.digest)
    with pytest.raises(Conflict) as held:
        await client.agents.CallAction(request)
    assert held.value.reason == "NO_DRY_RUN"


async def test_what_stands_on_the_answer_to_a_write_is_listed_with_what_it_needs(
    client: Client, fakes: Fakes, shop: Shop
) -> None:
    lost = ActionFailed("there is no id", reason="USER_ERROR")
    shop.answers = {"put": [writes()], "store": [writes(error=lost)]}
    made = workflow(
        {"id": "put"},
        {"id": "mail", "input": {"to": "${steps.put.mail}", "n": "${input.n}"}, "after": after("put")},
        {"id": "big", "does": "branch", "action": "", "condition": "steps.put.total > 5", "after": after("put")},
        {"id": "alarm", "action": "shop.mail", "after": after("big", port="then")},
        {"id": "later", "action": "shop.look", "after": after("alarm")},
        {"id": "each", "action": "shop.look", "for_each": "input.list", "input": {"item": "${item}"}},
        {"id": "store", "when": "input.n > 0", "after": after("each")},
        {"id": "undo", "when": "input.n < 0", "after": after("store")},
        {"id": "end", "action": "shop.look", "after": after("alarm", port="settled")},
    )
    await install(client, fakes, made)
    plan = (await dry(client, n=1, list=["a", "b"])).plan
    assert told(plan) == {
        "put": "planned",
        "mail": "unknown",
        "big": "unknown",
        "alarm": "unknown",
        "later": "unknown",
        "each/0": "done",
        "each/1": "done",
        "store": "planned",
        "undo": "skipped",
        "end": "done",
    }
    steps = {step.path: step for step in plan.steps}
    assert (steps["mail"].needs, steps["mail"].action) == (["steps.put.mail"], "shop.mail")
    assert steps["mail"].message == "stands on what put would answer: steps.put.mail"
    assert steps["alarm"].message == "is done or not, as big is open"
    assert steps["later"].message == "is done or not, as alarm is open"
    assert "USER_ERROR there is no id" in steps["store"].message
    assert sorted(shop.asked) == ["look", "look", "look", "put", "store"]
    assert (plan.incomplete, plan.reason, plan.place) == (True, "ANSWER_NOT_KNOWN", "mail")


async def test_steps_of_a_loop_know_what_those_outside_do_not(client: Client, fakes: Fakes, shop: Shop) -> None:
    shop.answers = {"put": [writes(), writes(gives={"id": 1})]}
    inner = {"does": "call", "action": "shop.look"}
    loop = {
        "id": "all",
        "does": "steps",
        "action": "",
        "for_each": "input.list",
        "after": after("put"),
        "steps": [
            {**inner, "id": "known", "input": {"of": "${item}"}},
            {**inner, "id": "open", "input": {"of": "${steps.put.id}"}},
        ],
        "result": "${steps.known}",
    }
    made = workflow({"id": "put"}, loop, {"id": "mail", "input": {"n": "${steps.all[0].of}"}, "after": after("all")})
    await install(client, fakes, made)
    plan = (await dry(client, list=["a"])).plan
    assert told(plan) == {"put": "planned", "all/0/known": "done", "all/0/open": "unknown", "mail": "done"}
    assert dict(fakes.executor.executions[-1].input) == {"n": "a"}


async def test_waits_are_passed_and_what_needs_an_approval_is_seen_by_who_may_give_it(
    client: Client, fakes: Fakes, shop: Shop, server: Server, dial: Dial
) -> None:
    def waits(id: str, does: str, **more: Any) -> dict[str, Any]:
        return {"id": id, "does": does, "action": "", **more}

    made = workflow(
        waits("nap", "wait", input=3600),
        waits("ask", "approval", input={"n": "${input.n}"}, after=after("nap")),
        {"id": "look", "input": {"ok": "${steps.ask.approved}"}, "after": after("ask")},
        {"id": "mail", "input": {"by": "${steps.ask.by}"}, "after": after("look")},
        waits("paid", "event", input="paid", after=after("nap")),
        {"id": "store", "input": {"how": "${steps.paid.how}"}, "after": after("paid")},
        waits("other", "approval", by="somebody-else", after=after("nap")),
        {"id": "put", "after": after("other")},
    )
    await install(client, fakes, made)
    plan = (await dry(client, n=1)).plan
    rest = {"nap": "passed", "paid": "passed", "store": "unknown", "other": "unknown", "put": "unknown"}
    assert told(plan) == {**rest, "ask": "passed", "look": "done", "mail": "unknown"}
    assert {step.path: step.message for step in plan.steps}["nap"] == "waits 3600 s"
    assert shop.asked == ["look"]

    agent = dial(server, subject="the-agent", role="agent")
    plan = (await dry(agent, n=1)).plan
    assert told(plan) == {**rest, "ask": "unknown", "look": "unknown", "mail": "unknown"}
    assert shop.asked == ["look"], "what an approval lets happen, a read too, is nothing for whoever cannot give it"


async def test_nothing_is_read_behind_an_approval_however_it_is_come_by(
    client: Client, fakes: Fakes, shop: Shop, server: Server, dial: Dial
) -> None:
    shop.answers = {"put": [writes()]}
    ask = {"id": "ask", "does": "approval", "action": ""}
    look = {"action": "shop.look"}
    made = workflow(
        {"id": "put"},
        {**ask, "input": "${steps.put.sum}", "after": after("put")},
        {**look, "id": "asked", "after": after("ask")},
        {**look, "id": "either-way", "after": after("ask", port="settled")},
        {**look, "id": "both", "after": [*after("put"), *after("either-way", port="settled")]},
        {"id": "each", "does": "steps", "action": "", "for_each": "input.list", "steps": [ask]},
        {**look, "id": "after-each", "after": after("each")},
        {
            "id": "open",
            "does": "steps",
            "action": "",
            "for_each": "steps.put.list",
            "steps": [ask],
            "after": after("put"),
        },
        {**look, "id": "after-open", "after": after("open", port="settled")},
        {"id": "mail", "input": {"n": "${steps.put.n}"}, "after": after("put")},
        {**look, "id": "after-mail", "after": after("mail")},
        {**look, "id": "aside"},
    )
    await install(client, fakes, made)
    name = f"{AGENT}/attachments/shop"
    update = agent_pb2.UpdateAttachmentRequest(attachment=agent_pb2.Attachment(name=name, require_approval=["mail"]))
    update.update_mask.paths.append("require_approval")
    await client.agents.UpdateAttachment(update)
    agent = dial(server, subject="the-agent", role="agent")
    plan = (await dry(agent, list=["a", "b"])).plan
    assert {path for path, outcome in told(plan).items() if outcome != "unknown"} == {"put", "aside"}
    assert sorted(shop.asked) == ["look", "put"]
    assert {"each/0/ask", "each/1/ask"} < told(plan).keys()


async def test_a_step_that_fails_ends_the_plan_unless_the_workflow_goes_on(
    client: Client, fakes: Fakes, shop: Shop
) -> None:
    broken = ActionFailed("no such order", reason="UPSTREAM_ERROR")
    shop.answers = {"look": [broken, broken], "put": [writes(gives={"id": 1})]}
    made = workflow(
        {"id": "perhaps", "action": "shop.look", "on_error": "continue"},
        {"id": "put", "input": {"of": "${steps.perhaps}"}, "after": after("perhaps")},
        {"id": "look", "after": after("put")},
        {"id": "mail", "after": after("look")},
        on_error={"id": "tell", "does": "call", "action": "shop.mail"},
    )
    await install(client, fakes, made)
    plan = (await dry(client)).plan
    assert told(plan) == {"perhaps": "failed", "put": "planned", "look": "failed", "tell": "unknown"}
    assert (plan.incomplete, plan.reason, plan.place) == (True, "UPSTREAM_ERROR", "look")
    assert len(plan.effects) == 1


async def test_what_may_fail_may_fail_before_it_asks_in_a_plan_too(client: Client, fakes: Fakes, shop: Shop) -> None:
    made = workflow(
        {"id": "look", "on_error": "continue", "input": {"x": "${input.missing}"}},
        {"id": "put", "input": {"of": "${steps.look}"}, "after": after("look")},
    )
    shop.answers = {"put": [writes(gives={"id": 1})]}
    await install(client, fakes, made)
    plan = (await dry(client)).plan
    assert (told(plan), plan.incomplete) == ({"look": "failed", "put": "planned"}, False)


async def test_a_dry_run_ends_with_its_the_callers_time_and_without_an_executor(
    client: Client, fakes: Fakes, shop: Shop
) -> None:
    async def hangs(_execution: Execution) -> Ended:
        await asyncio.Event().wait()
        raise AssertionError

    shop.answers = {"look": [hangs]}
    await install(client, fakes, workflow({"id": "put"}, {"id": "look", "after": after("put")}))
    request = agent_pb2.CallActionRequest(agent=AGENT, action=TOOL, dry_run=True)
    plan = (await client.agents.CallAction(request, timeout=1.0)).plan
    assert (told(plan), plan.incomplete, plan.reason) == ({"put": "done"}, True, "TIMEOUT")

    shop.answers["look"] = [raises]
    with pytest.raises(Unavailable):
        await client.agents.CallAction(request)


async def raises(_execution: Execution) -> Ended:
    raise Unavailable("no executor")
