"""Rules about workflows and flows: this release does not run them, and what they refer to exists."""

from collections.abc import Iterator
from typing import Any, Final

from hardpoint_manifest import source as written
from hardpoint_manifest.authority import nearest
from hardpoint_manifest.expression import ExpressionError, Scope, Template, compile
from hardpoint_manifest.finding import Finding, PatchOp, Path, pointer
from hardpoint_manifest.model import Kind
from hardpoint_manifest.rules.expressions import explain
from hardpoint_manifest.rules.names import duplicates
from hardpoint_manifest.rules.subject import Subject

_EFFECTS: Final = frozenset(
    {
        "insert",
        "update",
        "upsert",
        "delete",
        "send",
        "create",
        "post",
        "put",
        "patch",
        "write",
        "publish",
        "pay",
        "charge",
    }
)


def check(subject: Subject) -> Iterator[Finding]:
    """Workflows and flows; nothing for other kinds."""
    source, kind = subject.source, subject.manifest.kind
    if isinstance(source, written.Header) or kind not in {Kind.WORKFLOW, Kind.FLOW}:
        return
    place = subject.at(kind.value if subject.document.value(subject.at(kind.value)) is not None else "type")
    message = f"this release does not run {kind.value}s; the capability is checked, but cannot be published"
    yield subject.error("kind-not-supported", place, message, "write the steps as one code action until then")
    if source.workflow is not None:
        yield from _workflow(subject, source.workflow, subject.at("workflow"))
    elif kind is Kind.WORKFLOW:
        yield subject.error("no-workflow", place, "type is workflow, but there is no `workflow`")


def _workflow(subject: Subject, workflow: written.Workflow, path: Path) -> Iterator[Finding]:
    steps = workflow.steps
    yield from duplicates(subject, "step", ((s.id, (*path, "steps", i, "id")) for i, s in enumerate(steps)))
    outputs = ((s.output, (*path, "steps", i, "output")) for i, s in enumerate(steps) if s.output)
    yield from duplicates(subject, "output", ((name, place) for name, place in outputs))
    if workflow.filter is not None:
        yield from _expression(subject, (*path, "filter"), workflow.filter)
    known = ["trigger", "input"]
    for index, step in enumerate(steps):
        yield from _step(subject, (*path, "steps", index), step, workflow, Scope.of(*known))
        known += [name for name in (step.output, f"steps.{step.id}") if name]
        if "steps" not in known:
            known.append("steps")
    handler = workflow.error_handling.on_error
    if handler is not None and handler not in {step.id for step in steps}:
        close = nearest(handler, [step.id for step in steps])
        fix = f"did you mean {close}?" if close else "name a step that does it"
        place = (*path, "error_handling", "on_error")
        yield subject.error("dangling-reference", place, f"there is no step {handler}", fix)


def _expression(subject: Subject, path: Path, text: str) -> Iterator[Finding]:
    try:
        compile(text, Scope.of("file", "trigger", "input"))
    except ExpressionError as error:
        yield explain(subject, path, error)


def _step(
    subject: Subject, path: Path, step: written.Step, workflow: written.Workflow, scope: Scope
) -> Iterator[Finding]:
    arguments = dict(step.model_extra or {})
    if step.input is not None:
        arguments["input"] = step.input
    for name, value in arguments.items():
        yield from _templates(subject, (*path, name), value, scope)
    schema = arguments.get("schema")
    if isinstance(schema, str) and schema not in workflow.schemas:
        close = nearest(schema, workflow.schemas)
        fix = f"did you mean {close}?" if close else f"declare it under `workflow.schemas.{schema}`"
        schemas = (*path[:-2], "schemas")
        present = subject.document.value(schemas) is not None
        patch = (
            PatchOp("add", pointer((*schemas, schema)), {"type": "object"})
            if present
            else PatchOp("add", pointer(schemas), {schema: {"type": "object"}})
        )
        yield subject.error("dangling-reference", (*path, "schema"), f"there is no schema {schema}", fix, (patch,))
    yield from _retry(subject, path, step, workflow)


def _templates(subject: Subject, path: Path, value: Any, scope: Scope) -> Iterator[Finding]:
    if isinstance(value, str):
        try:
            Template.parse(value, scope)
        except ExpressionError as error:
            yield explain(subject, path, error)
    elif isinstance(value, dict | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _templates(subject, (*path, key), part, scope)


def _retry(subject: Subject, path: Path, step: written.Step, workflow: written.Workflow) -> Iterator[Finding]:
    retries = workflow.error_handling.retry if step.retry is None else step.retry
    effect = step.effect == "write" or (step.effect is None and step.action.rpartition(".")[2] in _EFFECTS)
    if retries and effect and step.idempotency_key is None:
        key = f"${{trigger.id}}-{step.id}"
        patch = PatchOp("add", pointer((*path, "idempotency_key")), key)
        message = f"{step.id} has an effect outside and would be retried {retries} times: it may happen more than once"
        yield subject.warning("retry-without-key", path, message, f"add idempotency_key: {key}", (patch,))
