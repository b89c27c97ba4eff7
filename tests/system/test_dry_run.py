"""A dry run of a call, and the call that is held to its plan: on a whole system, through the command line too."""

import json

import pytest

from hardpoint.manifest.v1 import manifest_pb2
from hardpoint.runtime.v1 import agent_pb2, installation_pb2, run_pb2
from hardpoint_kit.documents import from_struct, from_value
from hardpoint_kit.errors import Conflict, NotFound, PermissionDenied

from .conftest import add_file
from .orders import effect, orders, start, until
from .test_s01_create_and_call import run_cli

pytestmark = pytest.mark.jail
ORDERS = """
from hardpoint_sdk import action, capability

@capability(id="orders", name="Orders", version="VERSION", hosts=["upstream.test"],
    permissions=["network.http.get", "network.http.post"],
    config={"UNIT": {"type": "string"}, "API_KEY": {"type": "secret", "hosts": ["upstream.test"]}})
class Orders:
    @action
    async def order(self, input):
        price = (await self.fetch(input["url"] + "/price")).json()["price"]
        answer = await self.fetch(
            input["url"] + "/orders", method="POST", headers={"authorization": "Bearer " + self.config["API_KEY"]},
            json={"item": input["item"], "price": price, "unit": self.config["UNIT"]},
        )
        if "again" in answer.text:
            await self.fetch(input["url"] + "/orders", method="POST", json={"item": "another"})
        return {"status": answer.status}

    @action
    async def note(self, input):
        known = await self.context.get()
        about = {"id": known["seed"], "at": known["at"], "text": input["text"]}
        return {"status": (await self.fetch(input["url"] + "/notes", method="POST", json=about)).status}
"""


def source(version: str = "1.0.0") -> bytes:
    return ORDERS.replace("VERSION", version).encode()


async def test_a_call_writes_what_its_dry_run_has_shown(system, client, agent, org):
    said = {"answer": {"ok": True}}
    url = system.upstream.serve(lambda asked: (200, {"price": 3} if asked.method == "GET" else said["answer"]))
    installed = await add_file(
        client, agent, source(), "orders.py", secrets={"API_KEY": "key-4711-key"}, settings={"UNIT": "kg"}
    )
    given = {"url": url, "item": "tea"}

    dry = await client.call("helper", "orders.order", given, dry_run=True)
    assert [asked.method for asked in system.upstream.asked(url)] == ["GET"]
    assert from_value(dry.output) == {"status": 202}
    [post] = dry.plan.effects
    assert (post.service, post.operation, post.target) == (
        "fetch",
        "POST",
        url.removeprefix("https://") + "/orders",
    )
    arguments = from_struct(post.arguments)
    assert arguments["headers"]["authorization"] == "Bearer secret:API_KEY"
    assert json.loads(arguments["body"]["text"]) == {"item": "tea", "price": 3, "unit": "kg"}
    run = await client.runs.GetRun(run_pb2.GetRunRequest(name=dry.run))
    assert (run.dry_run, run.plan) == (True, dry.plan.digest)
    name = f"{agent.name}/attachments/{installed}"
    attachment = await client.agents.GetAttachment(agent_pb2.GetAttachmentRequest(name=name))
    assert attachment.counters.execution_count == 0

    arguments = ["call", "helper", "orders.order", f"url={url}", "item=tea", "--dry-run"]
    said_there = await run_cli(system.cli_environment(org), *arguments)
    assert said_there["plan"]["digest"] == dry.plan.digest

    done = await client.call("helper", "orders.order", given, expect_plan=dry.plan.digest)
    assert (from_value(done.output), done.effects_left) == ({"status": 200}, 0)
    run = await client.runs.GetRun(run_pb2.GetRunRequest(name=done.run))
    assert (run.dry_run, run.plan) == (False, dry.plan.digest)
    posts = [asked for asked in system.upstream.asked(url) if asked.method == "POST"]
    assert [json.loads(asked.body)["price"] for asked in posts] == [3]
    assert posts[0].headers["authorization"] == "Bearer key-4711-key"

    said["answer"] = {"ok": "again"}
    with pytest.raises(PermissionDenied) as more:
        await client.call("helper", "orders.order", given, expect_plan=dry.plan.digest)
    assert more.value.reason == "EFFECT_NOT_PLANNED"
    assert more.value.metadata["expected"] == "nothing"
    assert len([asked for asked in system.upstream.asked(url) if asked.method == "POST"]) == 2

    with pytest.raises(NotFound) as unknown:
        await client.call("helper", "orders.order", given, expect_plan="sha256:0")
    assert unknown.value.reason == "PLAN_UNKNOWN"

    async def stale(**input: object) -> str:
        with pytest.raises(Conflict) as refused:
            await client.call("helper", "orders.order", {**given, **input}, expect_plan=dry.plan.digest)
        assert refused.value.reason == "PLAN_STALE"
        return refused.value.metadata["changed"]

    assert await stale(item="coffee") == "input"
    await client.set_secret(installed, "API_KEY", "another-4711-key")
    assert await stale() == "settings"
    anew = await client.call("helper", "orders.order", given, dry_run=True)
    assert anew.plan.digest != dry.plan.digest
    release = (await client.push(source("1.0.1"), "orders.py")).release
    await client.publish(release.name)
    newer = installation_pb2.Installation(name=f"{client.org}/installations/{installed}", constraint="1.0.1")
    update = installation_pb2.UpdateInstallationRequest(installation=newer)
    update.update_mask.paths.append("constraint")
    await client.installations.UpdateInstallation(update)
    assert await stale() == "release, settings"
    assert len([asked for asked in system.upstream.asked(url) if asked.method == "POST"]) == 2


async def test_what_code_makes_of_the_moment_and_of_chance_is_what_was_planned(system, client, agent):
    url = system.upstream.serve((200, {}))
    await add_file(client, agent, source(), "orders.py", secrets={"API_KEY": "key-4711-key"}, settings={"UNIT": "kg"})
    given = {"url": url, "text": "tea"}
    plans = [(await client.call("helper", "orders.note", given, dry_run=True)).plan for _ in range(2)]
    wanted = [json.loads(from_struct(plan.effects[0].arguments)["body"]["text"]) for plan in plans]
    assert plans[0].digest != plans[1].digest
    for plan in plans:
        assert not plan.HasField("circumstances")
        await client.call("helper", "orders.note", given, expect_plan=plan.digest)
    assert [json.loads(asked.body) for asked in system.upstream.asked(url)] == wanted


async def _waiting(client, run: str) -> run_pb2.Step:
    steps = (await client.runs.ListSteps(run_pb2.ListStepsRequest(parent=run))).steps
    return next(step for step in steps if step.waits == run_pb2.WAITS_APPROVAL)


async def _planned(client, run: str) -> tuple[run_pb2.ApproveStepRequest, manifest_pb2.EffectPlan]:
    """The approval of what a run waits for, bound to the plan of what follows."""
    step = await _waiting(client, run)
    request = run_pb2.PlanStepRequest(step=step.name, digest=step.digest)
    plan = (await client.runs.PlanStep(request, timeout=30)).plan
    return run_pb2.ApproveStepRequest(step=step.name, digest=step.digest, plan=plan.digest), plan


async def test_who_approves_a_call_sees_its_plan_and_binds_it_to_that(system, client, agent, org):
    url = system.upstream.serve(lambda asked: (200, {"price": 3}))
    installed = await add_file(
        client, agent, source(), "orders.py", secrets={"API_KEY": "key-4711-key"}, settings={"UNIT": "kg"}
    )
    attachment = agent_pb2.Attachment(name=f"{agent.name}/attachments/{installed}", require_approval=["order"])
    update = agent_pb2.UpdateAttachmentRequest(attachment=attachment)
    update.update_mask.paths.append("require_approval")
    await client.agents.UpdateAttachment(update)
    as_agent = system.client(org, ["agent"], "the-agent")

    async def asked() -> str:
        paused = await as_agent.call("helper", "orders.order", {"url": url, "item": "tea"})
        assert paused.reason == "APPROVAL_REQUIRED"
        return paused.run

    with pytest.raises(Conflict) as unasked:
        await as_agent.call("helper", "orders.order", {"url": url, "item": "tea"}, dry_run=True)
    assert unasked.value.reason == "NO_DRY_RUN"
    run, other = await asked(), await asked()
    assert system.upstream.asked(url) == []

    approve, plan = await _planned(client, run)
    assert [one.target for one in plan.effects] == [url.removeprefix("https://") + "/orders"]
    with pytest.raises(PermissionDenied):
        await as_agent.runs.PlanStep(run_pb2.PlanStepRequest(step=approve.step, digest=approve.digest))
    wrong = run_pb2.ApproveStepRequest(step=approve.step, digest=approve.digest, plan="sha256:0")
    with pytest.raises(NotFound) as unknown:
        await client.runs.ApproveStep(wrong)
    assert unknown.value.reason == "PLAN_UNKNOWN"
    assert [asked.method for asked in system.upstream.asked(url)] == ["GET"]

    await client.runs.ApproveStep(approve)
    assert (await until(client, run)).state == run_pb2.RUN_STATE_SUCCEEDED
    assert [asked.method for asked in system.upstream.asked(url)] == ["GET", "GET", "POST"]
    [step] = (await client.runs.ListSteps(run_pb2.ListStepsRequest(parent=run))).steps
    assert step.plan == plan.digest

    approve, _ = await _planned(client, other)
    await client.set_settings(installed, {"UNIT": "tons"})
    await client.runs.ApproveStep(approve)
    ended = await until(client, other)
    assert (ended.state, ended.reason) == (run_pb2.RUN_STATE_FAILED, "PLAN_STALE")
    assert len([asked for asked in system.upstream.asked(url) if asked.method == "POST"]) == 1


async def test_an_approval_in_a_workflow_binds_the_step_after_it(system, client, agent, add):
    url = system.upstream.serve((200, {"rest": 6}))
    amount = [{"name": "amount", "type": "number", "required": True}]
    await add(effect("shop", url, amount, params={"amount": "${amount}"}))
    workflow = {
        "inputs": amount,
        "steps": [
            {"id": "ask", "action": "approve", "message": {"amount": "${input.amount}"}},
            {"id": "pay", "action": "shop.get", "amount": "${input.amount}"},
            {"id": "pay-rest", "action": "shop.get", "amount": "${steps.pay.rest}"},
        ],
    }
    await add(orders(*workflow.pop("steps"), **workflow))
    whole = (await client.call("helper", "orders.run", {"amount": 5}, dry_run=True)).plan
    outcomes = [manifest_pb2.PlannedStep.Outcome.Name(step.outcome) for step in whole.steps]
    assert outcomes == ["OUTCOME_PASSED", "OUTCOME_PLANNED", "OUTCOME_UNKNOWN"]
    assert list(whole.steps[2].needs) == ["steps.pay.rest"]
    assert [from_struct(effect.arguments)["query"] for effect in whole.effects] == ["amount=5"]
    run = (await start(client, agent, amount=5)).name
    await until(client, run, run_pb2.RUN_STATE_WAITING)
    approve, plan = await _planned(client, run)
    assert from_struct(plan.effects[0].arguments)["query"] == "amount=5"
    assert system.upstream.asked(url) == []
    await client.runs.ApproveStep(approve)
    assert (await until(client, run)).state == run_pb2.RUN_STATE_SUCCEEDED
    assert [asked.query for asked in system.upstream.asked(url)] == [{"amount": "5"}, {"amount": "6"}]
    steps = (await client.runs.ListSteps(run_pb2.ListStepsRequest(parent=run))).steps
    assert {step.path: step.plan for step in steps} == {"ask": "", "pay": plan.digest, "pay-rest": ""}
