"""A capability is tested once outside and ever after on its cassette, by its author and before it is published."""

import json
import os
import sys

import pytest

from hardpoint.registry.v1 import registry_pb2
from hardpoint.runtime.v1 import agent_pb2
from hardpoint_kit.errors import Conflict

from .conftest import http_capability
from .test_readme import run

KEY = "system-cassette-canary-81d2f0"


async def hardpoint(system, org, folder, *arguments):
    """What the command line says as JSON, and how it ended."""
    environment = {**os.environ, **system.cli_environment(org), "PYTHONPATH": os.pathsep.join(sys.path)}
    words = " ".join(arguments)
    code, out = await run(f'"{sys.executable}" -m hardpoint_cli.main {words} --json', folder, environment)
    return code, json.loads(out[out.index("{") :])


async def test_from_a_recording_to_a_release_that_is_refused_when_its_example_no_longer_holds(
    system, client, org, tmp_path
):
    folder = tmp_path
    url = system.upstream.serve(lambda asked: (200, {"temp": 7, "key": asked.headers.get("authorization")}))
    capability = http_capability(
        url,
        configuration=[{"key": "API_KEY", "label": "Key", "type": "secret", "required": True}],
        integration={
            "headers": {"Authorization": "Bearer ${API_KEY}"},
            "response_mapping": {"temperature": "data.temp", "key": "data.key"},
        },
        examples=[{"name": "now", "expected_output": {"$subset": {"temperature": {"$near": [7, 0.5]}}}}],
    )
    file = folder / "probe.json"
    file.write_text(json.dumps({"capability": capability}))
    await client.set_secret("trial", "API_KEY", KEY)

    code, said = await hardpoint(system, org, folder, "test", "probe.json", "--record", "--settings", "trial")
    assert code == 0, said
    (example,) = said["examples"]
    assert example["how"] == "recorded"
    cassette = (folder / "cassettes" / "now.json").read_text()
    assert "Bearer secret://API_KEY#" in cassette
    assert KEY not in cassette
    assert len(system.upstream.asked(url)) == 1

    code, said = await hardpoint(system, org, folder, "test", "probe.json")
    assert (code, said["examples"][0]["how"]) == (0, "replayed"), said
    assert said["examples"][0]["output"] == example["output"]

    capability["integration"]["response_mapping"] = {"temperature": "data.temp * 2", "key": "data.key"}
    file.write_text(json.dumps({"capability": capability}))
    code, said = await hardpoint(system, org, folder, "push", "probe.json", "--publish")
    assert code == 1
    assert said["release"]["state"] == "RELEASE_STATE_REJECTED"
    (finding,) = [one for one in said["release"]["findings"] if one["rule"] == "example-failed"]
    assert "the example now does not hold on its cassette: temperature is 14" in finding["message"]
    assert finding["path"] == "examples[0]"

    capability["integration"]["response_mapping"]["temperature"] = "data.temp"
    capability["integration"]["endpoint"] = url + "/elsewhere"
    pushed = await client.push(
        json.dumps({"capability": {**capability, "version": "1.1.0"}}).encode(),
        "probe.json",
        cassettes={"now": cassette.encode()},
    )
    diverged = await client.publish(pushed.release.name)
    assert diverged.state == registry_pb2.RELEASE_STATE_REJECTED
    assert any("call 1 asks fetch.GET" in finding.message for finding in diverged.findings)
    assert len(system.upstream.asked(url)) == 1

    capability["integration"]["endpoint"] = url
    pushed = await client.push(
        json.dumps({"capability": {**capability, "version": "1.2.0"}}).encode(),
        "probe.json",
        cassettes={"now": cassette.encode()},
    )
    with pytest.raises(Conflict):
        await client.agents.CheckRelease(agent_pb2.CheckReleaseRequest(release=pushed.release.name))
    assert (await client.publish(pushed.release.name)).state == registry_pb2.RELEASE_STATE_PUBLISHED
    assert len(system.upstream.asked(url)) == 1
