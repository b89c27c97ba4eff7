"""Dry runs in the record and in their answers, and which calls can be held to the plan of one."""

from dataclasses import replace
from typing import Any

import pytest

from hardpoint.manifest.v1 import manifest_pb2
from hardpoint.runtime.v1 import agent_pb2, run_pb2
from hardpoint_kit.documents import to_struct
from hardpoint_kit.errors import ActionFailed, Conflict
from hardpoint_kit.names import ReleaseName
from hardpoint_kit.rpc.server import Server
from hardpoint_manifest.authority import Authority
from hardpoint_runtime.domain.effects import Effect, EffectPlan
from hardpoint_runtime.domain.executions import Ended, Execution
from hardpoint_runtime.domain.releases import OAuth2
from hardpoint_runtime.domain.runs import RunState, Usage
from runtime.conftest import AGENT, TOOL, Client, Dial, Fakes, Query
from runtime.factories import release

POST = Effect("sha256:1", "", "r", "a", "fetch", "POST", "api.weather.com/x", {"body": {"text": "\0"}}, "")
BROKEN = ActionFailed("there is no id", reason="USER_ERROR", place="a.py:7:1")


def ends(*effects: Effect, error: ActionFailed | None = None, left: int = 0) -> Any:
    async def behave(_execution: Execution) -> Ended:
        state = RunState.FAILED if error else RunState.SUCCEEDED
        used = Authority(frozenset({"network.http.get"}), frozenset({"api.weather.com"}))
        return Ended(state, None, error, Usage(wall_ms=2.0), used, planned=effects, left=left)

    return behave


async def call(client: Client, **words: Any) -> agent_pb2.CallActionResponse:
    value = to_struct({"location": "New York"})
    given = {"agent": AGENT, "action": TOOL, "input": value, **words}
    return await client.agents.CallAction(agent_pb2.CallActionRequest(**given))


async def test_a_dry_run_is_a_run_that_counts_for_nothing(attached: Client, fakes: Fakes, query: Query) -> None:
    fakes.executor.behave = ends(POST)
    dry = await call(attached, dry_run=True, oversize=agent_pb2.OVERSIZE_FILE)
    (execution,) = fakes.executor.executions
    assert (execution.dry_run, execution.held_to, execution.oversize_to_file) == (True, None, False)
    assert [effect.target for effect in dry.plan.effects] == ["api.weather.com/x"]
    run = await attached.runs.GetRun(run_pb2.GetRunRequest(name=dry.run))
    assert (run.dry_run, run.plan, run.state) == (True, dry.plan.digest, run_pb2.RUN_STATE_SUCCEEDED)
    assert await query("SELECT 1 FROM usage_counters") == []
    assert await query("SELECT 1 FROM grant_uses") == []

    fakes.executor.behave = ends(left=1)
    done = await call(attached, expect_plan=dry.plan.digest)
    held = fakes.executor.executions[-1]
    assert (held.dry_run, held.held_to and held.held_to.digest) == (False, dry.plan.digest)
    assert (done.effects_left, done.HasField("plan")) == (1, False)
    run = await attached.runs.GetRun(run_pb2.GetRunRequest(name=done.run))
    assert (run.dry_run, run.plan) == (False, dry.plan.digest)
    assert await query("SELECT executions FROM usage_counters") == [(1,)]


async def test_a_plan_with_somebodys_account_is_no_plan_with_anothers(
    client: Client, server: Server, dial: Dial, fakes: Fakes
) -> None:
    fakes.executor.behave = ends(POST)
    oauth2 = OAuth2("TOKEN", "authorization_code", "https://id.test/a", "https://id.test/t", (), True)
    other = dial(server, subject="grace")
    for signs_in, reason in ((None, ""), (oauth2, "PLAN_STALE")):
        id = "signed" if signs_in else "plain"
        fakes.registry.add(replace(release(), name=ReleaseName("acme", id, "1.0.0"), oauth2=signs_in))
        if not signs_in:
            await client.create_agent()
        await client.install(f"orgs/acme/capabilities/{id}")
        await client.attach(f"orgs/acme/installations/{id}")
        tool = f"{id}.get-weather"
        plan = (await call(client, action=tool, dry_run=True)).plan.digest
        if not reason:
            await call(other, action=tool, expect_plan=plan)
            continue
        with pytest.raises(Conflict) as stale:
            await call(other, action=tool, expect_plan=plan)
        assert (stale.value.reason, stale.value.metadata["changed"]) == (reason, "user")


async def test_a_plan_that_ends_early_says_why_and_holds_nothing(attached: Client, fakes: Fakes) -> None:
    fakes.executor.behave = ends(POST, error=BROKEN)
    plan = (await call(attached, dry_run=True)).plan
    assert (plan.incomplete, plan.reason, plan.message, plan.place) == (
        True,
        "USER_ERROR",
        "there is no id",
        "a.py:7:1",
    )
    with pytest.raises(Conflict) as refused:
        await call(attached, expect_plan=plan.digest)
    assert (refused.value.reason, refused.value.metadata["because"]) == ("PLAN_INCOMPLETE", "USER_ERROR")
    assert len(fakes.executor.executions) == 1


async def test_a_dry_run_that_fails_before_any_write_fails_as_a_call_does(attached: Client, fakes: Fakes) -> None:
    fakes.executor.behave = ends(error=BROKEN)
    with pytest.raises(ActionFailed) as failed:
        await call(attached, dry_run=True)
    run = await attached.runs.GetRun(run_pb2.GetRunRequest(name=failed.value.metadata["run"]))
    assert (run.dry_run, run.state) == (True, run_pb2.RUN_STATE_FAILED)


async def test_a_call_that_writes_nothing_has_a_plan_too(attached: Client, fakes: Fakes) -> None:
    fakes.executor.behave = ends()
    dry = await call(attached, dry_run=True)
    assert dry.plan == manifest_pb2.EffectPlan(digest=dry.plan.digest)
    await call(attached, expect_plan=dry.plan.digest)
    held = fakes.executor.executions[-1].held_to
    assert held is not None
    assert held.effects == ()


def test_the_order_of_effects_counts_within_a_lane_alone() -> None:
    one, two, aside = POST, replace(POST, digest="sha256:2"), replace(POST, digest="sha256:3", lane="@0/step")
    basis = {"input": "sha256:0"}
    digest = EffectPlan(basis, (one, two, aside)).digest
    assert EffectPlan(basis, (aside, one, two)).digest == digest
    others = [
        EffectPlan(basis, (two, one, aside)),
        EffectPlan(basis, (one, two)),
        EffectPlan({"input": "sha256:1"}, (one, two, aside)),
        EffectPlan(basis, (one, two, replace(aside, lane=""))),
    ]
    assert digest not in {other.digest for other in others}
