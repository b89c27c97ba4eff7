"""Which step comes next: a plan on its way, without clock and I/O.

The same walk is made in memory by a flow and durably by a workflow. It depends on nothing but the plan, what was given,
and how each step ended, so whoever repeats it with these comes to the same place.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Self

from hardpoint_manifest.expression import Budget, Expression, ExpressionError, Scope, Structure, compile
from hardpoint_manifest.parse import parse
from hardpoint_manifest.plan import PURE, After, Does, Plan, Step

State = Literal["done", "skipped", "failed"]
_ALWAYS: Final = ("input", "trigger", "settings")


@dataclass(frozen=True, slots=True)
class Settled:
    """How a step ended. `error` says why one failed; `went` is the way that a branch took."""

    state: State
    output: Any = None
    error: Exception | None = None
    went: Literal["then", "else"] | None = None


@dataclass(frozen=True, slots=True)
class Due:
    """A step whose turn it is: with its one input, or in a loop (`each`) with one for every item.

    Of a step with steps of its own, an input is what these are given: the names that they know and their values. What
    the expressions of a step know is in `known`, for each input.
    """

    step: "Compiled"
    inputs: tuple[Any, ...]
    known: tuple[dict[str, Any], ...]
    each: bool = False


@dataclass(frozen=True, slots=True)
class Compiled:
    """A step with its expressions ready."""

    step: Step
    input: Structure
    condition: Expression | None
    when: Expression | None
    for_each: Expression | None
    key: Structure
    steps: "Program | None"

    @classmethod
    def of(cls, step: Step, known: Iterable[str], optional: Iterable[str] = ()) -> Self:
        """Compile a step that knows these names, some `optional`; raises ExpressionError."""
        outside = _scope(known, optional)
        items = step.for_each or step.does is Does.FILTER
        inside = _scope((*outside.types, "item", "index"), optional) if items else outside
        return cls(
            step,
            Structure.parse(step.input, outside if step.does is Does.FILTER else inside),
            compile(step.condition, inside) if step.condition else None,
            compile(step.when, outside) if step.when else None,
            compile(step.for_each, outside) if step.for_each else None,
            Structure.parse(step.idempotency_key, inside),
            Program.of(step.steps, step.result, inside.types, optional) if step.does is Does.STEPS else None,
        )


@dataclass(frozen=True, slots=True)
class Program:
    """Steps ready to be walked any number of times."""

    steps: tuple[Compiled, ...]
    output: Structure | None

    @classmethod
    def plan(cls, plan: Plan) -> Self:
        """Compile a plan; raises ExpressionError."""
        return cls.of(plan.steps, plan.output, _ALWAYS, plan.optional)

    @classmethod
    def of(cls, steps: Iterable[Step], output: Any, known: Iterable[str], optional: Iterable[str] = ()) -> Self:
        """Compile steps that know these names besides each other's, some `optional`; raises ExpressionError."""
        listed = tuple(steps)
        names = [*known, "steps", *(step.output for step in listed if step.output)]
        compiled = tuple(Compiled.of(step, names, optional) for step in listed)
        return cls(compiled, None if output is None else Structure.parse(output, _scope(names, optional)))


@dataclass(slots=True)
class Walk:
    """A program on its way: what it was given, and how each step has ended so far.

    What is evaluated on the way has one `budget`, as much as it is: nobody's deadline ends it.
    """

    program: Program
    given: Mapping[str, Any]
    settled: dict[str, Settled] = field(default_factory=dict)
    budget: Budget = field(default_factory=Budget)

    def due(self, begun: Iterable[str] = ()) -> list[Due]:
        """The steps whose turn it is, in the plan's order, without those that have `begun`.

        Steps that nobody is needed for are done on the way; one whose expressions fail, its `when` and `for_each` among
        them, has failed, and is settled like any that did. Nothing is due once a step has failed for good.
        """
        waiting = set(begun)
        while self.failure is None:
            found: list[Due] = []
            moved = False
            for compiled in self.program.steps:
                if compiled.step.id in self.settled or compiled.step.id in waiting or not self._may_begin(compiled):
                    continue
                turn = self._turn(compiled)
                if isinstance(turn, Due):
                    found.append(turn)
                    continue
                self.settle(compiled.step.id, turn)
                moved = True
                if self.settled[compiled.step.id].state == "failed":
                    return []
            if not moved:
                return found
        return []

    def settle(self, step: str, ended: Settled) -> None:
        """Keep how a step ended; one that failed and may is done with null, and keeps its error."""
        may_fail = any(c.step.id == step and c.step.on_error == "continue" for c in self.program.steps)
        self.settled[step] = Settled("done", None, ended.error) if ended.state == "failed" and may_fail else ended

    @property
    def failure(self) -> tuple[str, Settled] | None:
        """The first step that failed for good, and how."""
        return next(((step, ended) for step, ended in self.settled.items() if ended.state == "failed"), None)

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.failure is not None or len(self.settled) == len(self.program.steps)

    def output(self) -> Any:
        """What the whole gives, once finished; raises ExpressionError."""
        if self.program.output is not None:
            return self.program.output.evaluate(self.variables, self.budget)
        done = [self.settled[c.step.id] for c in self.program.steps if self.settled[c.step.id].state == "done"]
        return done[-1].output if done else None

    @property
    def variables(self) -> dict[str, Any]:
        """What expressions know: what was given, `steps`, and outputs by their short names."""
        outputs = {step: ended.output for step, ended in self.settled.items() if ended.state == "done"}
        steps = (compiled.step for compiled in self.program.steps)
        named = {step.output: outputs[step.id] for step in steps if step.output and step.id in outputs}
        return {**self.given, "steps": {**self.given.get("steps", {}), **outputs}, **named}

    def _may_begin(self, compiled: Compiled) -> bool:
        return all(edge.step in self.settled for edge in compiled.step.after)

    def _turn(self, compiled: Compiled) -> Due | Settled:
        step = compiled.step
        if step.after and not any(_taken(edge, self.settled[edge.step]) for edge in step.after):
            return Settled("skipped")
        variables = self.variables
        try:
            if compiled.when is not None and not _truth(compiled.when, variables, self.budget):
                return Settled("skipped")
            if step.does in PURE and compiled.for_each is None:
                return _pure(compiled, variables, self.budget)
            if compiled.for_each is None:
                return Due(compiled, (_given(compiled, variables, self.budget),), (variables,))
            scopes = _scopes(compiled, variables, self.budget)
            if step.does in PURE:
                return Settled("done", [_pure(compiled, scope, self.budget).output for scope in scopes])
            return Due(compiled, tuple(_given(compiled, scope, self.budget) for scope in scopes), scopes, each=True)
        except ExpressionError as error:
            return Settled("failed", error=error)


def _scope(known: Iterable[str], optional: Iterable[str]) -> Scope:
    return Scope({**Scope.of(*known).types, **Scope.of(*optional).types}, optional=frozenset(optional))


def _given(compiled: Compiled, variables: dict[str, Any], budget: Budget) -> Any:
    return variables if compiled.steps is not None else compiled.input.evaluate(variables, budget)


def _scopes(compiled: Compiled, variables: dict[str, Any], budget: Budget) -> tuple[dict[str, Any], ...]:
    assert compiled.for_each is not None
    items = compiled.for_each.evaluate(variables, budget)
    if not isinstance(items, list):
        raise ExpressionError("TYPE_MISMATCH", "for_each gives no list", compiled.step.for_each)
    if len(items) > compiled.step.most:
        message = f"{len(items)} items; at most {compiled.step.most} are gone through"
        fix = "raise `max_items`, or filter first"
        raise ExpressionError("EXPRESSION_FAILED", message, compiled.step.for_each, fix=fix)
    return tuple({**variables, "item": item, "index": index} for index, item in enumerate(items))


def _taken(edge: After, before: Settled) -> bool:
    if edge.port == "settled":
        return True
    return before.state == "done" and edge.port in ("done", before.went)


def _pure(compiled: Compiled, variables: dict[str, Any], budget: Budget) -> Settled:
    ended = _done(compiled, variables, budget)
    budget.kept.take(ended.output, compiled.step.id)
    return ended


def _done(compiled: Compiled, variables: dict[str, Any], budget: Budget) -> Settled:
    step = compiled.step
    if step.does is Does.BRANCH:
        assert compiled.condition is not None
        went: Literal["then", "else"] = "then" if _truth(compiled.condition, variables, budget) else "else"
        return Settled("done", went == "then", went=went)
    value = compiled.input.evaluate(variables, budget)
    if step.does is Does.FILTER:
        assert compiled.condition is not None
        if not isinstance(value, list):
            raise ExpressionError("TYPE_MISMATCH", "what is filtered is no list", step.id)
        kept = [
            item
            for index, item in enumerate(value)
            if _truth(compiled.condition, {**variables, "item": item, "index": index}, budget)
        ]
        return Settled("done", kept)
    return Settled("done", parse(step.format, value, step.id) if step.does is Does.PARSE else value)


def _truth(expression: Expression, variables: dict[str, Any], budget: Budget) -> bool:
    value = expression.evaluate(variables, budget)
    if not isinstance(value, bool):
        raise ExpressionError("TYPE_MISMATCH", "a condition is true or false", expression.text)
    return value
