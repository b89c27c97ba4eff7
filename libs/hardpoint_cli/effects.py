"""How the plan of a dry run is shown: what would be written, in its order, and the digest that binds a call to it."""

from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from hardpoint.manifest.v1 import manifest_pb2
from hardpoint_kit.documents import from_struct


def plan_shown(plan: manifest_pb2.EffectPlan) -> RenderableType:
    """The plan as text; bodies that are long are told by their digests."""
    lines = [line for number, effect in enumerate(plan.effects, 1) for line in _effect(number, effect)]
    if not plan.effects:
        lines = [Text("nothing would be written")]
    if plan.incomplete:
        why = f"incomplete from here: {plan.reason} {plan.message}"
        return Group(*lines, Text(f"{why} ({plan.place})" if plan.place else why))
    return Group(*lines, Text(f"plan {plan.digest}"))


def _effect(number: int, effect: manifest_pb2.PlannedEffect) -> list[Text]:
    inside = f"{effect.path}: " if effect.path else ""
    arguments = [(name, value) for name, value in sorted(from_struct(effect.arguments).items()) if value]
    return [
        Text(f"{number}. {inside}{effect.operation} {effect.target}"),
        *(Text(f"     {name}: {_told(value)}") for name, value in arguments),
    ]


def _told(value: Any) -> str:
    if isinstance(value, dict) and "sha256" in value:
        return value.get("text") or f"{value['bytes']} bytes, sha256 {value['sha256']}"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_told(part)}" for name, part in value.items())
    return ", ".join(map(_told, value)) if isinstance(value, list) else str(value)
