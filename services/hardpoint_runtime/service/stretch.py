"""Owns one stretch of a run's way: the plan walked until the run has ended, or all that is left is to wait.

Where the run is stands in rows, written before a step begins and when it has ended. Whoever walks the plan again from
these comes to the same place, so a stretch may stop anywhere and another process go on.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import structlog
from opentelemetry import trace

from hardpoint_kit.errors import ActionFailed, HardpointError
from hardpoint_kit.names import AgentName
from hardpoint_manifest.expression import Budget, ExpressionError
from hardpoint_manifest.inputs import output_violations
from hardpoint_manifest.plan import Does, Plan, Step
from hardpoint_manifest.walk import Compiled, Due, Program, Settled, Walk
from hardpoint_runtime.domain.actions import ActionName
from hardpoint_runtime.domain.callees import Installed
from hardpoint_runtime.domain.runs import Failure, RunState
from hardpoint_runtime.domain.workflows import REVERT, StepRun, Waits, Workflow
from hardpoint_runtime.durable.stretches import Stretch
from hardpoint_runtime.service.callees import own_of
from hardpoint_runtime.service.changes import Signal
from hardpoint_runtime.service.ledger import Pages, Replaced
from hardpoint_runtime.service.means import Means
from hardpoint_runtime.service.outcomes import doubt, failure_of
from hardpoint_runtime.service.shares import of_run
from hardpoint_runtime.service.steps import Stepper

ITEMS_AT_ONCE = 8
"""Of one loop."""
LINGER_SECONDS = 1.0
"""A wait that is over sooner is not worth another stretch."""
ASKS = frozenset({Waits.APPROVAL, Waits.EVENT, Waits.DOUBT})
"""What a run waits for that somebody is told of."""

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Done:
    """A step that was done: where it stands in the plan and among the others, and what it knew."""

    step: Step
    place: str
    number: int
    known: Mapping[str, Any]


class Way:
    """One stretch under way. `walk` returns when it is over; raises Replaced when it is not its turn any more."""

    def __init__(self, means: Means, workflow: Workflow, rows: list[StepRun]) -> None:
        self.means = means
        self.workflow = workflow
        self.stretch = Stretch(workflow.name, workflow.stretch)
        self.pages = Pages(means.ledger, workflow, rows)
        self._steps = Stepper(self)
        self._budget = Budget()
        self._due: datetime | None = None
        self._wakes = 0
        self._woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._alarms: dict[datetime, asyncio.TimerHandle] = {}
        self._done: list[_Done] = []
        self._optional: tuple[str, ...] = ()
        self._looked: set[str] = set()
        self._decided: set[tuple[str, int]] = set()
        """What was decided when all steps looked last."""

    async def walk(self) -> None:
        """Go on until the run has ended or waits."""
        with self.means.changes.of(self.workflow.name, self.means.worker) as signal:
            walking = asyncio.create_task(self._walk())
            listening = asyncio.create_task(self._listen(signal))
            try:
                first, _ = await asyncio.wait(
                    {walking, listening, self.pages.broken}, return_when=asyncio.FIRST_COMPLETED
                )
                await (walking if walking in first else first.pop())
            finally:
                for task in (walking, listening):
                    task.cancel()
                await asyncio.gather(walking, listening, return_exceptions=True)
                await self.pages.close()
                for alarm in self._alarms.values():
                    alarm.cancel()

    def wake(self) -> None:
        """Have every step that waits look again."""
        self._wakes += 1
        if not self._woken.done():
            self._woken.set_result(None)
        self._woken = asyncio.get_running_loop().create_future()

    def wake_at(self, due: datetime) -> None:
        """Have them look again then; the stretch may be over before."""
        self._due = min(self._due or due, due)
        if due not in self._alarms:  # a step that looks too soon asks for the same again
            seconds = (due - self.means.clock.now()).total_seconds()
            loop = asyncio.get_running_loop()
            self._alarms[due] = loop.call_later(min(max(seconds, 0.0), 3600.0), self._ring, due)

    def _ring(self, due: datetime) -> None:
        del self._alarms[due]
        self.wake()

    @property
    def rows(self) -> dict[str, StepRun]:
        """The steps by place, as they are or will be written."""
        return self.pages.rows

    async def own(self) -> Installed | None:
        """What the run is of as it is attached now, whose counters it adds to; None when it is not any more."""
        try:
            agent = AgentName(self.workflow.name.org, self.workflow.run.agent)
            return own_of(await self.means.snapshots.get(agent), self.workflow)
        except HardpointError:
            return None

    async def came_early(self, row: StepRun) -> StepRun:
        """A step that waits for an event, with the decision that is one which came before; raises Replaced.

        Each stretch looks once: what comes later finds the step waiting, and whoever was to look may have died.
        """
        row = self.rows[row.step]  # which somebody may have decided about by now
        if row.decision is not None or row.step in self._looked:
            return row
        async with self.means.store.transaction(self.means.caller(self.workflow)) as tx:
            if await tx.workflows.lock(self.workflow.turn) is None:
                raise Replaced
            changed = await tx.workflows.steps(row.run, row.sequence)
            decision = next((one.decision for one in changed if one.step == row.step), None)
            if decision is None:
                decision = await tx.early_events.take(row.run, str(row.shown))
                if decision is not None:
                    await tx.workflows.decide(row, decision)
        self._looked.add(row.step)
        return replace(row, decision=decision)

    async def check(self) -> None:
        """Raise Replaced when somebody else walks this run by now."""
        async with self.means.store.transaction(self.means.caller(self.workflow)) as tx:
            turn, _ = await tx.workflows.pulse(self.workflow.name)
        if turn != self.workflow.turn:
            raise Replaced

    async def _listen(self, signal: Signal) -> None:
        """Hear of decisions, and of a run that is cancelled or walked elsewhere: raises Replaced."""
        seen = 0
        while True:
            await signal.wait()
            async with self.means.store.transaction(self.means.caller(self.workflow)) as tx:
                turn, sequence = await tx.workflows.pulse(self.workflow.name)
                if turn != self.workflow.turn:
                    raise Replaced
                changed = await tx.workflows.steps(self.workflow.name, seen) if sequence > seen else []
            seen = max(seen, sequence)
            decided = [row for row in changed if row.state is RunState.WAITING and row.decision is not None]
            for row in decided:
                if row.sequence > self.rows[row.step].sequence:
                    self.rows[row.step] = row
            if decided or self.means.draining:
                self.wake()

    async def _walk(self) -> None:
        plan = Plan.model_validate(self.workflow.release.plan)
        self._optional = plan.optional
        walk = Walk(Program.plan(plan), self.workflow.given, budget=self._budget)
        while await self._scope(walk, ""):
            if await self._suspended():
                return
        failed = walk.failure
        error: Exception | None
        output = None
        if failed is None:
            try:
                output = walk.output()
                self._check_output(output)
                error = None
            except (ExpressionError, ActionFailed) as wrong:
                error = wrong
        else:
            error = failed[1].error or ActionFailed(f"step {failed[0]} failed")
        if error is None:
            await self._end(RunState.SUCCEEDED, Failure(), output)
            return
        failure = failure_of(error, failed[0] if failed else "output")
        told = {"step": failed[0] if failed else "", "reason": failure.reason, "message": failure.message}
        known = {**walk.variables, "error": told}
        await self._end_below(plan)
        left = await self._revert(known)
        while plan.on_error is not None and await self._one(plan.on_error, plan.on_error.id, known) is None:
            if await self._suspended():
                return
        if left:
            failure = replace(failure, facts={**failure.facts, "not_reverted": ", ".join(left)})
        await self._end(RunState.FAILED, failure, None)

    def _check_output(self, output: Any) -> None:
        """Raise ActionFailed for an output that is not what the workflow declares."""
        action = self.workflow.release.action(ActionName.parse(self.workflow.run.action).action)
        for place, problem in output_violations(action.output_schema, output).items():
            raise ActionFailed(
                f"the output is not what the workflow declares: {place} {problem}",
                reason="TYPE_MISMATCH",
                fix="give what `outputs` says, or declare what is given",
            )

    async def _scope(self, walk: Walk, prefix: str) -> bool:
        """Walk steps that belong together as far as it goes; whether some of them wait."""
        running: dict[str, asyncio.Task[Settled | None]] = {}
        waiting: set[str] = set()
        wakes = self._wakes
        try:
            while True:
                for due in self._due_of(walk, {*running, *waiting}, prefix):
                    running[due.step.step.id] = asyncio.create_task(self._step(due, prefix))
                if not running:
                    return not walk.finished
                news: set[asyncio.Future[Any]] = {*running.values(), self._woken}
                await asyncio.wait(news, return_when=asyncio.FIRST_COMPLETED)
                if wakes != self._wakes:
                    wakes = self._wakes
                    waiting.clear()
                for step in [step for step, task in running.items() if task.done()]:
                    settled = running.pop(step).result()
                    if settled is None:
                        waiting.add(step)
                    else:
                        walk.settle(step, settled)
        finally:
            for task in running.values():
                task.cancel()
            await asyncio.gather(*running.values(), return_exceptions=True)

    def _due_of(self, walk: Walk, begun: set[str], prefix: str) -> list[Due]:
        """The steps whose turn it is. Those whose expressions fail did nothing, and say why."""
        before = set(walk.settled)
        found = walk.due(begun)
        for compiled in walk.program.steps:
            step = compiled.step
            ended = None if step.id in before else walk.settled.get(step.id)
            if ended is not None and ended.error is not None:
                self._steps.unable(step, f"{prefix}{step.id}", ended.error)
        return found

    async def _step(self, due: Due, prefix: str) -> Settled | None:
        place = f"{prefix}{due.step.step.id}"
        if not due.each:
            return await self._item(due.step, place, due.inputs[0], due.known[0])
        turn = asyncio.Semaphore(ITEMS_AT_ONCE)

        async def item(index: int, value: Any) -> Settled | None:
            async with turn:
                return await self._item(due.step, f"{place}/{index}", value, due.known[index])

        items = [asyncio.create_task(item(index, value)) for index, value in enumerate(due.inputs)]
        try:
            ended = await asyncio.gather(*items)
        finally:
            for task in items:
                task.cancel()
            await asyncio.gather(*items, return_exceptions=True)
        if any(one is None for one in ended):
            return None
        failed = next((one for one in ended if one is not None and one.state == "failed"), None)
        return failed or Settled("done", [one.output for one in ended if one is not None])

    async def _item(self, compiled: Compiled, place: str, value: Any, known: Mapping[str, Any]) -> Settled | None:
        if compiled.steps is None:
            try:
                key = compiled.key.evaluate(dict(known)) if compiled.step.idempotency_key else ""
            except ExpressionError as error:
                return self._steps.unable(compiled.step, place, error)
            settled = await self._steps.settle(compiled.step, place, value, key)
        else:
            inner = Walk(compiled.steps, value, budget=self._budget)
            if await self._scope(inner, f"{place}/"):
                return None
            settled = _whole(inner)
        if settled is not None and settled.state == "done" and compiled.step.does is not Does.STEPS:
            row = self.rows.get(place)
            if row is not None:
                self._done.append(_Done(compiled.step, place, row.number, {**known, "output": settled.output}))
        return settled

    async def _one(self, step: Step, place: str, known: Mapping[str, Any]) -> Settled | None:
        """Do a step that stands beside the plan: one that reverts, or what is done on an error."""
        try:
            compiled = Compiled.of(step, known, self._optional)
            value = compiled.input.evaluate(dict(known))
        except ExpressionError as error:
            return self._steps.unable(step, place, error)
        return await self._steps.settle(step, place, value, "")

    async def _end_below(self, plan: Plan) -> None:
        """End the runs that steps of the plan began: they would go on doing what is being undone.

        Not those of what stands beside it, which has begun when a run that failed is walked again.
        """
        beside = {f"{done.place}{REVERT}" for done in self._done} | ({plan.on_error.id} if plan.on_error else set())
        began = {row.child for row in self.rows.values() if row.child and row.step not in beside}
        if began:
            await self.means.children.end_below(self.workflow.name, began)

    async def _revert(self, known: Mapping[str, Any]) -> list[str]:
        """Undo what was done, the last first; the places of what could not be, or has nothing that would."""
        left = []
        places: set[str] = set()
        for done in sorted(self._done, key=lambda done: -done.number):
            if done.place in places:
                continue
            places.add(done.place)
            revert = done.step.revert
            if revert is None:
                if await self._steps.writes(done.step):
                    left.append(done.place)
                continue
            facts = {**known, **done.known, "error": known["error"]}
            while (settled := await self._one(revert, f"{done.place}{REVERT}", facts)) is None:
                if await self._suspended():
                    raise Replaced
            if settled.state != "done":
                left.append(done.place)
        return left

    async def _suspended(self) -> bool:
        """Wait for what is due soon; else leave the run to a later stretch, and say so."""
        seconds = None if self._due is None else (self._due - self.means.clock.now()).total_seconds()
        if not self.means.draining and seconds is not None and seconds <= LINGER_SECONDS:
            if seconds > 0:
                await asyncio.wait({self._woken}, timeout=seconds)
            self._due = None
            return False
        await self.pages.settle()
        async with self.means.store.transaction(self.means.caller(self.workflow)) as tx:
            sequence = await tx.workflows.lock(self.workflow.turn)
            if sequence is None:
                raise Replaced
            rows = self.rows
            if sequence > self.pages.sequence:
                rows = {row.step: row for row in await tx.workflows.steps(self.workflow.name)}
            waiting = [row for row in rows.values() if row.state is RunState.WAITING]
            decided = {(row.step, row.sequence) for row in waiting if row.decision is not None}
            # What no step takes up though all have looked again, as beside a plan that failed, is for a later stretch.
            if decided - self._decided and not self.means.draining:
                self.pages.rows, self._due, self._decided = rows, None, decided
                return False
            state = RunState.QUEUED if self.means.draining else RunState.WAITING
            later = self.means.draining or seconds is not None
            following = self.workflow.stretch + 1 if later else self.workflow.stretch
            asks = next((row for row in waiting if row.decision is None and row.waits in ASKS), None)
            failure = Failure() if asks is None else waiting_for(asks)
            run = replace(self.workflow.run, state=state, failure=failure)
            await tx.workflows.move(self.workflow, run, following)
            if later:
                delay = 0.0 if self.means.draining else seconds or 0.0
                await tx.workflows.queue(Stretch(self.workflow.name, following), delay)
        return True

    async def _end(self, state: RunState, failure: Failure, output: Any) -> None:
        used = [row.usage for row in self.rows.values()]
        run = self.workflow.run.over(state, failure, self.means.clock.now(), used)
        for row in [row for row in self.rows.values() if not row.ended]:
            self.pages.note(replace(row, state=RunState.CANCELLED, waits=Waits.NOTHING))
        own = await self.own()
        worked = sum(row.duration_us for row in self.rows.values())
        await self.pages.end(run, output, () if own is None else (of_run(own, run, worked),))
        trace.get_current_span().set_attribute("hardpoint.state", state)
        _log.info("run ended", run=str(run.name), state=state, reason=failure.reason)


def waiting_for(step: StepRun) -> Failure:
    """Why a run waits, in the place of why it failed."""
    if step.waits is Waits.DOUBT:
        return Failure(doubt(step.failure), step.failure.message, step.step, step.failure.fix, step.failure.facts)
    if step.waits is Waits.APPROVAL:
        return Failure("APPROVAL_REQUIRED", "somebody has to approve what comes next", step.step)
    return Failure("EVENT_AWAITED", f"an event is awaited: {step.shown}", step.step)


def _whole(walk: Walk) -> Settled:
    if walk.failure is not None:
        return walk.failure[1]
    try:
        return Settled("done", walk.output())
    except ExpressionError as error:
        return Settled("failed", error=error)
