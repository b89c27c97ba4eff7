"""Owns the dry run of one workflow: its steps in the order of the plan, what reads done, what writes planned.

What stands on an answer that only a run has is listed with what it needs, and not guessed.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hardpoint_kit.clock import Clock
from hardpoint_kit.documents import from_value
from hardpoint_kit.errors import ActionFailed, Conflict, HardpointError, NotFound, ResourceExhausted, Unavailable
from hardpoint_kit.names import AgentName
from hardpoint_kit.telemetry import tracer
from hardpoint_manifest.expression import Budget, ExpressionError
from hardpoint_manifest.plan import PURE, WAITING, Does, Plan, Step
from hardpoint_manifest.walk import Compiled, Due, Program, Settled, Walk
from hardpoint_runtime.domain.calls import Call
from hardpoint_runtime.domain.effects import Outcome
from hardpoint_runtime.domain.executions import Ended
from hardpoint_runtime.domain.rehearsed import EndsHere, Rehearsed
from hardpoint_runtime.domain.releases import WORKFLOW
from hardpoint_runtime.domain.runs import Failure
from hardpoint_runtime.domain.unknowns import Unknowns, expressions_of
from hardpoint_runtime.domain.workflows import SOMEBODY_ELSE, Workflow
from hardpoint_runtime.service.callees import call_of
from hardpoint_runtime.service.executions import Executions, attributes
from hardpoint_runtime.service.outcomes import failure_of
from hardpoint_runtime.service.snapshots import Snapshots
from hardpoint_runtime.service.steps import effect_key, input_of


@dataclass(slots=True)
class Rehearsal:
    """One dry run on its way; who asks for it `approves` what steps ask, or sees nothing of what stands behind that."""

    workflow: Workflow
    agent: AgentName
    approves: bool
    snapshots: Snapshots
    executions: Executions
    clock: Clock
    found: Rehearsed = field(default_factory=Rehearsed)
    budget: Budget = field(default_factory=Budget)

    async def whole(self) -> Failure:
        """Go through the plan; why it ends before the workflow would, or is not known in part."""
        plan = Plan.model_validate(self.workflow.release.plan)
        walk = Walk(Program.plan(plan), self.workflow.given, budget=self.budget)
        try:
            await self._scope(walk, "", Unknowns().inside(walk.program))
        except EndsHere as ends:
            return ends.failure
        if walk.failure is not None:
            place, ended = walk.failure
            if plan.on_error is not None:
                self.found.tell(plan.on_error.id, Outcome.UNKNOWN, plan.on_error.action, says="it is done on an error")
            return failure_of(_error_of(ended), place)
        open_step = next((step for step in self.found.steps if step.outcome is Outcome.UNKNOWN), None)
        if open_step is None:
            return Failure()
        message = f"{open_step.path} {open_step.message}"
        return Failure("ANSWER_NOT_KNOWN", message, open_step.path)

    async def _scope(self, walk: Walk, prefix: str, unknowns: Unknowns) -> None:
        """Go through steps that belong together; each stands after those that it comes after."""
        ids = [compiled.step.id for compiled in walk.program.steps]
        for compiled in walk.program.steps:
            step, place = compiled.step, f"{prefix}{compiled.step.id}"
            if not await self._is_reached(compiled, walk, place, unknowns):
                continue
            if needs := unknowns.in_any(expressions_of(compiled)):
                if await self._is_gated(step):
                    walk.settle(step.id, self._behind(step, place, unknowns))
                    continue
                self.found.tell(place, Outcome.UNKNOWN, step.action, tuple(needs), _stands_on(needs))
                walk.settle(step.id, Settled("done"))
                unknowns.add(step.id)
                if step.does is Does.BRANCH:
                    unknowns.undecided.add(step.id)
                continue
            due = walk.due(id for id in ids if id != step.id)
            if due:
                walk.settle(step.id, await self._step(due[0], place, unknowns))
            elif walk.settled[step.id].state == "skipped":
                self.found.tell(place, Outcome.SKIPPED, step.action)
            elif (error := walk.settled[step.id].error) is not None:
                self._failed(place, step.action, error)
            if walk.failure is not None:
                return

    async def _is_reached(self, compiled: Compiled, walk: Walk, place: str, unknowns: Unknowns) -> bool:
        """Whether to look at a step; one that is open is listed, and settled as one that is not done."""
        step = compiled.step
        reached = unknowns.reached(compiled, walk)
        if reached is False:
            return True  # the walk skips it
        needs = unknowns.in_any([compiled.when] if compiled.when else [])
        if reached and not needs:
            return True
        before = [edge.step for edge in step.after if edge.step in unknowns.maybe | unknowns.undecided]
        behind = [id for id in before if id in unknowns.behind]
        if behind:
            says = f"comes after {behind[0]}, which waits for an approval"
        else:
            says = f"is done only if that {_stands_on(needs)}" if needs else f"is done or not, as {before[0]} is open"
        self.found.tell(place, Outcome.UNKNOWN, step.action, tuple(needs), says)
        walk.settle(step.id, Settled("skipped"))
        unknowns.leave_open(step.id, behind=bool(behind) or await self._is_gated(step))
        return False

    async def _is_gated(self, step: Step) -> bool:
        """Whether somebody has to approve it, or a step of its own, who does not ask for this."""
        if step.does is Does.APPROVAL:
            return not self.approves or step.by == SOMEBODY_ELSE
        if step.does is Does.STEPS:
            return any([await self._is_gated(inner) for inner in step.steps])
        if self.approves or step.does in PURE | WAITING:
            return False
        try:
            return call_of(await self.snapshots.get(self.agent), self.agent, self.workflow, step)[1]
        except (Conflict, NotFound):
            return False  # it would fail

    async def _step(self, due: Due, place: str, unknowns: Unknowns) -> Settled:
        """What a step gives, or the items of a loop, one after the other."""
        if not due.each:
            return await self._item(due.step, place, due.inputs[0], due.known[0], unknowns)
        outputs = []
        for index, value in enumerate(due.inputs):
            settled = await self._item(due.step, f"{place}/{index}", value, due.known[index], unknowns)
            if settled.state == "failed":
                return settled
            outputs.append(settled)
        if any(one.state == "skipped" for one in outputs):
            return Settled("skipped")
        return Settled("done", [one.output for one in outputs])

    async def _item(
        self, compiled: Compiled, place: str, value: Any, known: Mapping[str, Any], unknowns: Unknowns
    ) -> Settled:
        step = compiled.step
        if compiled.steps is not None:
            return await self._inner(compiled.steps, step.id, place, value, unknowns)
        if step.does in WAITING:
            return self._wait(step, place, value, unknowns)
        try:
            snapshot = await self.snapshots.get(self.agent)
            call, asks = call_of(snapshot, self.agent, self.workflow, step)
            given = input_of(call, value)
            key = compiled.key.evaluate(known) if step.idempotency_key else ""
            if asks and not self.approves:
                return self._behind(step, place, unknowns)
            if call.release.kind == WORKFLOW:
                return self._below(call, step, place, unknowns)
            ended = await self._dry(call, place, given, key, step.timeout_seconds)
        except (Unavailable, ResourceExhausted):
            raise
        except (HardpointError, ExpressionError) as error:
            return self._failed(place, step.action, error)
        self.found.plan(place, ended.planned)
        if ended.error is not None and not ended.planned:
            return self._failed(place, step.action, ended.error)
        output = None if ended.error is not None else from_value(ended.output)
        if ended.planned and output is None:
            unknowns.add(step.id)
        says = [f"its plan ends early: {ended.error.reason} {ended.error.message}"] if ended.error else []
        says += ["somebody has to approve it"] if asks else []
        outcome = Outcome.PLANNED if ended.planned else Outcome.DONE
        self.found.tell(place, outcome, str(call.name), says="; ".join(says))
        return Settled("done", output)

    async def _inner(
        self, program: Program, id: str, place: str, known: Mapping[str, Any], unknowns: Unknowns
    ) -> Settled:
        walk, scope = Walk(program, known, budget=self.budget), unknowns.inside(program)
        await self._scope(walk, f"{place}/", scope)
        if walk.failure is not None:
            return walk.failure[1]
        if scope.behind:
            unknowns.leave_open(id, behind=True)
            return Settled("skipped")
        own = {compiled.step.id for compiled in program.steps}
        output = program.output
        if scope.in_any(output.expressions) if output else any(path[0] in own for path in scope.paths):
            unknowns.add(id)
            return Settled("done")
        try:
            return Settled("done", walk.output())
        except ExpressionError as error:
            return self._failed(place, "", error)

    def _wait(self, step: Step, place: str, value: Any, unknowns: Unknowns) -> Settled:
        if step.does is Does.APPROVAL:
            if not self.approves or step.by == SOMEBODY_ELSE:
                return self._behind(step, place, unknowns)
            self.found.tell(place, Outcome.PASSED, says="somebody has to approve it")
            unknowns.add(step.id, "by")
            return Settled("done", {"approved": True})
        if step.does is Does.EVENT:
            self.found.tell(place, Outcome.PASSED, says=f"waits for the event {value}")
            unknowns.add(step.id)
            return Settled("done")
        how_long = f"until {value}" if isinstance(value, str) else f"{value} s"
        self.found.tell(place, Outcome.PASSED, says=f"waits {how_long}")
        return Settled("done")

    def _below(self, call: Call, step: Step, place: str, unknowns: Unknowns) -> Settled:
        """A step that would begin a run of another workflow, which has a plan of its own."""
        says = f"begins a run of {call.name}, whose plan a dry run of that makes"
        self.found.tell(place, Outcome.UNKNOWN, str(call.name), says=says)
        unknowns.add(step.id)
        return Settled("done")

    def _behind(self, step: Step, place: str, unknowns: Unknowns) -> Settled:
        """What somebody has to approve who does not ask for this, and so all that comes after it."""
        says = "waits for an approval, and what follows is gone through only for who may give it"
        self.found.tell(place, Outcome.UNKNOWN, step.action, says=says)
        unknowns.leave_open(step.id, behind=True)
        return Settled("skipped")

    async def _dry(self, call: Call, place: str, value: dict[str, Any], key: str, seconds: float | None) -> Ended:
        """Run a step dry, and keep what it would write and what was done for it."""
        run = self.workflow.run.name
        at, began = self.clock.now(), time.perf_counter()
        with tracer.start_as_current_span(f"execute_tool {call.name}") as span:
            if span.is_recording():
                span.set_attributes({**attributes(call, run), "hardpoint.step": place})
            ended = await self.executions.attempt(
                replace(call, rehearses={}),
                run,
                value,
                _anyway,
                id=f"{run.run}.{len(self.found.inner) + 1}",
                key=effect_key(run, place, key),
                seconds=seconds,
                user=self.workflow.run.user,
            )
        spent = round((time.perf_counter() - began) * 1_000_000)
        self.found.add(place, call, ended, at, spent)
        return ended

    def _failed(self, place: str, action: str, error: Exception) -> Settled:
        self.found.tell(place, Outcome.FAILED, action, says=failure_of(error, place).message)
        return Settled("failed", error=error)


async def _anyway() -> None:
    """Nobody else walks it."""


def _error_of(ended: Settled) -> Exception:
    return ended.error or ActionFailed("the step failed")


def _stands_on(needs: Mapping[str, list[str]]) -> str:
    steps = sorted({step for names in needs.values() for step in names})
    return f"stands on what {' and '.join(steps)} would answer: {', '.join(needs)}"
