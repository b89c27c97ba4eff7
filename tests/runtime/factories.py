"""Values that tests begin with."""

from typing import Any

from hardpoint_kit.names import ReleaseName
from hardpoint_manifest.authority import Authority
from hardpoint_runtime.domain.releases import Action, Effect, Release, Requirement

LOCATION = {
    "type": "object",
    "properties": {
        "location": {"type": "string"},
        "days": {"type": "integer"},
        "units": {"enum": ["metric", "imperial"]},
    },
    "required": ["location"],
    "additionalProperties": False,
}
API_KEY = Requirement("API_KEY", "Weather API key", "secret", required=True)
UNITS = Requirement("UNITS", "Units", "string", required=True, default="metric")
ASKS = Authority(frozenset({"network.http.get", "compute.light"}), frozenset({"api.weather.com"}))


def action(action_id: str = "get-weather", schema: dict[str, Any] | None = None) -> Action:
    return Action(action_id, "Get weather", "The weather at a place", schema or LOCATION, {}, Effect.READ)


def release(
    capability: str = "weather",
    version: str = "1.0.0",
    *,
    org: str = "acme",
    actions: tuple[Action, ...] = (action(),),
    requirements: tuple[Requirement, ...] = (),
    asks: Authority = ASKS,
) -> Release:
    name = ReleaseName(org, capability, version)
    return Release(name, f"sha256:{'0' * 64}", f"{capability}.yaml", actions, requirements, asks)
