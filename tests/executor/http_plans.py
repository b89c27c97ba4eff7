"""Actions of kind `http`, compiled from a manifest and run against a server on loopback."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from executor.brokers import broker_of, client_of
from executor.upstream import Seen, Upstream, json_answer
from hardpoint_executor.runners.http import HttpPlan
from hardpoint_kit.errors import HardpointError
from hardpoint_manifest.check import check
from hardpoint_manifest.load import load
from hardpoint_manifest.model import Action, HttpCall, Kind, Manifest, Parameter, Requirement

EXAMPLES = Path(__file__).parents[2] / "examples"
HOST = "api.example.com"


def plan_of(
    call: Mapping[str, Any],
    inputs: tuple[Parameter, ...] = (),
    outputs: tuple[Parameter, ...] = (),
    requirements: tuple[Requirement, ...] = (),
) -> HttpPlan:
    http = HttpCall.model_validate({"url": f"https://{HOST}/v1", **call})
    action = Action(id="act", name="Act", inputs=inputs, outputs=outputs, http=http)
    manifest = Manifest(
        id="sample", name="Sample", version="1.0.0", kind=Kind.HTTP, actions=(action,), requirements=requirements
    )
    return HttpPlan.compile(action, manifest)


def inputs(*names: str) -> tuple[Parameter, ...]:
    return tuple(Parameter(name=name) for name in names)


async def run(
    plan: HttpPlan,
    response: bytes | None = None,
    given: Mapping[str, Any] | None = None,
    *,
    secrets: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
    host: str = HOST,
) -> tuple[Any, Seen]:
    async with Upstream(lambda _: response or json_answer({})) as api, client_of({host: api}) as client:
        broker = broker_of(client, hosts=(host,), secrets=secrets)
        output = await plan.run(broker, given or {}, settings or {})
        return output, api.seen[-1]


async def failure(plan: HttpPlan, response: bytes, **more: Any) -> HardpointError:
    with pytest.raises(HardpointError) as failed:
        await run(plan, response, **more)
    return failed.value


def weather() -> HttpPlan:
    report = check(load((EXAMPLES / "weather-capability.yaml").read_bytes(), "weather-capability.yaml"))
    assert report.manifest is not None
    return HttpPlan.compile(report.manifest.actions[0], report.manifest)
