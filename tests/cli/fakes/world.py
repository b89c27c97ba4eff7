"""What the stand-ins know and were asked, and a release for them to know."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from hardpoint.config.v1 import config_pb2
from hardpoint.files.v1 import files_pb2
from hardpoint.manifest.v1 import manifest_pb2
from hardpoint.marketplace.v1 import marketplace_pb2
from hardpoint.registry.v1 import registry_pb2
from hardpoint.runtime.v1 import agent_pb2, installation_pb2, policy_pb2, run_pb2, trigger_pb2
from hardpoint_kit.documents import to_struct
from hardpoint_kit.errors import NotFound

WEATHER = "orgs/acme/capabilities/weather-lookup"


@dataclass
class World:
    """What the services know, what they were asked, and what they are to fail with."""

    capabilities: dict[str, registry_pb2.Capability] = field(default_factory=dict)
    releases: dict[str, registry_pb2.Release] = field(default_factory=dict)
    uploaded: dict[str, bytes] = field(default_factory=dict)
    listings: dict[str, marketplace_pb2.Listing] = field(default_factory=dict)
    installations: dict[str, installation_pb2.Installation] = field(default_factory=dict)
    agents: dict[str, agent_pb2.Agent] = field(default_factory=dict)
    attachments: dict[str, agent_pb2.Attachment] = field(default_factory=dict)
    policy: policy_pb2.Policy = field(default_factory=lambda: policy_pb2.Policy(name="orgs/acme/policy"))
    settings: dict[str, config_pb2.Settings] = field(default_factory=dict)
    secrets: dict[str, config_pb2.Secret] = field(default_factory=dict)
    connections: dict[str, config_pb2.Connection] = field(default_factory=dict)
    grant: str = "authorization_code"
    secret_values: dict[str, bytes] = field(default_factory=dict)
    rejected_for: list[manifest_pb2.Finding] = field(default_factory=list)
    files: dict[str, files_pb2.File] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    runs: dict[str, run_pb2.Run] = field(default_factory=dict)
    steps: list[run_pb2.Step] = field(default_factory=list)
    cuts: list[Exception | None] = field(default_factory=list)
    """How the next streams of WatchRun end before their run has: with an error, or as those of a server that stops."""
    logs: list[run_pb2.LogLine] = field(default_factory=list)
    triggers: dict[str, trigger_pb2.Trigger] = field(default_factory=dict)
    deliveries: list[trigger_pb2.Delivery] = field(default_factory=list)
    header: dict[str, Any] = field(default_factory=dict)
    output: Any = field(default_factory=lambda: {"temperature": 72, "condition": "Sunny"})
    input_schema: dict[str, Any] = field(default_factory=dict)
    cassette: bytes = b""
    used: manifest_pb2.Authority = field(default_factory=manifest_pb2.Authority)
    plan: manifest_pb2.EffectPlan = field(default_factory=manifest_pb2.EffectPlan)
    recorded: agent_pb2.CallActionResponse = field(default_factory=agent_pb2.CallActionResponse)
    asked: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    errors: dict[str, Exception] = field(default_factory=dict)

    def ask(self, method: str, request: Any) -> None:
        """Keep a request, and fail if that is arranged."""
        self.asked[method].append(request)
        if method in self.errors:
            raise self.errors[method]


def release(
    capability: str = WEATHER,
    version: str = "1.0.0",
    state: registry_pb2.ReleaseState = registry_pb2.RELEASE_STATE_PUBLISHED,
) -> registry_pb2.Release:
    """A release that asks for a permission, a host, a secret and a setting."""
    inputs = {
        "type": "object",
        "properties": {"location": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["location"],
        "additionalProperties": False,
    }
    return registry_pb2.Release(
        name=f"{capability}/releases/{version}",
        state=state,
        manifest=manifest_pb2.Manifest(
            id=capability.rpartition("/")[2],
            version=version,
            description="Get weather information",
            actions=[
                manifest_pb2.Action(
                    id="get-weather",
                    description="Fetch current weather",
                    input_schema=to_struct(inputs),
                    effect=manifest_pb2.EFFECT_READ,
                )
            ],
            authority=manifest_pb2.Authority(permissions=["network.http.get"], hosts=["api.weather.com"]),
            requirements=[
                manifest_pb2.Requirement(key="API_KEY", label="Weather API Key", type="secret", required=True),
                manifest_pb2.Requirement(key="TIMEOUT", label="Seconds to wait", type="number"),
            ],
        ),
    )


def known(found: dict[str, Any], kind: str, name: str) -> Any:
    if name not in found:
        raise NotFound(kind, name)
    return found[name]


class Fake:
    """A servicer over a World."""

    def __init__(self, world: World) -> None:
        self.world = world
