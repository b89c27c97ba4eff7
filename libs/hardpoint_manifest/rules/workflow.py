"""Rules about workflows: what steps refer to exists, goes in no circle, and is repeated where that does no harm."""

from collections.abc import Iterator
from typing import Final, Literal

from hardpoint_manifest import source as written
from hardpoint_manifest import uploads
from hardpoint_manifest.authority import nearest
from hardpoint_manifest.expression import ExpressionError, Scope, compile
from hardpoint_manifest.finding import Finding, PatchOp, Path, pointer
from hardpoint_manifest.known import Known
from hardpoint_manifest.model import Kind
from hardpoint_manifest.names import CEL_WORDS
from hardpoint_manifest.planning import calls as calling
from hardpoint_manifest.planning import workflow as lines
from hardpoint_manifest.planning.order import circle
from hardpoint_manifest.rules.callees import check_callee
from hardpoint_manifest.rules.names import duplicates
from hardpoint_manifest.rules.names_of_steps import unknown_name
from hardpoint_manifest.rules.subject import Subject
from hardpoint_manifest.source_workflow import Called, Retrying, Step, Workflow

_TAKEN: Final = frozenset(
    {"input", "trigger", "settings", "steps", "item", "index", "error", "output", "file"}
    | {"bool", "bytes", "double", "dyn", "int", "list", "map", "null_type", "string", "type", "uint"}
)
"""Names that expressions already have."""
_UNUSED: Final = ("actions", "endpoints", "api", "integration")


def check(subject: Subject) -> Iterator[Finding]:
    """Workflows; nothing for other kinds."""
    source, kind = subject.source, subject.manifest.kind
    if isinstance(source, written.Header) or kind not in {Kind.WORKFLOW, Kind.FLOW}:
        return
    yield from _one_kind(subject, source)
    if source.workflow is not None:
        yield from _workflow(subject, source.workflow, subject.at("workflow"))
    elif kind is Kind.WORKFLOW:
        yield subject.error("no-workflow", subject.at("type"), "type is workflow, but there is no `workflow`")
    elif source.flow is None:
        yield subject.error("no-flow", subject.at("type"), "type is flow, but there is no `flow`")


def _one_kind(subject: Subject, source: written.Capability) -> Iterator[Finding]:
    """A workflow or a flow has one action, and nothing beside it."""
    kind = subject.manifest.kind.value
    if source.workflow is not None and source.flow is not None:
        yield subject.error("two-kinds", subject.at("flow"), "the capability has a workflow and a flow", "write two")
    for field in _UNUSED:
        if field in source.model_fields_set:
            message = f"a {kind} has one action, run; `{field}` is not used"
            yield subject.error(
                "two-kinds", subject.at(field), message, f"remove `{field}`, or write a second capability"
            )


def _workflow(subject: Subject, workflow: Workflow, path: Path) -> Iterator[Finding]:
    steps = [(step, (*path, "steps", index)) for index, step in enumerate(workflow.steps)]
    yield from duplicates(subject, "step", ((step.id, (*place, "id")) for step, place in steps))
    outputs = [(step.output, (*place, "output")) for step, place in steps if step.output]
    yield from duplicates(subject, "output", outputs)
    for name, place in outputs:
        if name in _TAKEN | CEL_WORDS or not name.isidentifier():
            message = f"{name} cannot be the name of an output: expressions could not use it"
            yield subject.error("reserved-name", place, message, "use letters, digits and underscore, and another word")
    yield from _trigger(subject, workflow, path)
    yield from _order(subject, workflow, steps)
    for step, place in steps:
        yield from _step(subject, workflow, step, place)
    yield from _handler(subject, workflow, (*path, "error_handling", "on_error"))


def _trigger(subject: Subject, workflow: Workflow, path: Path) -> Iterator[Finding]:
    declared = [trigger.id for trigger in subject.source.triggers]
    known = [lines.FILE_UPLOAD, lines.MANUAL, *declared]
    if workflow.trigger not in known:
        close = nearest(workflow.trigger, known)
        fix = f"did you mean {close}?" if close else f"it can be {', '.join(known)}; others are declared in `triggers`"
        message = f"there is no trigger {workflow.trigger[:64]!r}"
        yield subject.error("dangling-reference", (*path, "trigger"), message, fix)
    if lines.FILE_UPLOAD in declared:
        place = subject.at("triggers", declared.index(lines.FILE_UPLOAD), "id")
        yield subject.error("duplicate-id", place, f"{lines.FILE_UPLOAD} already is a trigger", "give it another name")
    if workflow.trigger == lines.FILE_UPLOAD:
        inputs = subject.manifest.actions[0].inputs
        for one in inputs:
            if one.required and one.name != "file" and one.default is None:
                message = f"an upload gives the input `file`, and no `{one.name}`, which is required"
                yield subject.error("trigger-input", (*path, "inputs"), message, f"give {one.name} a default")
    if workflow.filter is not None:
        yield from _filter(subject, workflow, (*path, "filter"))


def _filter(subject: Subject, workflow: Workflow, path: Path) -> Iterator[Finding]:
    if workflow.trigger == lines.MANUAL:
        message = "a filter decides about what a trigger brings, and this workflow is only called"
        yield subject.error("filter-unused", path, message, "remove it, or name the trigger")
        return
    brought = {"file": uploads.FILE} if workflow.trigger == lines.FILE_UPLOAD else {}
    scope = Scope.known({"event": Known(), "trigger": Known(), **brought})
    try:
        result = compile(calling.expression(workflow.filter), scope).result_type
    except ExpressionError as error:
        yield unknown_name(subject, path, error, {}, "")
        return
    if result not in {"boolean", "any"}:
        yield subject.error("expression-type", path, f"a filter is true or false, and this is {result}", "compare it")


def _order(subject: Subject, workflow: Workflow, steps: list[tuple[Step, Path]]) -> Iterator[Finding]:
    before = lines.before(workflow)
    for step, place in steps:
        for index, needed in enumerate(step.needs or ()):
            if needed not in before:
                handler = needed == workflow.error_handling.on_error
                close = nearest(needed, before)
                fix = f"did you mean {close}?" if close else ""
                message = f"{needed} is only done when a step failed" if handler else f"there is no step {needed}"
                yield subject.error("dangling-reference", (*place, "needs", index), message, fix)
    if len(before) < len(lines.line(workflow)):
        return  # ids that stand for several steps have no order
    known = {one: [other for other in others if other in before] for one, others in before.items()}
    if way := circle(known):
        place = next(place for step, place in steps if step.id == way[0])
        message = f"steps wait for each other: {' -> '.join((*way, way[0]))}"
        where = (*place, "needs") if subject.document.value((*place, "needs")) is not None else place
        yield subject.error("circle", where, message, "remove one from `needs`")


def _step(subject: Subject, workflow: Workflow, step: Step, path: Path) -> Iterator[Finding]:
    if step.action in lines.BUILT_IN:
        yield from _built_in(subject, step, path)
    else:
        yield from check_callee(subject, step.action, (*path, "action"), lines.BUILT_IN)
        yield from _schema(subject, workflow, step, path)
        yield from _retry(subject, workflow, step, path)
    if step.revert is not None:
        yield from check_callee(subject, step.revert.action, (*path, "revert", "action"))


def _built_in(subject: Subject, step: Step, path: Path) -> Iterator[Finding]:
    takes, given = lines.TAKES[step.action], set(step.model_extra or {})
    if len(given & set(takes)) != 1:
        message = f"{step.action} takes {' or '.join(takes)}"
        yield subject.error("step-input", path, message, f"write {takes[0]}")
    if step.action == "approve" and lines.BY in given:
        given.remove(lines.BY)
        if (by := (step.model_extra or {})[lines.BY]) != lines.SOMEBODY_ELSE:
            message = f"{str(by)[:64]!r} is nobody who can approve"
            fix = f"write {lines.SOMEBODY_ELSE}, or leave it out"
            yield subject.error("step-input", (*path, lines.BY), message, fix)
    unused = [*sorted(given - set(takes)), *(("input",) if step.input is not None else ())]
    unused += [name for name in ("retry", "revert", "idempotency_key") if getattr(step, name) is not None]
    for name in unused:
        yield subject.error("step-input", (*path, name), f"{step.action} takes no `{name[:64]}`", "remove it")


def _schema(subject: Subject, workflow: Workflow, step: Step, path: Path) -> Iterator[Finding]:
    """A schema that nobody declares is asked of the installation."""
    name = calling.undeclared_schema(step.action, calling.arguments(step), workflow.schemas)
    if name is None:
        return
    inside = (*path, "input", "schema")
    place = inside if subject.document.value(inside) is not None else (*path, "schema")
    requirement = subject.manifest.requirement(name)
    if requirement is None:
        message = f"{name[:64]!r} is no schema"
        yield subject.error("dangling-reference", place, message, "declare it under `workflow.schemas`")
    elif not requirement.declared:
        close = nearest(name, workflow.schemas)
        schemas = subject.at("workflow", "schemas")
        missing = PatchOp("add", pointer(schemas), {name: {"type": "object"}})
        if subject.document.value(schemas) is not None:
            missing = PatchOp("add", pointer((*schemas, name)), {"type": "object"})
        message = f"there is no schema {name}; whoever installs this gives it"
        fix = f"did you mean {close}?" if close else f"or declare it under `workflow.schemas.{name}`"
        yield subject.warning("derived-setting", place, message, fix, (missing,))


def _retry(subject: Subject, workflow: Workflow, step: Step, path: Path) -> Iterator[Finding]:
    """Retries of what may then happen more than once: they are made only when it certainly did not happen."""
    asked = workflow.error_handling.retry if step.retry is None else step.retry
    often = asked.attempts - 1 if isinstance(asked, Retrying) else asked or 0
    compiled = lines.compiled(step, workflow)
    keyed = compiled.idempotency_key and calling.standard(step.action) is None  # what keeps to it is seen when it runs
    if not often or keyed or calling.may_repeat(compiled):
        return
    fix, patch = _once(workflow, step, path)
    message = f"{step.id} is tried again only when it certainly did not happen; when it may have, it waits for a person"
    yield subject.warning("retry-without-key", path, message, f"{fix}; or effect: read where it only reads", (patch,))


def _once(workflow: Workflow, step: Step, path: Path) -> tuple[str, PatchOp]:
    """How to say what is meant: a key that is one for each effect, or that nothing is tried again."""
    keys = {lines.FILE_UPLOAD: f"${{trigger.file.id}}-{step.id}", lines.MANUAL: None}
    key = keys.get(workflow.trigger, f"${{trigger.id}}-{step.id}")
    keeps_none = calling.standard(step.action) is not None
    if key is None or keeps_none:
        op: Literal["add", "replace"] = "add" if step.retry is None else "replace"
        fix = "add an idempotency_key that names the effect, or retry: 0"
        if keeps_none:
            fix = f"leave it, or retry: 0 to try it once; no key makes {step.action} safe to do twice"
        return fix, PatchOp(op, pointer((*path, "retry")), 0)
    return f"add idempotency_key: {key}", PatchOp("add", pointer((*path, "idempotency_key")), key)


def _handler(subject: Subject, workflow: Workflow, path: Path) -> Iterator[Finding]:
    handler = workflow.error_handling.on_error
    if isinstance(handler, Called):
        yield from check_callee(subject, handler.action, (*path, "action"))
    if not lines.line(workflow):
        yield subject.error("no-steps", path, "no step is left besides the one that is done on errors", "add a step")
    action = lines.handler_action(workflow)
    if action is None:
        return
    if "." in str(handler):
        yield from check_callee(subject, action, path)
    elif calling.standard(action) is None:
        known = [*(step.id for step in workflow.steps), "notify_admin"]
        close = nearest(str(handler), known)
        fix = f"did you mean {close}?" if close else "name a step, or an action such as notify.admin"
        yield subject.error("dangling-reference", path, f"there is no step {handler}", fix)
