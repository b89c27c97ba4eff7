"""A flow, compiled once per artifact: its steps, and the requests and the code of its own that they name."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from hardpoint_executor.runners.http import HttpPlan
from hardpoint_kit.errors import Conflict, InvalidArgument, NotFound
from hardpoint_manifest.authority import nearest
from hardpoint_manifest.expression import ExpressionError
from hardpoint_manifest.inner import BODY_LINE, module
from hardpoint_manifest.model import REPEATABLE, Action, Manifest
from hardpoint_manifest.plan import WAITING, Plan, Step
from hardpoint_manifest.walk import Compiled, Program

KNOWN: Final = ("input", "trigger", "settings", "steps")
ERROR: Final = "error"
"""What `on_error` knows besides."""
_ENDINGS: Final = {"python": "py", "javascript": "mjs"}


@dataclass(frozen=True, slots=True)
class InnerCode:
    """Code of a step: a module whose one action is `run`, and the file name by which its places are told."""

    language: str
    source: str
    filename: str
    output_schema: Mapping[str, Any]

    def authors(self, place: str) -> str:
        """A place of the module as one of what the author wrote."""
        name, _, rest = place.partition(":")
        line, _, column = rest.partition(":")
        if name != self.filename or not (line.isdecimal() and column.isdecimal()):
            return place
        indented = self.language == "python" and int(column) > 1
        return f"{name}:{int(line) - BODY_LINE + 1}:{int(column) - indented}"


@dataclass(frozen=True, slots=True)
class FlowPlan:
    """A flow ready to run any number of times."""

    plan: Plan
    program: Program
    on_error: Compiled | None
    requests: Mapping[str, HttpPlan]
    codes: Mapping[str, InnerCode]
    repeatable: frozenset[str]
    """The inner actions that may be done again."""

    @classmethod
    def compile(cls, manifest: Manifest) -> Self:
        """Compile the flow of a manifest; raises InvalidArgument for one that the manifest check refuses."""
        plan = manifest.plan
        if plan is None:
            raise InvalidArgument(f"{manifest.id} has no plan", reason="MANIFEST_INVALID", place="flow")
        for step in _every((*plan.steps, plan.on_error)):
            if step.does in WAITING:
                raise InvalidArgument(
                    f"step {step.id} waits: only a workflow can",
                    reason="FLOW_WAITS",
                    place=step.id,
                    fix="make it a workflow, or take the step out",
                )
        known = (*KNOWN, ERROR, *(step.output for step in plan.steps if step.output))
        try:
            program = Program.plan(plan)
            on_error = Compiled.of(plan.on_error, known, plan.optional) if plan.on_error else None
        except ExpressionError as error:
            raise InvalidArgument(error.message, reason="MANIFEST_INVALID", place=error.place, fix=error.fix) from None
        return cls(
            plan,
            program,
            on_error,
            {action.id: HttpPlan.compile(action, manifest) for action in manifest.inner if action.http},
            {action.id: _code(action) for action in manifest.inner if action.code},
            frozenset(action.id for action in manifest.inner if _may_repeat(action)),
        )

    def only(self, step_id: str) -> Program:
        """One step alone, whatever comes before it; raises NotFound, and Conflict for a step inside of another."""
        step = next((step for step in self.plan.steps if step.id == step_id), None)
        if step is None and any(inner.id == step_id for inner in _every(self.plan.steps)):
            raise Conflict(
                f"step {step_id} is inside of another, which says what it is done for",
                reason="STEP_INSIDE",
                fix="test the step around it",
                step=step_id,
            )
        if step is None:
            ids = [step.id for step in self.plan.steps]
            meant = nearest(step_id, ids)
            fix = f"did you mean {meant}?" if meant else f"it has {', '.join(ids)}"
            raise NotFound("step", step_id, reason="STEP_UNKNOWN", fix=fix)
        outputs = (other.output for other in self.plan.steps if other.output)
        alone = step.model_copy(update={"after": (), "when": "", "output": ""})
        return Program.of((alone,), None, (*KNOWN, *outputs), self.plan.optional)


def _code(action: Action) -> InnerCode:
    code = action.code
    assert code is not None
    return InnerCode(code.language, module(code), f"{action.id}.{_ENDINGS[code.language]}", action.output_schema())


def _may_repeat(action: Action) -> bool:
    call = action.http
    if call is not None:
        return call.method in REPEATABLE or bool(call.idempotency_header)
    return action.effect == "read" or action.idempotent


def _every(steps: Iterable[Step | None]) -> Iterator[Step]:
    for step in steps:
        if step is not None:
            yield step
            yield from _every((*step.steps, step.revert))
