"""Owns the moves of a run that others make than whoever walks it, in their own transactions."""

from dataclasses import replace
from datetime import datetime

from hardpoint_runtime.domain.runs import Failure, Run, RunState
from hardpoint_runtime.domain.workflows import Decision, StepRun, Workflow
from hardpoint_runtime.durable.stretches import Stretch
from hardpoint_runtime.store import Transaction


async def decide(tx: Transaction, workflow: Workflow, step: StepRun, decision: Decision) -> Run:
    """Say what becomes of a step that waits, and have its run go on; it was read with a lock."""
    await tx.workflows.decide(step, decision)
    if workflow.run.state is not RunState.WAITING:
        return workflow.run  # whoever walks it hears of it
    following = Stretch(workflow.name, workflow.stretch + 1)
    run = replace(workflow.run, state=RunState.QUEUED, failure=Failure())
    await tx.workflows.move(workflow, run, following.number)
    await tx.workflows.queue(following)
    return run


async def cancel(tx: Transaction, workflow: Workflow, at: datetime) -> Run:
    """End a run that was read with a lock: what it executes is killed, what it did stays done."""
    used = [step.usage for step in await tx.workflows.steps(workflow.name)]
    run = workflow.run.over(RunState.CANCELLED, Failure(), at, used)
    # Another stretch than those there are: whoever walks it hears that it is replaced, by nobody.
    await tx.workflows.move(workflow, run, workflow.stretch + 1)
    await tx.workflows.cancel_steps(workflow.name)
    return run
