"""Owns the trial of a workflow's examples: its plan walked on the answers that an example has for its steps. Pure.

What steps do is done by others, so with their answers nobody is called and nothing is waited for. What becomes of a
step that fails, what is undone and what is done on an error is as in a run.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

from hardpoint_manifest.expression import Budget, ExpressionError
from hardpoint_manifest.finding import Path, path_text
from hardpoint_manifest.given import as_input, until
from hardpoint_manifest.inputs import InputSchema, output_violations
from hardpoint_manifest.matcher import differences
from hardpoint_manifest.model import Action, Answer, Example, Manifest
from hardpoint_manifest.plan import WAITING, Does, Plan, Step
from hardpoint_manifest.standard import STANDARD_ACTIONS
from hardpoint_manifest.verdict import verdict
from hardpoint_manifest.walk import Compiled, Due, Program, Settled, Walk

MOST_STEPS: Final = 10_000
"""Of all examples of a release together; every item of a loop is one."""
PARTS: Final = 10
"""All examples of a release together may make, keep and read one of so many parts of what a run may."""
MOST_DIFFERENCES: Final = 20
LONGEST_TEXT: Final = 500
_SOMEBODY: Final = "somebody"
_NOW: Final = datetime(2030, 1, 1, tzinfo=UTC)
_BESIDE: Final = ("input", "trigger", "settings", "steps", "item", "index", "output", "error")
"""What is known to steps that stand beside the plan, besides short names."""


@dataclass(frozen=True, slots=True)
class Ran:
    """How a step went in an example: `place` is where it stands, as in a run (`store`, `mail/3`, `store.revert`)."""

    place: str
    state: Literal["done", "skipped", "failed"]
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of an example: its steps in their order, its output or why it failed, and how it went otherwise."""

    example: Example
    steps: tuple[Ran, ...]
    differences: tuple[str, ...]
    output: Any = None
    reason: str = ""


def tried(manifest: Manifest) -> Iterator[Tried]:
    """Try every example of a workflow that the check found right, all together within bounds."""
    assert manifest.plan is not None
    stage = _Stage(manifest, manifest.plan)
    for example in manifest.examples:
        yield _Trial(stage, example).outcome()


class _Stop(Exception):
    """An example cannot go on: it has no answer, or too much was done."""


class _StepFailed(Exception):
    """A step failed, as the example says or as it must."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class _Stage:
    """What the examples of one release share."""

    def __init__(self, manifest: Manifest, plan: Plan) -> None:
        self.plan = plan
        self.action = manifest.actions[0]
        open_to = (one for one in manifest.requirements if not one.secret)
        self.settings = {one.key: one.default for one in open_to if not one.required or one.default is not None}
        self.program = Program.plan(plan)
        self.budget = Budget.one_of(PARTS)
        self.steps = 0
        self._beside: dict[str, Compiled] = {}
        self._schemas: dict[str, InputSchema] = {}

    def count(self) -> None:
        """Count a step; raises _Stop once there are too many, or nothing more can be evaluated."""
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise _Stop(f"the examples of a release go through {MOST_STEPS} steps at most, all together: have fewer")
        if self.budget.spent:
            raise _Stop("the examples of a release together make or read too much: have fewer, or smaller ones")

    def beside(self, step: Step) -> Compiled:
        """A step that undoes another, or is done on an error; raises ExpressionError."""
        if step.id not in self._beside:
            names = [*_BESIDE, *(one.output for one in self.plan.steps if one.output)]
            self._beside[step.id] = Compiled.of(step, names, self.plan.optional)
        return self._beside[step.id]

    def check_input(self, action: str, given: Mapping[str, Any]) -> None:
        """Raise _StepFailed INPUT_INVALID for what a standard action refuses; of others nothing is known here."""
        known = STANDARD_ACTIONS.get(action)
        if known is None:
            return
        if action not in self._schemas:
            self._schemas[action] = InputSchema(Action(id="run", name=action, inputs=known.inputs).input_schema())
        schema = self._schemas[action]
        if wrong := schema.violations(schema.completed(given)):
            raise _StepFailed("INPUT_INVALID", "; ".join(f"{path} {problem}" for path, problem in wrong.items()))


@dataclass(frozen=True, slots=True)
class _Answered:
    """A step at its place in a run, and what an example says of it, or would say, at `at`."""

    step: Step
    place: str
    at: Path
    answer: Answer | None


@dataclass(frozen=True, slots=True)
class _Done:
    """A step that was done, with what it knew."""

    answered: _Answered
    known: Mapping[str, Any]


@dataclass(slots=True)
class _Trial:
    """One example on its way."""

    stage: _Stage
    example: Example
    ran: list[Ran] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    used: set[Path] = field(default_factory=set)
    done: list[_Done] = field(default_factory=list)
    listed: set[str] = field(default_factory=set)

    def outcome(self) -> Tried:
        """Walk it to its end, or as far as it goes."""
        output, reason = None, ""
        try:
            self.stage.count()
            walk = self._walk()
            step, error, output = self._end(walk)
            reason = "" if error is None else _reason(error)
            otherwise = verdict(self.example, None, output, reason)
            where = "" if error is None else f", at {step or 'the output'}: {error}"
            self.wrong += [f"{one}{where}" for one in otherwise]
            if error is not None and not otherwise:
                self._undo({**walk.variables, "error": {"step": step, "reason": reason, "message": str(error)}})
            if error is None or not otherwise:  # else what is missing follows from the failure
                self.wrong += self._unused()
        except _Stop as stop:
            self.wrong += [*self._unused(so_far=True), str(stop)]
        except RecursionError:
            self.wrong.append("a value is nested too deeply to be written")
        shown = tuple(one.replace("\0", "")[:LONGEST_TEXT] for one in self.wrong[:MOST_DIFFERENCES])
        return Tried(self.example, tuple(self.ran), shown, output, reason)

    def _walk(self) -> Walk:
        given = self.stage.action.with_defaults(self.example.input)
        trigger = given if self.example.trigger is None else self.example.trigger
        settings = {**self.stage.settings, **self.example.settings}
        known = {"input": given, "trigger": trigger, "settings": settings}
        walk = Walk(self.stage.program, known, budget=self.stage.budget)
        while turns := walk.due():
            self._look(walk)
            for due in turns:  # those that are due together have all begun when one of them fails
                self.listed.add(due.step.step.id)
                walk.settle(due.step.step.id, self._turn(due))
        self._look(walk)
        return walk

    def _end(self, walk: Walk) -> tuple[str, Exception | None, Any]:
        """The step that failed and its error, or the output."""
        if walk.failure is not None:
            step, ended = walk.failure
            return step, ended.error or _StepFailed("INTERNAL", "it failed"), None
        try:
            output = walk.output()
            self.stage.budget.kept.take(output)
        except ExpressionError as error:
            return "", error, None
        repr(output)  # raises RecursionError for what nobody could be shown
        for place, problem in output_violations(self.stage.action.output_schema(), output).items():
            return "", _StepFailed("TYPE_MISMATCH", f"{place} {problem}"), None
        return "", None, output

    def _look(self, walk: Walk) -> None:
        """List the steps that the walk has settled by itself."""
        for id, ended in walk.settled.items():
            if id not in self.listed:
                self.listed.add(id)
                self._tell(id, Settled("failed", error=ended.error) if ended.error is not None else ended)

    def _turn(self, due: Due) -> Settled:
        """Do a step whose turn it is: all items of a loop, also when one of them fails."""
        step = due.step.step
        answers = self.example.steps.get(step.id)
        if answers == "skipped":
            raise _Stop(f"steps.{step.id} is to be skipped, and its turn came")
        if not due.each:
            answer = answers if isinstance(answers, Answer) else None
            answered = _Answered(step, step.id, ("steps", step.id), answer)
            return self._item(due.step, answered, due.inputs[0], due.known[0])
        items = len(due.inputs)
        if isinstance(answers, tuple) and len(answers) != items:
            raise _Stop(f"steps.{step.id} has {_counted(len(answers), 'answer')} for {_counted(items, 'item')}")
        ended = []
        for index, value in enumerate(due.inputs):
            answer = answers[index] if isinstance(answers, tuple) else None
            answered = _Answered(step, f"{step.id}/{index}", ("steps", step.id, index), answer)
            ended.append(self._item(due.step, answered, value, due.known[index]))
        failed = next((one for one in ended if one.state == "failed"), None)
        return failed or Settled("done", [one.output for one in ended])

    def _item(self, compiled: Compiled, answered: _Answered, value: Any, known: dict[str, Any]) -> Settled:
        try:
            if compiled.step.idempotency_key:
                compiled.key.evaluate(known, self.stage.budget)
            settled = Settled("done", self._output(answered, value))
        except (ExpressionError, _StepFailed) as error:
            settled = Settled("failed", error=error)
        self._tell(answered.place, settled)
        if settled.state == "done":
            self.done.append(_Done(answered, {**known, "output": settled.output}))
        return settled

    def _output(self, answered: _Answered, value: Any) -> Any:
        """What a step gives that is given this; raises _StepFailed, ExpressionError, and _Stop without an answer."""
        step, answer = answered.step, answered.answer
        given = value
        if step.does is Does.WAIT:
            until(value, _NOW)
        elif step.does not in WAITING:
            given = as_input(value)
            self.stage.budget.made.take(given, step.id)
            self.stage.check_input(step.action, given)
        if answer is None:
            if step.does in (Does.WAIT, Does.APPROVAL):
                answer = Answer()
            else:
                raise _Stop(f"{path_text(answered.at)} has no answer: {_line(answered, self.example)}")
        self.used.add(answered.at)
        if answer.given is not None:
            self.wrong += differences(answer.given, given, (*answered.at, "given"))
        if answer.fails:
            raise _StepFailed(answer.fails, "as the example says")
        if step.does is Does.WAIT:
            return None
        if step.does is not Does.APPROVAL:
            return answer.gives
        output = {"approved": True, "by": _SOMEBODY, **(answer.gives or {})}
        if output["approved"] is not True:
            raise _StepFailed("REFUSED", f"{output['by']} refused it")
        return output

    def _undo(self, known: dict[str, Any]) -> None:
        """Undo what was done, the last first; then do what is to be done on an error."""
        for done in reversed(self.done):
            revert, answered = done.answered.step.revert, done.answered
            if revert is not None:
                answer = answered.answer.revert if answered.answer is not None else None
                beside = _Answered(revert, f"{answered.place}.revert", (*answered.at, "revert"), answer)
                self._beside(beside, {**known, **done.known, "error": known["error"]})
        handler = self.stage.plan.on_error
        if handler is not None:
            answers = self.example.steps.get(handler.id)
            if answers == "skipped":
                raise _Stop(f"steps.{handler.id} is to be skipped, and its turn came")
            answer = answers if isinstance(answers, Answer) else None
            self.listed.add(handler.id)
            self._beside(_Answered(handler, handler.id, ("steps", handler.id), answer), known)

    def _beside(self, answered: _Answered, known: dict[str, Any]) -> None:
        """Do a step that stands beside the plan; how it ends changes nothing."""
        try:
            value = self.stage.beside(answered.step).input.evaluate(known, self.stage.budget)
            self._tell(answered.place, Settled("done", self._output(answered, value)))
        except (ExpressionError, _StepFailed) as error:
            self._tell(answered.place, Settled("failed", error=error))

    def _tell(self, place: str, ended: Settled) -> None:
        self.stage.count()
        message = "" if ended.error is None else str(ended.error)[:LONGEST_TEXT]
        self.ran.append(Ran(place, ended.state, _reason(ended.error) if ended.error else "", message))

    def _unused(self, *, so_far: bool = False) -> Iterator[str]:
        """The answers that nobody asked for, of all steps or of those that are over."""
        ways = {one.place: one for one in self.ran}
        for id, answers in self.example.steps.items():
            if answers == "skipped":
                continue
            for index, answer in enumerate(answers) if isinstance(answers, tuple) else ((None, answers),):
                at: Path = ("steps", id) if index is None else ("steps", id, index)
                ran = ways.get(id) or ways.get(f"{id}/{index}")
                if so_far and ran is None:
                    continue
                if at not in self.used:
                    how = _not_done(ran)
                    yield f"{path_text(at)} has an answer, and {how}" + (
                        f"; if that is meant: {id}: skipped" if ran is None or ran.state == "skipped" else ""
                    )
                elif not so_far and answer.revert is not None and (*at, "revert") not in self.used:
                    yield f"{path_text((*at, 'revert'))} has an answer, and nothing undid the step"


def _not_done(ran: Ran | None) -> str:
    if ran is None:
        return "the run ended before its turn came"
    if ran.state == "skipped":
        return "the step was skipped"
    return f"the step failed before it asked: {ran.reason} {ran.message}"


def _line(answered: _Answered, example: Example) -> str:
    """What to add to an example, and where."""
    *outer, last = answered.at
    if last == "revert":
        return f"add `revert: {{ gives: ... }}` to {path_text(tuple(outer))}"
    if isinstance(last, int):
        return f"add `{outer[-1]}: [{{ gives: ... }}, ...]` to the `steps` of {example.name}, one for each item"
    return f"add `{last}: {{ gives: ... }}` to the `steps` of {example.name}"


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", "INTERNAL"))


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
