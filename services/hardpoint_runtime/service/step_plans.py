"""Owns plans of what people are asked to approve in runs of workflows: what the step would write that they let go on.

Making one reads for real, so it is for those who may approve the step, and never done without their asking.
"""

from dataclasses import dataclass, replace

from hardpoint_kit.caller import Caller
from hardpoint_kit.errors import Conflict, NotFound
from hardpoint_kit.names import AgentName, StepName
from hardpoint_manifest.expression import ExpressionError
from hardpoint_manifest.plan import WAITING, Does, Plan
from hardpoint_manifest.walk import Due, Program, Settled, Walk
from hardpoint_runtime.domain.effects import EffectPlan
from hardpoint_runtime.domain.releases import WORKFLOW
from hardpoint_runtime.domain.runs import RunState
from hardpoint_runtime.domain.workflows import Decision, StepRun, Verdict, Workflow
from hardpoint_runtime.service.callees import call_of
from hardpoint_runtime.service.calls import Calls
from hardpoint_runtime.service.snapshots import Snapshots
from hardpoint_runtime.service.steps import effect_key, input_of
from hardpoint_runtime.store import Store


@dataclass(frozen=True, slots=True)
class StepPlans:
    """The parts it is made with."""

    store: Store
    snapshots: Snapshots
    calls: Calls

    async def plan_step(self, caller: Caller, name: StepName, digest: str) -> EffectPlan:
        """Dry-run the step that an approval lets go on: the one that asks for it, or the one that comes after it.

        It is a run of its own in the record. Raises as Steering.decide does for an approval, Conflict NO_DRY_RUN, and
        as a dry run does that comes to nothing.
        """
        async with self.store.transaction(caller) as tx:
            workflow = await tx.workflows.get(name.run_name)
            rows = await tx.workflows.steps(name.run_name)
        asked = next((row for row in rows if str(row.number) == name.step), None)
        if asked is None:
            raise NotFound("step", name)
        workflow.check_decision(asked, Decision(Verdict.APPROVE, caller.subject), digest)
        walk, due = _following(workflow, rows, asked, caller.subject)
        agent = AgentName(workflow.name.org, workflow.run.agent)
        step = due.step.step
        call, asks_itself = call_of(await self.snapshots.get(agent), agent, workflow, step)
        if call.release.kind == WORKFLOW:
            raise _no_plan(asked, f"{step.id} begins a run of a workflow, {call.name}")
        if asks_itself and step.id != asked.step:
            raise _no_plan(asked, f"{step.id} asks for an approval of its own, whose plan can be made then")
        try:
            named = due.step.key.evaluate(walk.variables) if step.idempotency_key else ""
        except ExpressionError as error:
            raise _no_plan(asked, f"the key of {step.id} fails: {error.message}") from None
        # The step has the accounts of the run's user, and its plan is made with the same.
        asking = replace(caller, on_behalf_of=workflow.run.user)
        return await self.calls.rehearse(
            asking, call, input_of(call, due.inputs[0]), lambda run: effect_key(run, step.id, named)
        )


def _following(workflow: Workflow, rows: list[StepRun], asked: StepRun, approver: str) -> tuple[Walk, Due]:
    """The one step that an approval lets go on, and the walk as it is when that is its turn; raises Conflict."""
    plan = Plan.model_validate(workflow.release.plan)
    walk = Walk(Program.plan(plan), workflow.given)
    by_place = {row.step: row for row in rows}
    approves = next((step for step in plan.steps if step.id == asked.step), None)
    if approves is None:
        raise _no_plan(asked, "it stands in a loop")
    waiting: dict[str, Due] = {}
    while found := walk.due(waiting):
        for due in found:
            id = due.step.step.id
            if id == asked.step and approves.does is Does.APPROVAL:
                walk.settle(id, Settled("done", {"approved": True, "by": approver}))
            elif (ended := _ended(due, by_place, workflow)) is not None:
                walk.settle(id, ended)
            else:
                waiting[id] = due
    meant = [
        due
        for due in waiting.values()
        if due.step.step.id == asked.step or any(edge.step == asked.step for edge in due.step.step.after)
    ]
    if len(meant) != 1:
        raise _no_plan(asked, f"{len(meant)} steps follow at once")
    if meant[0].each or meant[0].step.steps is not None or meant[0].step.step.does in WAITING:
        raise _no_plan(asked, f"{meant[0].step.step.id} is no single call")
    return walk, meant[0]


def _ended(due: Due, rows: dict[str, StepRun], workflow: Workflow) -> Settled | None:
    """How a step has ended, where that is known; those with steps of their own are not looked into."""
    id = due.step.step.id
    if id in workflow.settled:
        return Settled("done", workflow.settled[id])
    places = [f"{id}/{index}" for index in range(len(due.inputs))] if due.each else [id]
    found = [rows[place] for place in places if place in rows and rows[place].state is RunState.SUCCEEDED]
    if due.step.steps is not None or len(found) != len(places):
        row = rows.get(id)
        return Settled("failed", error=row.failure.error()) if row and row.state is RunState.FAILED else None
    return Settled("done", [row.output for row in found] if due.each else found[0].output)


def _no_plan(asked: StepRun, why: str) -> Conflict:
    return Conflict(
        f"what follows {asked.step} cannot be planned: {why}",
        reason="NO_DRY_RUN",
        fix="approve what the step shows, without a plan",
        step=asked.step,
    )
