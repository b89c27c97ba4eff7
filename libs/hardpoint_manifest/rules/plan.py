"""Rules about what steps give each other: every name is there by then, and every value fits where it goes."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

from hardpoint_manifest import source as written
from hardpoint_manifest.authority import nearest
from hardpoint_manifest.expression import ExpressionError, Scope, Template, compile
from hardpoint_manifest.finding import Finding, Path
from hardpoint_manifest.known import Known
from hardpoint_manifest.load.tree import MAX_PARTS
from hardpoint_manifest.model import Kind, Parameter
from hardpoint_manifest.plan import WAITING, Does, Plan, Step
from hardpoint_manifest.planning import calls as calling
from hardpoint_manifest.planning import workflow as lines
from hardpoint_manifest.planning.flow import Drawn
from hardpoint_manifest.planning.order import all_before
from hardpoint_manifest.rules.fitting import misfits
from hardpoint_manifest.rules.names_of_steps import Certain, unknown_name
from hardpoint_manifest.rules.subject import Subject
from hardpoint_manifest.source_workflow import Step as WrittenStep

MOST_EXPRESSIONS: Final = 1000
_ITEMS: Final = {"item": Known(), "index": Known("integer")}
_ERROR: Final = Known("object", dict.fromkeys(("step", "reason", "message"), Known("string")))
_TRUTH: Final = Known("boolean")
_LIST: Final = Known("array")
_KEYS: Final = [field.alias or name for name, field in WrittenStep.model_fields.items()]
"""What a step of a workflow may say besides the arguments of its action."""
_WAITING: Final = {
    "seconds": Known("number"),
    "until": Known("string"),
    "message": Known(),
    "name": Known("string"),
}
"""What steps that wait take."""


def check(subject: Subject) -> Iterator[Finding]:
    """The expressions of a plan, and what they make."""
    manifest, source = subject.manifest, subject.source
    if manifest.plan is None or isinstance(source, written.Header):
        return
    part = subject.at(manifest.kind.value)
    texts, values = _size(manifest.plan)
    if texts > MOST_EXPRESSIONS or values > MAX_PARTS:
        limit = f"{MOST_EXPRESSIONS} expressions" if texts > MOST_EXPRESSIONS else f"{MAX_PARTS} values"
        message = f"the steps hold more than {limit}, with the schemas that they name"
        yield subject.error("too-many-expressions", part, message, "split the capability")
        return
    checker = _Checker(subject, dict(_places(source)))
    checker.plan(manifest.plan, part)
    yield from checker.findings


def _places(source: written.Capability) -> Iterator[tuple[str, Path]]:
    if source.workflow is not None:
        for index, step in enumerate(source.workflow.steps):
            yield step.id, (*lines.WORKFLOW, "steps", index)
    elif source.flow is not None:
        for graph in Drawn(source.flow).graphs():
            yield from ((node.id, path) for node, path in graph.nodes())


def _size(plan: Plan) -> tuple[int, int]:
    """How many expressions and how many values its inputs hold, counted as far as is needed."""
    expressions = values = 0
    waiting: list[Any] = [plan.output]
    for step in calling.every((*plan.steps, plan.on_error)):
        waiting += [step.input, step.result, step.idempotency_key]
        expressions += sum(bool(text) for text in (step.when, step.for_each, step.condition))
    while waiting and values <= MAX_PARTS:
        value = waiting.pop()
        values += 1
        if isinstance(value, str):
            expressions += value.count("${") + value.count("{{")
        elif isinstance(value, dict | list):
            waiting.extend(value.values() if isinstance(value, dict) else value)
    return expressions, values


@dataclass(frozen=True)
class _Here:
    """What is known where an expression stands: names, and for those that may be missing the step that gives them."""

    names: Mapping[str, Known]
    later: Mapping[str, str] = field(default_factory=dict)
    """Names that are there in another place: by name, the step that gives it."""
    unsure: Mapping[str, str] = field(default_factory=dict)
    """Names that may not be there, likewise."""
    step: str = ""

    @cached_property
    def scope(self) -> Scope:
        """The same for compiling."""
        return Scope.known(self.names)

    def inside(self, item: Known) -> "_Here":
        """What is known for one item of a list."""
        return replace(self, names={**self.names, **_ITEMS, "item": item})


class _Checker:
    def __init__(self, subject: Subject, places: Mapping[str, Path]) -> None:
        self.subject = subject
        self.places = places
        self.findings: list[Finding] = []

    def plan(self, plan: Plan, part: Path) -> None:
        """All of a plan that stands at this part of the document."""
        here = self._steps(plan.steps, _Here(self._given()))
        end = next((path for id, path in self.places.items() if self._is_output(path)), part)
        at = self._first(end, "value", "output")
        given = self._value(plan.output, at, here) if plan.output is not None else None
        outputs = self.subject.manifest.actions[0].outputs
        if outputs and given is not None:
            whole = Parameter(name="output", type="object", properties=outputs)
            raw = plan.output if self.subject.document.value(at) is not None else None
            self._misfits(raw, given, whole, at, f"the output of {self.subject.manifest.id}")
        if plan.on_error is not None:
            place = self.places.get(plan.on_error.id, (*part, "error_handling", "on_error"))
            known = {**here.names, "error": _ERROR}
            self._step(plan.on_error, place, replace(here, names=known, unsure={}, later={}, step=plan.on_error.id))

    def _is_output(self, path: Path) -> bool:
        node = self.subject.document.value(path)
        return self.subject.manifest.kind is Kind.FLOW and isinstance(node, dict) and node.get("type") == "output"

    def _given(self) -> dict[str, Known]:
        manifest, source = self.subject.manifest, self.subject.source
        given = replace(Known.parameters(manifest.actions[0].inputs), optional=False)
        open_to = {one.key: Known(one.type) for one in manifest.requirements if not one.secret}
        names = {"input": given, "settings": Known("object", open_to, closed=True)}
        if isinstance(source, written.Capability) and source.workflow is not None:
            file = Known.parameter(Parameter(name="file", type="file", required=True))
            uploaded = Known("object", {"file": file}) if source.workflow.trigger == lines.FILE_UPLOAD else Known()
            names["trigger"] = given if source.workflow.trigger == lines.MANUAL else uploaded
        return names

    def _steps(self, steps: Iterable[Step], outside: _Here) -> _Here:
        """Steps in their order; returns what is known after them."""
        listed = tuple(steps)
        certain = Certain.of(listed)
        before = all_before({step.id: [edge.step for edge in step.after] for step in listed})
        outputs: dict[str, Known] = {}
        for step in listed:
            here = self._here(listed, outputs, outside, before[step.id], certain.when(step), step)
            outputs[step.id] = self._step(step, self.places.get(step.id, ()), here)
        return self._here(listed, outputs, outside, frozenset(outputs), certain.always, None)

    def _here(
        self,
        steps: tuple[Step, ...],
        outputs: Mapping[str, Known],
        outside: _Here,
        there: frozenset[str],
        sure: frozenset[str],
        step: Step | None,
    ) -> _Here:
        around = outside.names.get("steps", Known()).members
        inner = {one.id: outputs[one.id] for one in steps if one.id in there}
        short = {one.output: outputs[one.id] for one in steps if one.output and one.id in there}
        names = {one.output: one.id for one in steps if one.output} | {f"steps.{one.id}": one.id for one in steps}
        return _Here(
            {**outside.names, **short, "steps": Known("object", {**around, **inner}, closed=True)},
            later={name: id for name, id in names.items() if id not in there},
            unsure={**outside.unsure, **{name: id for name, id in names.items() if id in there and id not in sure}},
            step=step.id if step is not None else "",
        )

    def _step(self, step: Step, path: Path, here: _Here) -> Known:
        """One step; returns what is known of its output."""
        if step.when:
            self._expression(step.when, self._first(path, "if"), here, _TRUTH)
        inside = here
        if step.for_each:
            items = self._expression(step.for_each, self._first(path, "for_each"), here, _LIST)
            inside = here.inside(items.item or Known())
        given = self._input(step, path, here if step.does is Does.FILTER else inside)
        if step.condition or step.does in (Does.BRANCH, Does.FILTER):
            each = inside.inside(given.item or Known()) if step.does is Does.FILTER else inside
            self._expression(step.condition, self._first(path, "condition"), each, _TRUTH)
        if step.idempotency_key:
            self._value(step.idempotency_key, self._first(path, "idempotency_key"), inside)
        output = self._output(step, path, given, inside)
        if step.revert is not None:
            known = {**inside.names, "output": output, "error": _ERROR}
            self._step(step.revert, (*path, "revert"), replace(inside, names=known))
        return Known("array", item=output) if step.for_each else output

    def _input(self, step: Step, path: Path, here: _Here) -> Known:
        if step.does in (Does.STEPS, Does.BRANCH) or step.input is None:
            return Known()
        if step.does is Does.CALL and isinstance(step.input, dict):
            return self._call(step, path, here)
        at = self._first(path, *(_WAITING if step.does in WAITING else ("input", "value")))
        given = self._value(step.input, at, here)
        if step.does in WAITING and at != path:
            self._fits(given, _WAITING[str(at[-1])], at, str(step.input))
        return given

    def _call(self, step: Step, path: Path, here: _Here) -> Known:
        given = {name: self._value(part, self._argument(path, name), here) for name, part in step.input.items()}
        known = calling.standard(step.action)
        if known is not None:
            whole = Parameter(name="input", type="object", properties=known.inputs)
            for where, message, fix in misfits(step.input, Known("object", given, closed=True), whole, step.action):
                place = self._argument(path, str(where[0])) if where else path
                meant = nearest(str(where[0]), _KEYS) if where and (*path, where[0]) == place else None
                unknown = bool(meant) and all(one.name != where[0] for one in known.inputs)
                self._error("step-input", (*place, *where[1:]), message, f"did you mean {meant}?" if unknown else fix)
        return Known("object", given, closed=True)

    def _output(self, step: Step, path: Path, given: Known, here: _Here) -> Known:
        match step.does:
            case Does.VALUE:
                return given
            case Does.BRANCH:
                return _TRUTH
            case Does.FILTER:
                self._fits(given, _LIST, self._first(path, "input"), "what is filtered")
                return Known("array", item=given.item)
            case Does.PARSE:
                self._fits(given, Known("string"), self._first(path, "input"), "what is parsed")
                item = {"csv": Known("object"), "lines": Known("string")}.get(step.format)
                return Known("array", item=item) if item else Known()
            case Does.STEPS:
                after = self._steps(step.steps, here)
                if step.result is not None:
                    return self._value(step.result, self._first(path, "result"), after)
                return after.names["steps"].members.get(step.steps[-1].id, Known()) if step.steps else Known()
            case Does.CALL:
                return _called(step)
            case Does.HTTP | Does.CODE:
                if step.does is Does.HTTP:
                    self._fits(given, Known("object"), self._first(path, "input"), "what a request is given")
                action = self.subject.manifest.inner_action(step.action)
                return Known.parameters(action.outputs) if action is not None and action.outputs else Known()
        return Known()

    def _expression(self, text: str, path: Path, here: _Here, wanted: Known) -> Known:
        try:
            expression = compile(text, here.scope)
        except ExpressionError as error:
            self.findings.append(unknown_name(self.subject, path, error, here.later, here.step))
            return Known()
        self._absent(text, [str(one) for one in expression.source.paths], path, here)
        known = self._whole(expression.source.whole, expression.result_type, here)
        self._fits(known, wanted, path, text)
        return known

    def _value(self, value: Any, path: Path, here: _Here) -> Known:
        """A template, or what holds templates; a list of several types is a list of anything."""
        if isinstance(value, str):
            return self._template(value, path, here)
        if isinstance(value, dict):
            return Known("object", {str(k): self._value(part, (*path, k), here) for k, part in value.items()}, True)
        if isinstance(value, list):
            items = [self._value(part, (*path, index), here) for index, part in enumerate(value)]
            return Known("array", item=items[0] if items and all(one == items[0] for one in items) else None)
        return Known.literal(value)

    def _template(self, text: str, path: Path, here: _Here) -> Known:
        try:
            template = Template.parse(text, here.scope)
        except ExpressionError as error:
            self.findings.append(unknown_name(self.subject, path, error, here.later, here.step))
            return Known()
        for one in template.expressions:
            self._absent(one.text, [str(part) for part in one.source.paths], path, here)
        whole = template.whole
        return Known("string") if whole is None else self._whole(whole.source.whole, whole.result_type, here)

    def _whole(self, path: Any, result: str, here: _Here) -> Known:
        if path is None:
            return Known(result)
        return here.names.get(path.root, Known()).at(path.parts)

    def _absent(self, text: str, paths: list[str], path: Path, here: _Here) -> None:
        if "has(" in text:
            return
        for name, id in here.unsure.items():
            if any(one == name or one.startswith((f"{name}.", f"{name}[")) for one in paths):
                message = f"{id} may be skipped, and then there is no {name}"
                fix = f"ask first: has(steps.{id}) ? {name} : null; or do this only when {id} was done"
                self.findings.append(self.subject.warning("may-be-absent", path, message, fix))

    def _misfits(self, value: Any, known: Known, wanted: Parameter, path: Path, whose: str) -> None:
        for where, message, fix in misfits(value, known, wanted, whose):
            self._error("step-output", (*path, *where), message, fix)

    def _fits(self, given: Known, wanted: Known, path: Path, what: str) -> None:
        if not given.fits(wanted):
            self._error("expression-type", path, f"{what} is {given.type}, where {wanted.type} is wanted", "convert it")

    def _error(self, rule: str, path: Path, message: str, fix: str) -> None:
        self.findings.append(self.subject.error(rule, path, message, fix))

    def _first(self, path: Path, *fields: str) -> Path:
        """The first of these parts that the document has, or what is around them."""
        return next(((*path, one) for one in fields if self.subject.document.value((*path, one)) is not None), path)

    def _argument(self, path: Path, name: str) -> Path:
        inside = (*path, "input", name)
        return inside if self.subject.document.value(inside) is not None else self._first(path, name)


def _called(step: Step) -> Known:
    """What a standard action gives; one that is given a schema gives what fits it."""
    known = calling.standard(step.action)
    if known is None:
        return Known()
    schema = step.input.get(calling.SCHEMA) if isinstance(step.input, dict) else None
    if known.gives == "any" and isinstance(schema, dict):
        return Known.schema(schema)
    return Known.parameters(known.outputs) if known.outputs else Known(known.gives)
