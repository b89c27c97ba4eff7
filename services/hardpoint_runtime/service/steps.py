"""Owns one step of a run: begun, attempted, waited for, and its end on disk.

What a step gives is kept with the run, since later steps use it. Secrets are no part of it: the executor's outlet takes
them out of every output and every error.
"""

import hashlib
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from hardpoint_kit.documents import from_value
from hardpoint_kit.errors import ActionFailed, DeadlineExceeded, HardpointError, Unavailable
from hardpoint_kit.names import AgentName, RunName
from hardpoint_kit.telemetry import tracer
from hardpoint_manifest.expression import ExpressionError
from hardpoint_manifest.given import as_input, until
from hardpoint_manifest.plan import WAITING, Does, Step
from hardpoint_manifest.walk import Settled
from hardpoint_runtime.domain.actions import InputCheck
from hardpoint_runtime.domain.calls import Call
from hardpoint_runtime.domain.executions import Ended
from hardpoint_runtime.domain.releases import WORKFLOW, Effect
from hardpoint_runtime.domain.runs import Failure, RunState, Usage
from hardpoint_runtime.domain.workflows import StepRun, Verdict, Waits
from hardpoint_runtime.service.below import Below
from hardpoint_runtime.service.callees import call_of, only_reads, repeatable
from hardpoint_runtime.service.children import check_begins
from hardpoint_runtime.service.executions import Check, attributes
from hardpoint_runtime.service.outcomes import Next, after, did_not_happen, doubt, failure_of, pause_seconds
from hardpoint_runtime.service.shares import of_step

if TYPE_CHECKING:
    from hardpoint_runtime.service.stretch import Way

LONGEST_WAIT = timedelta(days=366)
STALLED_SECONDS = 1.0
"""Who is silent for longer may be taken for dead soon, and looks again whether a step is still theirs to begin."""
_PLAIN = re.compile(r"[!-~]{1,200}", re.ASCII)
_ASKS = {Does.APPROVAL: Waits.APPROVAL, Does.EVENT: Waits.EVENT}


class Stepper:
    """The steps of one stretch."""

    def __init__(self, way: "Way") -> None:
        self._way = way
        self._below = Below(way)

    async def settle(self, step: Step, place: str, value: Any, key: str) -> Settled | None:
        """Do a step as far as it goes now, from wherever it is: how it ended, or None while it waits.

        `key` names its effect, when its author says how. Raises Replaced.
        """
        way = self._way
        row = way.rows.get(place)
        if place in way.workflow.settled:
            return Settled("done", way.workflow.settled[place])
        if row is not None and row.ended:
            return _settled(row)
        if way.means.draining:
            return None
        if row is None:
            row = StepRun(way.workflow.name, place, action=step.action, started_at=way.means.clock.now())
        if step.does in WAITING:
            return await self._wait(step, row, value)
        if row.child:
            return await self._below_of(step, row, value)
        return await self._act(step, row, value, key)

    def unable(self, step: Step, place: str, error: Exception) -> Settled:
        """Note a step that failed before it began, since its own expressions did."""
        if place not in self._way.rows:
            way = self._way
            row = StepRun(way.workflow.name, place, action=step.action, started_at=way.means.clock.now())
            way.pages.note(_over(row, RunState.FAILED, failure_of(error, "")))
        return Settled("failed", error=error)

    async def writes(self, step: Step) -> bool:
        """Whether a step that was done may have changed something."""
        if step.does in WAITING or step.effect == "read":
            return False
        try:
            call, _ = await self._call(step)
        except Unavailable:
            raise
        except HardpointError:
            return True  # what it called cannot be looked at any more
        return call.action.effect is not Effect.READ

    async def _wait(self, step: Step, row: StepRun, value: Any) -> Settled | None:
        way = self._way
        now = way.means.clock.now()
        if row.waits is Waits.NOTHING:
            seconds = step.timeout_seconds
            due = None if seconds is None else now + timedelta(seconds=seconds)
            if step.does is Does.WAIT:
                try:
                    due = min(until(value, now), now + LONGEST_WAIT)
                except ExpressionError as error:
                    return self._failed(row, ActionFailed(error.message, reason=error.reason))
            waits = _ASKS.get(step.does, Waits.TIME)
            row = await way.pages.put(replace(row, state=RunState.WAITING, waits=waits, shown=value, due_at=due))
        if row.waits is Waits.EVENT and row.decision is None:
            row = await way.came_early(row)
        decision = row.decision
        if decision is not None:
            if decision.verdict is Verdict.APPROVE:
                return self._done(row, {"approved": True, "by": decision.subject})
            if decision.verdict is Verdict.EVENT:
                return self._done(row, decision.output)
            refused = decision.verdict is Verdict.REFUSE
            text = f"{decision.subject} {'refused' if refused else 'ended'} it"
            reason = "REFUSED" if refused else "USER_ERROR"
            return self._failed(row, ActionFailed(text, reason=reason))
        if row.due_at is not None and row.due_at <= now:
            if row.waits is Waits.TIME:
                return self._done(row, None)
            late = DeadlineExceeded("nobody answered in time", reason="TIMEOUT")
            return self._failed(row, late)
        if row.due_at is not None:
            way.wake_at(row.due_at)
        return None

    async def _act(self, step: Step, row: StepRun, value: Any, key: str) -> Settled | None:
        way = self._way
        try:
            call, asked_first = await self._call(step)
            given = input_of(call, value)
        except Unavailable:
            raise
        except HardpointError as error:
            return self._failed(row, error)
        again = repeatable(step, call.action)
        if row.state is RunState.RUNNING and row.attempts and not again:
            lost = Unavailable("the process that ran it ended", fix="look whether it had its effect, then decide")
            row = await self._doubt(row, lost)
        if row.waits is Waits.DOUBT:
            decision = row.decision
            if decision is None:
                return None
            if decision.verdict is Verdict.SKIP:
                return self._done(row, decision.output)
            if decision.verdict is Verdict.FAIL:
                failure = replace(row.failure, reason=doubt(row.failure))
                row = await way.pages.put(_over(row, RunState.FAILED, failure))
                return _settled(row)
        if asked_first and row.attempts == 0:
            approved = await self._approved(row, call, given)
            if approved is not True:
                return approved
        if row.waits is Waits.TIME and row.due_at is not None and row.due_at > way.means.clock.now():
            way.wake_at(row.due_at)
            return None
        if call.release.kind == WORKFLOW:
            try:
                check_begins(step, call, _approved_plan(step, row, way.rows))
            except HardpointError as error:
                return self._failed(row, error)
            return await self._below_of(step, await self._below.name(step, row, call), value)
        try:
            held_to = row.plan or _approved_plan(step, row, way.rows)
            call = await way.means.calls.held(way.means.caller(way.workflow), call, given, held_to)
        except Unavailable:
            raise
        except HardpointError as error:
            return self._failed(row, error)
        row = replace(
            row,
            action=str(call.name),
            plan=held_to,
            release=str(call.release.name),
            state=RunState.RUNNING,
            attempts=row.attempts + 1,
            waits=Waits.NOTHING,
            shown=None,
            decision=None,
            due_at=None,
        )
        row = await way.pages.put(row)
        return await self._attempt(step, row, call, given, effect_key(row.run, row.step, key))

    async def _below_of(self, step: Step, row: StepRun, value: Any) -> Settled | None:
        """How a step ends that calls another workflow: as its run does."""

        async def prepare() -> tuple[Call, dict[str, Any]]:
            call, _ = await self._call(step)
            return call, input_of(call, value)

        ended = await self._below.look(row.step, prepare)
        if ended is None:
            return None
        row = self._way.rows[row.step]
        if isinstance(ended, HardpointError):
            return self._failed(row, ended)
        return self._done(replace(row, usage=ended.run.usage), ended.output)

    async def _approved(self, row: StepRun, call: Call, given: dict[str, Any]) -> Settled | Literal[True] | None:
        """Whether it may run now; else how it ended, or None while nobody has answered."""
        shown = {"action": str(call.name), "input": given}
        decision = row.decision
        if row.waits is not Waits.APPROVAL or row.shown != shown:
            asking = replace(row, action=str(call.name), state=RunState.WAITING, waits=Waits.APPROVAL, shown=shown)
            await self._way.pages.put(replace(asking, decision=None))
            return None
        if decision is None:
            return None
        if decision.verdict is Verdict.APPROVE:
            return True
        return self._failed(row, ActionFailed(f"{decision.subject} refused it", reason="REFUSED"))

    async def _call(self, step: Step) -> tuple[Call, bool]:
        workflow = self._way.workflow
        agent = AgentName(workflow.name.org, workflow.run.agent)
        return call_of(await self._way.means.snapshots.get(agent), agent, workflow, step)

    async def _attempt(self, step: Step, row: StepRun, call: Call, value: dict[str, Any], key: str) -> Settled | None:
        """Attempt it once, whose row says so by now."""
        begun = time.perf_counter()

        async def check() -> None:
            if time.perf_counter() - begun > STALLED_SECONDS:
                await self._way.check()

        ended, began = await self._execute(step, row, call, value, key, check)
        spent = round((time.perf_counter() - begun) * 1_000_000)
        row = replace(row, duration_us=row.duration_us + spent, usage=row.usage + ended.usage)
        if began:
            own = await self._way.own()
            at = self._way.means.clock.now()
            shares = () if own is None else of_step(own, call, ended, spent, at)
            self._way.pages.record(row, ended.steps, ended.logs, shares)
        if ended.error is None:
            return self._done(row, from_value(ended.output))
        return await self._again(step, row, call, ended.error, began)

    async def _execute(
        self, step: Step, row: StepRun, call: Call, value: dict[str, Any], key: str, check: Check
    ) -> tuple[Ended, bool]:
        id = f"{row.run.run}.{row.number}.{row.attempts}"
        with tracer.start_as_current_span(f"execute_tool {call.name}") as span:
            if span.is_recording():
                span.set_attributes({**attributes(call, row.run), "hardpoint.step": row.step})
            try:
                ended = await self._way.means.executions.attempt(
                    call,
                    row.run,
                    value,
                    check,
                    id=id,
                    key=key,
                    seconds=step.timeout_seconds,
                    user=self._way.workflow.run.user,
                )
                return ended, True
            except HardpointError as error:
                return Ended(RunState.FAILED, None, error, Usage()), False

    async def _again(self, step: Step, row: StepRun, call: Call, error: HardpointError, began: bool) -> Settled | None:
        way = self._way
        what = after(
            error,
            began=began,
            repeatable=repeatable(step, call.action),
            attempts=row.attempts,
            retry=step.retry,
            reads=only_reads(step, call.action),
        )
        if what is Next.FAIL:
            return self._failed(row, error)
        if what is Next.DOUBT:
            await self._doubt(row, error)
            return None
        lost = not began or error.reason == "UNAVAILABLE"
        seconds = pause_seconds(lost, row.attempts, step.retry.seconds, step.retry.backoff, error.retry_after)
        due = way.means.clock.now() + timedelta(seconds=seconds)
        failure = Failure.of(error)
        row = replace(row, state=RunState.WAITING, waits=Waits.TIME, due_at=due, failure=failure)
        await way.pages.put(row)
        way.wake_at(due)
        return None

    async def _doubt(self, row: StepRun, error: HardpointError) -> StepRun:
        failure = Failure.of(error)
        look = failure.fix if did_not_happen(failure.facts) else "look whether it happened"
        failure = replace(failure, fix=f"{look}, then: hardpoint resume RUN repeat, skip or fail")
        waiting = replace(row, state=RunState.WAITING, waits=Waits.DOUBT, decision=None, due_at=None, failure=failure)
        return await self._way.pages.put(waiting)

    def _done(self, row: StepRun, output: Any) -> Settled:
        return _settled(self._way.pages.note(replace(_over(row, RunState.SUCCEEDED), output=output)))

    def _failed(self, row: StepRun, error: HardpointError) -> Settled:
        return _settled(self._way.pages.note(_over(row, RunState.FAILED, Failure.of(error))))


def _approved_plan(step: Step, row: StepRun, rows: Mapping[str, StepRun]) -> str:
    """The digest of the plan that somebody approved for a step: when it asked itself, or in a step right before it."""
    if row.decision is not None and row.decision.plan:
        return row.decision.plan
    before, _, last = row.step.rpartition("/")
    scope = before.rpartition("/")[0] if before and last != step.id else before
    places = (f"{scope}/{edge.step}" if scope else edge.step for edge in step.after)
    decisions = (rows[place].decision for place in places if place in rows)
    return next((decision.plan for decision in decisions if decision is not None and decision.plan), "")


def effect_key(run: RunName, place: str, named: str) -> str:
    """What names the effect of a step, fit for a header: as its author says, else as its place in the run."""
    if not named:
        return f"{run.run}/{place}"
    return named if _PLAIN.fullmatch(named) else hashlib.sha256(named.encode(errors="replace")).hexdigest()


def _over(row: StepRun, state: RunState, failure: Failure | None = None) -> StepRun:
    return replace(row, state=state, waits=Waits.NOTHING, due_at=None, failure=failure or Failure())


def _settled(row: StepRun) -> Settled:
    if row.state is RunState.SUCCEEDED:
        return Settled("done", row.output)
    return Settled("failed", error=row.failure.error())


def input_of(call: Call, value: Any) -> dict[str, Any]:
    """What a step gives to its action, checked as a call's input is."""
    given = as_input(value)
    if not call.action.input_schema:
        return dict(given)
    return dict(InputCheck(call.action.input_schema).admit(call.name, given))
