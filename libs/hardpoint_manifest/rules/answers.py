"""Rules about what examples of workflows say of steps: each is one, and could go as it is said."""

from collections.abc import Iterator
from typing import Any, Final

from hardpoint_manifest import source as written
from hardpoint_manifest.authority import nearest
from hardpoint_manifest.finding import Finding, PatchOp, Path, pointer
from hardpoint_manifest.matcher import invalid_matchers
from hardpoint_manifest.model import Kind, Parameter
from hardpoint_manifest.plan import PURE, Does, Plan, Step
from hardpoint_manifest.planning.calls import standard
from hardpoint_manifest.rules.examples import mismatches
from hardpoint_manifest.rules.subject import Subject

_OF_WORKFLOWS: Final = ("steps", "settings", "trigger")


def check(subject: Subject) -> Iterator[Finding]:
    """What examples say of steps, settings and triggers."""
    for index, example in enumerate(subject.source.examples):
        path = subject.at("examples", index)
        if subject.manifest.kind is not Kind.WORKFLOW:
            yield from _none(subject, example, path)
            continue
        yield from _settings(subject, example, (*path, "settings"))
        if subject.manifest.plan is not None:
            for id, answers in example.steps.items():
                yield from _answers(subject, subject.manifest.plan, id, answers, (*path, "steps", id))


def _none(subject: Subject, example: written.SourceExample, path: Path) -> Iterator[Finding]:
    for field in _OF_WORKFLOWS:
        if field in example.model_fields_set:
            message = f"`{field}` of an example is of a workflow, and this is {subject.manifest.kind.value}"
            fix = "remove it; what an example of this kind meets is recorded: hardpoint test FILE --record"
            place = (*path, field)
            yield subject.error("example-steps", place, message, fix, (PatchOp("remove", pointer(place)),))


def _settings(subject: Subject, example: written.SourceExample, path: Path) -> Iterator[Finding]:
    open_to = [one.key for one in subject.manifest.requirements if not one.secret]
    for key in example.settings:
        requirement = subject.manifest.requirement(key)
        if requirement is None:
            close = nearest(key, open_to)
            fix = f"did you mean {close}?" if close else "remove it"
            yield subject.error("dangling-reference", (*path, key), f"there is no setting {key}", fix)
        elif requirement.secret:
            message = f"{key} is a secret, which no step of a workflow is shown"
            yield subject.error("example-steps", (*path, key), message, "remove it")


def _answers(subject: Subject, plan: Plan, id: str, answers: written.SourceAnswers, path: Path) -> Iterator[Finding]:
    step = next((one for one in plan.steps if one.id == id), None)
    handler = plan.on_error if plan.on_error is not None and plan.on_error.id == id else None
    if step is None and handler is None:
        known = [one.id for one in plan.steps] + ([plan.on_error.id] if plan.on_error is not None else [])
        close = nearest(id, known)
        fix = f"did you mean {close}?" if close else f"it has {', '.join(known)}"[:200]
        yield subject.error("dangling-reference", path, f"there is no step {id}", fix)
        return
    if isinstance(answers, str):
        return
    answered = step or handler
    assert answered is not None
    if answered.does in PURE:
        message = f"{id} asks nobody, so it has no answer"
        yield subject.error("example-steps", path, message, "remove it, or write skipped; expect what it gives")
        return
    loops = step is not None and bool(step.for_each)
    if loops != isinstance(answers, list):
        message = f"{id} is done once for each item" if loops else f"{id} is done once"
        fix = "write a list, with an answer for each item" if loops else "write one answer, and no list"
        yield subject.error("example-steps", path, message, fix)
        return
    listed = [((*path, index), one) for index, one in enumerate(answers)] if isinstance(answers, list) else []
    for place, answer in listed or ([(path, answers)] if isinstance(answers, written.SourceAnswer) else []):
        yield from _answer(subject, answered, answer, place)
        if answer.revert is not None and answered.revert is not None:
            yield from _answer(subject, answered.revert, answer.revert, (*place, "revert"))
        elif answer.revert is not None:
            message = f"{id} has no `revert`, so nothing undoes it"
            yield subject.error("example-steps", (*place, "revert"), message, "remove it")


def _answer(subject: Subject, step: Step, answer: written.SourceReverted, path: Path) -> Iterator[Finding]:
    for place, reason in invalid_matchers(answer.given):
        yield subject.error("invalid-matcher", (*path, "given", *place), reason)
    gives = (*path, "gives")
    if answer.gives is None:
        return
    if answer.fails is not None:
        yield subject.error("example-steps", path, "a step that fails gives nothing", "leave one of them out")
    elif step.does is Does.WAIT:
        yield subject.error("example-steps", gives, "a wait gives nothing", "remove it")
    elif step.does is Does.APPROVAL:
        yield from _approval(subject, answer.gives, gives)
    elif (known := standard(step.action)) is not None:
        whole = Parameter(name="output", type=known.gives, properties=known.outputs)
        yield from mismatches(subject, gives, whole.to_schema(), answer.gives, f"answer of {step.action}")


def _approval(subject: Subject, gives: Any, path: Path) -> Iterator[Finding]:
    given = gives if isinstance(gives, dict) else None
    approved, by = (given or {}).get("approved", True), (given or {}).get("by", "")
    if given is None or set(given) - {"approved", "by"} or not isinstance(approved, bool) or not isinstance(by, str):
        message = "an approval gives whether it is `approved`, and `by` whom"
        yield subject.error("example-steps", path, message, "write { approved: false }, or { by: carol }")
