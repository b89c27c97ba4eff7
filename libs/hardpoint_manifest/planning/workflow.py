"""Workflows as plans: a line of steps, unless they say what they need."""

from typing import Any, Final

from hardpoint_manifest import source as written
from hardpoint_manifest.events import UPLOADED
from hardpoint_manifest.finding import Path, pointer
from hardpoint_manifest.model import Action, Parameter, Requirement, Trigger
from hardpoint_manifest.plan import ACTION, After, Does, Plan, Retry, Step
from hardpoint_manifest.planning import Planned
from hardpoint_manifest.planning import calls as calling
from hardpoint_manifest.planning.order import in_order
from hardpoint_manifest.source_workflow import Called
from hardpoint_manifest.source_workflow import Step as WrittenStep

BUILT_IN: Final = {"wait": Does.WAIT, "approve": Does.APPROVAL, "event": Does.EVENT, "transform": Does.VALUE}
"""The actions that a step does by itself."""
TAKES: Final = {"wait": ("seconds", "until"), "approve": ("message",), "event": ("name",), "transform": ("value",)}
"""What each of them takes: one of these."""
BY: Final = "by"
SOMEBODY_ELSE: Final = "somebody-else"
"""Who has to approve: nobody who started the run."""
FILE_UPLOAD: Final = "file_upload"
MANUAL: Final = "manual"
WORKFLOW: Final[Path] = ("capability", "workflow")
_ON_ERROR: Final = "on-error"


def planned(
    capability: written.Capability,
    workflow: written.Workflow,
    inputs: tuple[Parameter, ...],
    outputs: tuple[Parameter, ...],
) -> Planned:
    """What a workflow comes to, with the inputs and outputs that it declares."""
    inputs = inputs or _given_by(workflow)
    plan = _plan(workflow, inputs)
    steps = () if plan is None else plan.steps
    action = Action(
        id=ACTION,
        name=capability.name or capability.id,
        description=capability.description,
        inputs=inputs,
        outputs=outputs,
        effect=calling.effect(steps),
    )
    return Planned(
        (action,),
        plan,
        calls=calling.called(plan),
        requirements=_schemas(capability, workflow),
        triggers=_triggers(workflow),
    )


def line(workflow: written.Workflow) -> list[WrittenStep]:
    """The steps that are done when nothing fails."""
    handler = workflow.error_handling.on_error
    return [step for step in workflow.steps if step.id != handler]


def before(workflow: written.Workflow) -> dict[str, list[str]]:
    """By step, those that it comes after."""
    steps = line(workflow)
    previous: list[str | None] = [None, *(step.id for step in steps)]
    return {
        step.id: [one] if step.needs is None and one else list(step.needs or ())
        for step, one in zip(steps, previous, strict=False)
    }


def handler_action(workflow: written.Workflow) -> str | None:
    """The action that `on_error` names when it names no step: `notify.admin`, which may be written `notify_admin`."""
    named = workflow.error_handling.on_error
    if not isinstance(named, str) or any(step.id == named for step in workflow.steps):
        return None
    return named if "." in named else named.replace("_", ".", 1)


def compiled(step: WrittenStep, workflow: written.Workflow) -> Step:
    """A step without what it comes after."""
    return _step(step, workflow, [])


def _plan(workflow: written.Workflow, inputs: tuple[Parameter, ...]) -> Plan | None:
    steps, comes_after = line(workflow), before(workflow)
    known = all(one in comes_after for others in comes_after.values() for one in others)
    order = in_order(comes_after) if known and len(comes_after) == len(steps) else None
    if not order:
        return None
    by_id = {step.id: step for step in steps}
    return Plan(
        steps=tuple(_step(by_id[id], workflow, comes_after[id]) for id in order),
        optional=calling.optional(inputs),
        output=workflow.output,
        on_error=_on_error(workflow),
    )


def _step(step: WrittenStep, workflow: written.Workflow, comes_after: list[str]) -> Step:
    port: Any = "settled" if step.needs is None else "done"
    return Step(
        id=step.id,
        does=BUILT_IN.get(step.action, Does.CALL),
        name=step.label,
        action="" if step.action in BUILT_IN else step.action,
        input=_input(step, workflow),
        when=calling.expression(step.condition),
        for_each=calling.expression(step.for_each),
        most=step.max_items,
        after=tuple(After(step=one, port=port) for one in comes_after),
        output=step.output or "",
        retry=_retry(step, workflow),
        timeout_seconds=step.timeout,
        effect=step.effect,
        idempotency_key=step.idempotency_key or "",
        on_error=step.on_error,
        by=SOMEBODY_ELSE if step.action == "approve" and (step.model_extra or {}).get(BY) == SOMEBODY_ELSE else "",
        revert=_revert(step, workflow),
    )


def _retry(step: WrittenStep, workflow: written.Workflow) -> Retry:
    """What a step says itself; else what the workflow says for all of them."""
    if step.action in BUILT_IN:
        return Retry()
    if step.retry is not None:
        return calling.retry(step.retry)
    retry = calling.retry(workflow.error_handling.retry)
    return retry.model_copy(update={"harmless": retry.attempts > 1})


def _input(called: Called, workflow: written.Workflow) -> Any:
    arguments = calling.arguments(called)
    takes = TAKES.get(called.action)
    if takes is None:
        return calling.inlined(called.action, arguments, workflow.schemas)
    return next((arguments[name] for name in takes if isinstance(arguments, dict) and name in arguments), None)


def _revert(step: WrittenStep, workflow: written.Workflow) -> Step | None:
    return None if step.revert is None else _call(calling.step_id("revert", step.id), step.revert, workflow)


def _call(id: str, called: Called, workflow: written.Workflow) -> Step:
    return Step(id=id, does=Does.CALL, action=called.action, input=_input(called, workflow))


def _on_error(workflow: written.Workflow) -> Step | None:
    """What is done when a step failed for good: one of the steps, a standard action, or one to call."""
    named = workflow.error_handling.on_error
    if named is None:
        return None
    if isinstance(named, Called):
        return _call(_ON_ERROR, named, workflow)
    step = next((step for step in workflow.steps if step.id == named), None)
    if step is not None:
        return _step(step, workflow, [])
    action = handler_action(workflow) or ""
    known = calling.standard(action)
    tells = known is not None and any(one.name == "error" for one in known.inputs)
    return Step(id=_ON_ERROR, does=Does.CALL, action=action, input={"error": "${error}"} if tells else {})


def _given_by(workflow: written.Workflow) -> tuple[Parameter, ...]:
    if workflow.trigger != FILE_UPLOAD:
        return ()
    return (Parameter(name="file", type="file", required=True, description="The file that it is about"),)


def _schemas(capability: written.Capability, workflow: written.Workflow) -> tuple[Requirement, ...]:
    """The schemas that steps name and nobody declares: an installation gives them."""
    settings = capability.configuration
    declared = set(settings) if isinstance(settings, dict) else {setting.key for setting in settings}
    found: dict[str, Requirement] = {}
    for index, step in enumerate(workflow.steps):
        key = calling.undeclared_schema(step.action, calling.arguments(step), workflow.schemas)
        if key is not None and is_key(key) and key not in declared and key not in found:
            found[key] = Requirement(
                key=key,
                label=f"Schema {key}",
                type="object",
                required=True,
                description=f"The JSON Schema that {step.id} names",
                pointer=pointer((*WORKFLOW, "steps", index)),
            )
    return tuple(found.values())


def is_key(text: str) -> bool:
    """Whether a setting can be called this."""
    try:
        Requirement(key=text, label=text)
    except ValueError:
        return False
    return True


def _triggers(workflow: written.Workflow) -> tuple[Trigger, ...]:
    if workflow.trigger != FILE_UPLOAD:
        return ()
    filter = calling.expression(workflow.filter)
    given = {"file": "${event.file}"}
    return (Trigger(id=FILE_UPLOAD, type="event", event=UPLOADED, action=ACTION, filter=filter, input=given),)
