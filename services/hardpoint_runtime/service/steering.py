"""Owns what people do to runs of workflows on their way: cancel, decide, send events, and fork."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hardpoint_kit.caller import Caller
from hardpoint_kit.clock import Clock
from hardpoint_kit.errors import Conflict, NotFound, ResourceExhausted
from hardpoint_kit.names import RunName, StepName
from hardpoint_kit.telemetry import inject, trace_id
from hardpoint_manifest.plan import Does, Plan, Step
from hardpoint_runtime.domain.children import Descent
from hardpoint_runtime.domain.runs import Failure, Run, RunState, Usage, new_run_name
from hardpoint_runtime.domain.workflows import REVERT, Decision, StepRun, Verdict, Waits, Workflow, step_at
from hardpoint_runtime.service import moves
from hardpoint_runtime.service.children import Children
from hardpoint_runtime.service.outcomes import doubt
from hardpoint_runtime.store import Store, Transaction

MOST_EARLY_EVENTS = 64
"""Kept for a run, of all names, until steps wait for them."""


class Steering:
    """Acts on runs; `fingerprint` tells a write request from others with the same request id."""

    def __init__(self, store: Store, children: Children, clock: Clock) -> None:
        self._store = store
        self._children = children
        self._clock = clock

    async def cancel(self, caller: Caller, name: RunName, fingerprint: str) -> Run:
        """End a run with those it began: what it executes is killed, what it did stays done.

        Raises NotFound, Conflict RUN_ENDED.
        """

        async def cancel(tx: Transaction) -> Run:
            workflow = await tx.workflows.get(name, lock=True)
            workflow.check_alive()
            run = await moves.cancel(tx, workflow, self._clock.now())
            await tx.audit("run.cancel", name)
            return run

        cancelled = await self._store.once(caller, "CancelRun", fingerprint, Run, cancel)
        await self._children.settle(name)
        return cancelled

    async def decide(
        self,
        caller: Caller,
        name: StepName,
        verdict: Verdict,
        output: Any,
        digest: str,
        fingerprint: str,
        plan: str = "",
    ) -> Run:
        """Say what becomes of a step that waits, and have its run go on.

        An approval with the digest of a `plan` lets the step that goes on write what that has and nothing else. Raises
        NotFound (PLAN_UNKNOWN too), Conflict PLAN_INCOMPLETE, and as Workflow.check_decision does.
        """

        async def decide(tx: Transaction) -> Run:
            workflow = await tx.workflows.get(name.run_name, lock=True)
            workflow.check_alive()
            steps = await tx.workflows.steps(name.run_name)
            step = next((step for step in steps if str(step.number) == name.step), None)
            if step is None:
                raise NotFound("step", name)
            decision = Decision(verdict, caller.subject, output, plan)
            workflow.check_decision(step, decision, digest)
            if plan:
                (await tx.effect_plans.get(caller.org, plan)).check({})
            run = await moves.decide(tx, workflow, step, decision)
            await tx.audit(f"step.{verdict.lower()}", name, digest=step.digest, plan=plan)
            return run

        return await self._store.once(caller, "DecideStep", fingerprint, Run, decide)

    async def send_event(self, caller: Caller, name: RunName, event: str, payload: Any, fingerprint: str) -> Run:
        """Give a run the event that a step of it waits for, or will.

        Raises NotFound, Conflict RUN_ENDED, STEP_NOT_WAITING for a run without such steps, and ResourceExhausted
        TOO_MANY_EVENTS when many are kept for it already.
        """

        async def send(tx: Transaction) -> Run:
            workflow = await tx.workflows.get(name, lock=True)
            workflow.check_alive()
            run = await self._sent(tx, workflow, event, Decision(Verdict.EVENT, caller.subject, payload))
            await tx.audit("run.event", name, event=event)
            return run

        return await self._store.once(caller, "SendEvent", fingerprint, Run, send)

    async def fork(self, caller: Caller, name: RunName, step_id: str, fingerprint: str) -> Run:
        """Begin another run of the same release and input, from one step of the plan on.

        What the run did before that step and beside it is not done again, but for approvals on the way there. Raises
        NotFound for the run or the step, Conflict CONTENTS_FORGOTTEN when its inputs are not kept any more, WRONG_STATE
        when something of it was reverted that would not be done again, or may have happened and would be.
        """

        async def fork(tx: Transaction) -> Run:
            workflow = await tx.workflows.get(name)
            if not workflow.given:
                raise Conflict(f"the inputs of run {name} are not kept any more", reason="CONTENTS_FORGOTTEN")
            plan = Plan.model_validate(workflow.release.plan)
            again = _from(plan, step_id, name)
            before = _before(plan, again)
            rows = await tx.workflows.steps(name)
            _check_taken_over(plan, rows, again, name)
            succeeded = (row for row in rows if row.state is RunState.SUCCEEDED and _of_plan(plan, row))
            done = {**workflow.settled, **{row.step: row.output for row in succeeded}}
            at = self._clock.now()
            run = replace(
                workflow.run,
                name=new_run_name(name.org, at),
                state=RunState.QUEUED,
                failure=Failure(),
                started_at=at,
                duration_us=0,
                usage=Usage(),
                trace_id=trace_id(),
                subject=caller.subject,
                on_behalf_of=caller.on_behalf_of,
            )
            forked = Workflow(
                run,
                workflow.installation,
                workflow.release,
                workflow.given,
                settled={
                    place: output
                    for place, output in done.items()
                    if (first := place.partition("/")[0]) not in again
                    and not (first in before and step_at(workflow.release.plan, place).get("does") == Does.APPROVAL)
                },
                carrier=inject(),
                context=workflow.context,
                starters=workflow.all_starters,
                descent=workflow.descent and Descent(workflow.descent.above),
            )
            await tx.workflows.add(forked)
            await tx.audit("run.fork", run.name, forked=name, step=step_id)
            return run

        return await self._store.once(caller, "ForkRun", fingerprint, Run, fork)

    async def _sent(self, tx: Transaction, workflow: Workflow, event: str, decision: Decision) -> Run:
        for step in await tx.workflows.steps(workflow.name):
            if step.waits is Waits.EVENT and step.shown == event and step.decision is None:
                first = await tx.early_events.take(workflow.name, event)
                if first is not None:  # whoever walks the run has not looked yet
                    await tx.early_events.keep(workflow.name, event, decision, self._clock.now(), MOST_EARLY_EVENTS)
                return await moves.decide(tx, workflow, step, first or decision)
        if not _awaits_events(Plan.model_validate(workflow.release.plan).steps):
            raise Conflict(
                f"no step of run {workflow.name} waits for an event",
                reason="STEP_NOT_WAITING",
                fix="send it to a run whose workflow has a step of the kind event",
                resource=workflow.name,
            )
        if not await tx.early_events.keep(workflow.name, event, decision, self._clock.now(), MOST_EARLY_EVENTS):
            raise ResourceExhausted(
                f"run {workflow.name} keeps {MOST_EARLY_EVENTS} events that no step waited for yet",
                reason="TOO_MANY_EVENTS",
                fix="send it when the run waits for it",
                resource=workflow.name,
            )
        return workflow.run


def _from(plan: Plan, step_id: str, run: RunName) -> set[str]:
    """The steps that are done again: that one, and all that come after it."""
    if step_id not in {step.id for step in plan.steps}:
        raise NotFound("step", step_id, fix=f"it has {', '.join(step.id for step in plan.steps)}", run=run)
    again = {step_id}
    for step in plan.steps:
        if any(edge.step in again for edge in step.after):
            again.add(step.id)
    return again


def _of_plan(plan: Plan, row: StepRun) -> bool:
    """Whether it is not beside the plan: a fork that fails too does its own reverts, and its own `on_error`."""
    return not row.step.endswith(REVERT) and (plan.on_error is None or row.step != plan.on_error.id)


def _check_taken_over(plan: Plan, rows: Sequence[StepRun], again: set[str], run: RunName) -> None:
    """Raise Conflict for a step that a fork would take for done though it was reverted, or do though it may be done."""
    found: dict[str, str] = {}
    for row in rows:
        step = row.step.partition("/")[0].removesuffix(REVERT)
        if row.step.endswith(REVERT) and row.state is RunState.SUCCEEDED:
            found.setdefault(step, "was reverted when the run failed")
        elif _in_doubt(row):
            found.setdefault(step, "may have happened")
    first = next((step.id for step in plan.steps if step.id in found and step.id not in again), None)
    if first is not None:
        raise Conflict(
            f"step {first} of run {run} {found[first]}",
            fix=f"fork the run at {first}, which is then done again",
            resource=run,
            step=first,
        )


def _in_doubt(row: StepRun) -> bool:
    """Whether it was begun and nobody knows what came of it: it runs, was cancelled, or a person was to look."""
    reason = doubt(row.failure) if row.waits is Waits.DOUBT else row.failure.reason
    return bool(row.attempts) and (row.state in (RunState.RUNNING, RunState.CANCELLED) or reason == "MAY_HAVE_HAPPENED")


def _awaits_events(steps: Sequence[Step]) -> bool:
    return any(step.does is Does.EVENT or _awaits_events(step.steps) for step in steps)


def _before(plan: Plan, again: set[str]) -> set[str]:
    """The steps that some of these come after."""
    before: set[str] = set()
    for step in reversed(plan.steps):
        if step.id in again | before:
            before |= {edge.step for edge in step.after}
    return before
