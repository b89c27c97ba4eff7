"""S01: a capability that is made while the agent runs is callable at once, by RPC and by the command line."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import yaml

from hardpoint.runtime.v1 import run_pb2

from .conftest import WEATHER_KEY, eventually

EXPECTED = {"temperature": 72, "condition": "Sunny", "humidity": 45}
AUTHORED = {
    "capability": {
        "id": "my-weather",
        "name": "My weather",
        "version": "1.0.0",
        "description": "Made by hand while the agent runs",
        "actions": [
            {
                "id": "get-weather",
                "name": "Get weather",
                "inputs": [{"name": "location", "type": "string", "required": True}],
                "outputs": [
                    {"name": "temperature", "type": "number"},
                    {"name": "condition", "type": "string"},
                    {"name": "humidity", "type": "number"},
                ],
            }
        ],
        "integration": {
            "type": "api",
            "endpoint": "https://api.weather.com/v1/current",
            "method": "GET",
            "headers": {"Authorization": "Bearer ${API_KEY}"},
            "params": {"location": "${input.location}"},
            "response_mapping": {
                "temperature": "data.temp",
                "condition": "data.weather[0].main",
                "humidity": "data.main.humidity",
            },
        },
        "configuration": [{"key": "API_KEY", "label": "Key", "type": "secret", "required": True}],
        "permissions": ["network.http.get"],
    }
}


async def test_through_rpc(system, client, agent, org):
    serving = {process.running.pid for process in system.deployment.processes.values()}
    pushed = await client.push(yaml.safe_dump(AUTHORED).encode(), "my-weather.yaml")
    release = await client.publish(pushed.release.name)
    capability = release.name.partition("/releases/")[0]
    installation = await client.install(capability, grants=release.manifest.authority)
    assert [missing.key for missing in installation.missing_settings] == ["API_KEY"]
    await client.set_secret("my-weather", "API_KEY", WEATHER_KEY)
    await client.attach(agent.id, "my-weather")

    async def listed() -> bool:
        return "my-weather.get-weather" in {tool.name for tool in await agent.tools()}

    await eventually(listed, seconds=2)
    response = await agent.execute("my-weather.get-weather", {"location": "New York"})

    assert response.error is None
    assert response.data == EXPECTED
    assert system.weather.asked[-1].headers["authorization"] == f"Bearer {WEATHER_KEY}"
    assert system.weather.asked[-1].query == {"location": "New York"}
    assert {process.running.pid for process in system.deployment.processes.values()} == serving


async def test_the_key_is_nowhere_but_at_the_upstream(system, client, agent, add):
    key = "canary-91f3c7a2d8"
    await add("weather-capability.yaml", secrets={"API_KEY": key})
    refused = await agent.execute("weather-lookup.get-weather", {"location": "New York"})

    assert system.weather.asked[-1].headers["authorization"] == f"Bearer {key}"
    assert refused.error.reason == "UPSTREAM_ERROR"
    assert key not in repr((refused.error.message, refused.error.metadata))
    run = await client.runs.GetRun(run_pb2.GetRunRequest(name=refused.run))
    assert key not in str(run)

    async def told() -> bool:
        return system.receiver.has(run.trace_id, system.service("runtime"), "CallAction")

    await eventually(told)
    assert key not in "\n".join(map(repr, [*system.receiver.spans, *system.receiver.metrics]))
    assert key not in system.deployment.log()


async def test_through_the_command_line(system, org, tmp_path):
    file = tmp_path / "my-weather.yaml"
    file.write_text(yaml.safe_dump(AUTHORED))
    environment = system.cli_environment(org)

    async def cli(*arguments: str, stdin: str = "") -> Any:
        return await run_cli(environment, *arguments, stdin=stdin)

    assert (await cli("check", str(file)))["ok"] is True
    await cli("push", str(file), "--publish")
    await cli("install", "my-weather", "--grant-all")
    await cli("secret", "set", "my-weather", "API_KEY", stdin=WEATHER_KEY)
    await cli("agent", "create", "helper")
    await cli("attach", "helper", "my-weather")
    called = await cli("call", "helper", "my-weather.get-weather", "location=New York")
    assert called["output"] == EXPECTED
    assert system.weather.asked[-1].headers["authorization"] == f"Bearer {WEATHER_KEY}"
    runs = await cli("runs")
    assert len(runs["runs"]) == 1
    for unit in ("registry", "config", "runtime"):
        assert {event["subject"] for event in (await cli("events", unit))["events"]} >= {"tester"}, unit
    await cli("detach", "helper", "my-weather")
    assert (await cli("tools", "helper"))["tools"] == []


async def run_cli(environment: dict[str, str], *arguments: str, stdin: str = "", code: int = 0) -> Any:
    """Run the command line with --json; its one document."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "hardpoint_cli.main",
        *arguments,
        "--json",
        env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=Path.cwd(),
    )
    out, err = await asyncio.wait_for(process.communicate(stdin.encode()), 60)
    assert process.returncode == code, (arguments, out.decode(), err.decode())
    return json.loads(out)
