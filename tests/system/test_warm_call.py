"""A warm call does nothing twice: no release, ticket, lease or secret is asked for again, and no connection is made."""

import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from hardpoint.config.v1 import config_pb2
from hardpoint.registry.v1 import registry_pb2
from hardpoint_client import Agent, Hardpoint

from .conftest import CSV, WEATHER_KEY, System, add_file, eventually

ASKED = ("hardpoint.registry.", "hardpoint.config.")


@dataclass(frozen=True)
class Action:
    """An action of an example, and how often it is called when it is warm."""

    filename: str
    secrets: dict[str, str]
    name: str
    params: dict[str, str]
    times: int


HTTP = Action(
    "weather-capability.yaml",
    {"API_KEY": WEATHER_KEY},
    "weather-lookup.get-weather",
    {"location": "New York"},
    times=100,
)
CODE = Action(
    "custom_data_analyzer.py",
    {},
    "data-analyzer-python.analyzeDataset",
    {"dataset": CSV, "analysisType": "statistical"},
    times=10,  # each takes a jail of its own
)
FETCHES = b"""
from hardpoint_sdk import action, capability

@capability(id="fetches", name="Fetches", version="1.0.0", hosts=["upstream.test"],
            permissions=["network.http.get", "compute.moderate"])
class Fetches:
    @action
    async def look(self, input):
        return {"status": (await self.fetch(input["url"])).status}
"""


def connections(port: int) -> set[str]:
    """The local ends of every TCP connection to a loopback port, those that were closed lately included."""
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return {row[1] for row in rows if row[2] == f"0100007F:{port:04X}"}


async def called(system: System, client: Hardpoint, agent: Agent, action: Action, times: int) -> list:
    """Call an action that often, each time well; the spans of everything that went on meanwhile.

    A process sends its spans in order, so when those of a last call to registry and to config are here, all are.
    """
    began = time.time_ns()
    for _ in range(times):
        response = await agent.execute(action.name, action.params)
        assert response.error is None, response.error
    with TracerProvider().get_tracer("test").start_as_current_span("last") as span:
        await client.registry.ListCapabilities(registry_pb2.ListCapabilitiesRequest(parent=client.org))
        await client.config.ListSecrets(config_pb2.ListSecretsRequest(parent=client.org))
    last = trace.format_trace_id(span.get_span_context().trace_id)

    async def all_came() -> bool:
        return (
            system.receiver.has(last, system.service("registry"), "ListCapabilities")
            and system.receiver.has(last, system.service("config"), "ListSecrets")
            and sum(s.start >= began and s.name.endswith("/CallAction") for s in system.receiver.spans) >= times
        )

    await eventually(all_came)
    return [s for s in system.receiver.spans if s.start >= began and s.trace != last]


def asked(spans: list) -> list[str]:
    """The calls to registry and config among these spans."""
    return [span.name for span in spans if span.name.startswith(ASKED)]


@pytest.mark.parametrize(
    "action", [pytest.param(HTTP, id="http"), pytest.param(CODE, id="code", marks=pytest.mark.jail)]
)
async def test_registry_and_config_are_asked_nothing(system, client, agent, add, action):
    await add(action.filename, secrets=action.secrets)
    cold = await called(system, client, agent, action, 1)
    assert asked(cold), "a cold call must be seen to ask, or this test sees nothing"

    async def is_warm() -> bool:  # not yet, where a test has just started config again: nothing is remembered unwatched
        return asked(await called(system, client, agent, action, 1)) == []

    await eventually(is_warm)
    warm = await called(system, client, agent, action, action.times)

    assert asked(warm) == []


async def test_no_connection_is_made_to_the_upstream(system, agent, add):
    await add(HTTP.filename, secrets=HTTP.secrets)
    await no_connection_is_made(agent, HTTP, system.weather.address)


@pytest.mark.jail
async def test_no_connection_is_made_for_code_either(system, client, agent):
    await add_file(client, agent, FETCHES, "fetches.py")
    url = system.upstream.serve((200, {"ok": True}))
    action = Action("fetches.py", {}, "fetches.look", {"url": url}, times=10)
    await no_connection_is_made(agent, action, system.upstream.server.address)


async def no_connection_is_made(agent: Agent, action: Action, upstream: str) -> None:
    """Call once, and then see that as many calls as the action says make no connection to the upstream."""
    port = int(upstream.rpartition(":")[2])
    before = connections(port)
    assert (await agent.execute(action.name, action.params)).error is None
    after_cold = connections(port)
    assert after_cold - before, "a cold call must be seen to connect, or this test sees nothing"

    for _ in range(action.times):
        assert (await agent.execute(action.name, action.params)).error is None

    assert connections(port) <= after_cold
