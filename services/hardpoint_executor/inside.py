"""Owns what runs inside of one execution: calls of other capabilities, each an execution of its own, and their record.

An inner execution has its own broker, jail and limits; its time is cut by what is left of the caller's, and what it
reaches by what its callers reach. The runtime said what may be called, with all that it takes, so nobody is asked.
"""

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from opentelemetry.trace import Status, StatusCode

from hardpoint_executor.broker.declared import declaring
from hardpoint_executor.broker.denial import BrokerDenied, CalleeFailed
from hardpoint_executor.broker.tape import Tape
from hardpoint_executor.domain import (
    Callee,
    Event,
    Execution,
    Finished,
    InnerStep,
    Log,
    Outcome,
    Tell,
    Usage,
    outcome_of,
)
from hardpoint_executor.writes import Writes
from hardpoint_kit.errors import Cancelled, HardpointError, InvalidArgument
from hardpoint_kit.telemetry import tracer
from hardpoint_manifest.authority import Authority, nearest

MOST_RECORDED = 1000
"""Steps of one execution that are told apart; what more there are is in the sums alone."""
SHORTEST_SECONDS = 0.001

Perform = Callable[[Execution, Tell], Awaitable[Finished]]
"""Runs an inner execution to its end; raises HardpointError for one that does not begin."""


@dataclass(slots=True)
class _Begun:
    """A step that has begun; `ended` when it has."""

    path: str
    action: str
    release: str
    installation: str
    started_at: datetime
    started: float
    ended: InnerStep | None = None


class Inside:
    """The inner executions of one execution; `usage` and `used` are theirs together."""

    def __init__(
        self,
        whole: Execution,
        seconds: float,
        perform: Perform,
        tell: Tell,
        *,
        in_jail: bool,
        tape: Tape | None = None,
    ) -> None:
        self.usage = Usage()
        self.used = Authority()
        self._whole = whole
        self._seconds = seconds
        self._ends = time.monotonic() + seconds
        self._perform = perform
        self._tell = tell
        self._in_jail = in_jail
        self._tape = tape
        self._begun: list[_Begun] = []
        self._unsure = 0
        """Those that wrote, and those of which nobody has heard yet."""
        self._inner: list[InnerStep] = []
        self._times: dict[str, int] = {}

    def begin(self) -> None:
        """Count the execution's time from now on: it waited for its jail until now."""
        self._ends = time.monotonic() + self._seconds

    @property
    def wrote(self) -> bool:
        """Whether something may have changed outside."""
        return self._unsure > 0

    @property
    def steps(self) -> tuple[InnerStep, ...]:
        """What ran inside, in the order in which it began; what has not ended yet ended with its caller."""
        steps = [begun.ended or _cut_off(begun) for begun in self._begun] + self._inner
        return tuple(sorted(steps, key=lambda step: step.started_at)[:MOST_RECORDED])

    async def call(self, name: str, value: Mapping[str, Any]) -> Any:
        """The output of an action of another capability, for code that calls it; raises CalleeFailed."""
        times = self._times[name] = self._times.get(name, 0) + 1
        return await self.call_as(name if times == 1 else f"{name}#{times}", name, value)

    async def call_as(self, path: str, name: str, value: Mapping[str, Any], key: str = "", seconds: float = 0) -> Any:
        """The output of an action of another capability as the step of this path.

        `key` names the effect, `seconds` bound it where they are given. Raises CalleeFailed.
        """
        callee = self._whole.callees.get(name)
        if callee is None:
            raise self._not_declared(name)
        called = partial(self._called, callee, path, name, value, key, seconds)
        if self._tape is None:
            return await called()
        # What is called is an outside of its own: a cassette has its answer, and nothing of what it did.
        tape = self._tape if self._in_jail else self._tape.inside(path)
        return await tape.effect("call", "run", {"action": name, "input": value}, called)

    async def _called(
        self, callee: Callee, path: str, name: str, value: Mapping[str, Any], key: str, seconds: float
    ) -> Any:
        with self._step(path, name, callee.execution or self._whole) as begun:
            execution = self._execution(callee, value, key or self.key(path), seconds)
            finished = await self._perform(replace(execution, writes=self._writes(path)), self._log)
            self._end(begun, finished)
        if finished.error is not None:
            raise CalleeFailed.of(finished.error, name)
        return finished.output

    def key(self, path: str) -> str:
        """What names the effect of a step by its place; nothing where nobody would repeat the execution."""
        return f"{self._whole.idempotency_key}/{path}" if self._whole.idempotency_key else ""

    async def do(self, path: str, execution: Execution, perform: Perform, seconds: float = 0) -> Any:
        """The output of an inner action of the execution's own release; raises HardpointError."""
        with self._step(path, "", replace(execution, installation="")) as begun:
            execution = replace(self._bounded(execution, seconds), writes=self._writes(path))
            finished = await perform(execution, self._log)
            self._end(begun, finished)
        if finished.error is not None:
            raise finished.error
        return finished.output

    def _writes(self, path: str) -> Writes:
        """Code calls one after the other while a plan is made or kept to; steps of a flow run side by side."""
        return self._whole.writes.inside(path, beside=not self._in_jail)

    def _execution(self, callee: Callee, value: Mapping[str, Any], key: str, seconds: float) -> Execution:
        if callee.refusal is not None:
            raise callee.refusal
        assert callee.execution is not None
        if callee.input is not None:
            value = callee.input.completed(value)
            if violations := callee.input.violations(value):
                raise _misfit(callee.action, violations)
        whole = self._whole
        execution = replace(
            callee.execution,
            input=value,
            depth=whole.depth + self._in_jail,
            files=whole.files.handed(value),
            known=whole.known,
            idempotency_key=key,
        )
        return self._bounded(execution.on_behalf((*whole.callers, whole.calling)), seconds)

    def _bounded(self, execution: Execution, seconds: float) -> Execution:
        left = max(SHORTEST_SECONDS, self._ends - time.monotonic())
        wall = min(filter(None, (left, seconds, execution.limits.wall_seconds)))
        return replace(execution, limits=replace(execution.limits, wall_seconds=wall))

    def _not_declared(self, name: str) -> BrokerDenied:
        declared = sorted(self._whole.callees)
        meant = nearest(name[:100], declared)
        shown = ascii(name[:100])[1:-1]
        return BrokerDenied(
            "CALLEE_NOT_DECLARED",
            f"{self._whole.calling.capability} does not say that it calls {shown}",
            f"did you mean {meant}?" if meant else f'the author has to declare "{shown}" in `calls`',
            callee=shown,
            **declaring("/calls" if self._in_jail else "/capability/calls", [*declared, shown]),
        )

    @contextmanager
    def _step(self, path: str, action: str, execution: Execution) -> Iterator[_Begun]:
        """Watch a step: its span and its record; what does not begin, or is cancelled, is recorded too."""
        begun = _Begun(path, action, execution.release, execution.installation, datetime.now(UTC), time.monotonic())
        self._unsure += 1
        if len(self._begun) < MOST_RECORDED:
            self._begun.append(begun)
        of = {"hardpoint.step": path, "hardpoint.release": execution.release}
        attributes = {**of, "gen_ai.tool.name": action} if action else of
        name = f"execute_tool {action}" if action else "flow step"
        # What went wrong may be told in words of an input: its reason is enough.
        with tracer.start_as_current_span(
            name, attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield begun
            except HardpointError as error:
                self._unsure -= 1  # it did not begin
                begun.ended = _ended(begun, outcome_of(error), error)
                raise (CalleeFailed.of(error, action) if action else error) from error
            finally:
                if begun.ended is not None and begun.ended.error is not None:
                    span.set_attribute("error.type", begun.ended.error.reason)
                    span.set_status(Status(StatusCode.ERROR))

    def _end(self, begun: _Begun, finished: Finished) -> None:
        self._unsure -= not finished.wrote
        usage = finished.usage
        self.usage = self.usage.with_inner(usage)
        used = finished.used
        self.used = Authority(self.used.permissions | used.permissions, self.used.hosts | used.hosts)
        begun.ended = replace(_ended(begun, finished.outcome, finished.error), usage=usage, used=used)
        room = MOST_RECORDED - len(self._begun) - len(self._inner)
        self._inner += [step.inside(begun.path) for step in finished.steps[: max(0, room)]]

    def _log(self, event: Event) -> None:
        if isinstance(event, Log):
            self._tell(event)


def _ended(begun: _Begun, outcome: Outcome, error: HardpointError | None) -> InnerStep:
    return InnerStep(
        begun.path,
        begun.action,
        begun.release,
        outcome,
        error,
        Usage(),
        begun.started_at,
        (time.monotonic() - begun.started) * 1000,
        begun.installation,
    )


def _cut_off(begun: _Begun) -> InnerStep:
    return _ended(begun, Outcome.CANCELLED, Cancelled("its caller ended before it"))


def _misfit(action: str, violations: Mapping[str, str]) -> HardpointError:
    return InvalidArgument(violations, reason="INPUT_INVALID", fix=f"see the input schema of {action}", action=action)
