"""How the plan of a dry run is shown: what would be written, in its order, and the digest that binds a call to it."""

from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from hardpoint.manifest.v1 import manifest_pb2
from hardpoint_kit.documents import from_struct

_OUTCOMES = {
    manifest_pb2.PlannedStep.OUTCOME_DONE: ("done", "green"),
    manifest_pb2.PlannedStep.OUTCOME_PLANNED: ("would write", "yellow"),
    manifest_pb2.PlannedStep.OUTCOME_PASSED: ("passed", "dim"),
    manifest_pb2.PlannedStep.OUTCOME_UNKNOWN: ("not known", "magenta"),
    manifest_pb2.PlannedStep.OUTCOME_SKIPPED: ("skipped", "dim"),
    manifest_pb2.PlannedStep.OUTCOME_FAILED: ("failed", "red"),
}


def plan_shown(plan: manifest_pb2.EffectPlan) -> RenderableType:
    """The plan as text; bodies that are long are told by their digests. Of a workflow it is told step by step."""
    if plan.steps:
        return Group(*_steps(plan))
    lines = [line for number, effect in enumerate(plan.effects, 1) for line in _effect(number, effect, effect.path)]
    if not plan.effects:
        lines = [Text("nothing would be written")]
    if plan.incomplete:
        return Group(*lines, Text(_why(f"incomplete from here: {plan.reason} {plan.message}", plan)))
    return Group(*lines, Text(f"plan {plan.digest}"))


def _steps(plan: manifest_pb2.EffectPlan) -> Iterator[Text]:
    """Each step of a workflow, with what it would write below it."""
    paths, actions = (max(len(getattr(step, name)) for step in plan.steps) for name in ("path", "action"))
    number = 0
    for step in plan.steps:
        word, style = _OUTCOMES[step.outcome]
        words = (f"{word:<11}", style), f"  {step.message}"
        told = words if step.message else [(word, style)]
        yield Text.assemble(f"{step.path:<{paths}}  {step.action:<{actions}}  ", *told)
        for effect in plan.effects:
            if effect.path == step.path or effect.path.startswith(f"{step.path}/"):
                number += 1
                lines = _effect(number, effect, effect.path[len(step.path) + 1 :])
                yield from (Text("    ").append(line) for line in lines)
    yield Text(_counted(plan))
    if any(step.outcome == manifest_pb2.PlannedStep.OUTCOME_UNKNOWN for step in plan.steps):
        yield Text("what is not known stands on answers that only a run has")
    if plan.incomplete and plan.reason != "ANSWER_NOT_KNOWN":
        yield Text(_why(f"it ends early: {plan.reason} {plan.message}", plan))
    yield Text(f"plan {plan.digest}")


def _counted(plan: manifest_pb2.EffectPlan) -> str:
    """What it comes to; a dry run writes nothing."""
    writes = {0: "nothing", 1: "1 effect"}.get(len(plan.effects), f"{len(plan.effects)} effects")
    return f"{writes} would be written; nothing was"


def _why(words: str, plan: manifest_pb2.EffectPlan) -> str:
    return f"{words} ({plan.place})" if plan.place else words


def _effect(number: int, effect: manifest_pb2.PlannedEffect, path: str) -> list[Text]:
    inside = f"{path}: " if path else ""
    arguments = [(name, value) for name, value in sorted(from_struct(effect.arguments).items()) if not _is_empty(value)]
    return [
        Text(f"{number}. {inside}{effect.operation} {effect.target}"),
        *(Text(f"     {name}: {_told(value)}") for name, value in arguments),
    ]


def _is_empty(value: Any) -> bool:
    return not value or (isinstance(value, dict) and value.get("bytes") == 0)


def _told(value: Any) -> str:
    if isinstance(value, dict) and "sha256" in value:
        return value.get("text") or f"{value['bytes']} bytes, sha256 {value['sha256']}"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_told(part)}" for name, part in value.items())
    return ", ".join(map(_told, value)) if isinstance(value, list) else str(value)
