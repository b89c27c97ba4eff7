"""A capability is tested once outside and ever after on its cassette, by its author and before it is published."""

import json
import os
import sys

import pytest

from executor.spellings import ENCODINGS
from hardpoint.registry.v1 import registry_pb2
from hardpoint.runtime.v1 import agent_pb2, run_pb2
from hardpoint_kit.documents import from_value
from hardpoint_kit.errors import ActionFailed, Conflict, NotFound, PermissionDenied

from .conftest import add_file, http_capability
from .test_canary import CANARY, search
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


async def test_a_call_of_an_agent_is_recorded_and_is_a_test_from_then_on(system, client, agent, org, tmp_path):
    spellings = list(ENCODINGS.values())

    def echo(asked):
        return 200, {"echo": spellings[int(asked.query["n"])](asked.headers["x-key"]).decode("latin-1")}

    url = system.upstream.serve(echo)
    capability = http_capability(
        url,
        action={"inputs": [{"name": "n", "type": "integer"}, {"name": "note", "type": "string"}]},
        integration={"headers": {"X-Key": "${API_KEY}"}, "params": {"n": "${input.n}"}},
        configuration=[{"key": "API_KEY", "label": "Key", "type": "secret", "required": True}],
    )
    await add_file(
        client, agent, json.dumps({"capability": capability}).encode(), "probe.json", secrets={"API_KEY": CANARY}
    )

    recorded = [await client.call("helper", "probe.get", {"n": n}, record=True) for n in range(len(spellings))]
    assert {asked.headers["x-key"] for asked in system.upstream.asked(url)} == {CANARY}
    assert all(one.cassette for one in recorded)
    search({"cassettes": [one.cassette.decode() for one in recorded], "answers": [str(one.output) for one in recorded]})
    unrecorded = await client.call("helper", "probe.get", {"n": 0, "note": CANARY}, record=True)
    assert (unrecorded.unrecorded.reason, unrecorded.HasField("cassette")) == ("CASSETTE_HOLDS_SECRET", False)
    assert unrecorded.output == recorded[0].output, "what was done is answered all the same"
    came = len(system.upstream.asked(url))
    whole = recorded[0]
    assert not whole.reason
    again = await client.test(whole.release, "get", {"n": 0}, cassette=whole.cassette)
    assert again.output.SerializeToString(deterministic=True) == whole.output.SerializeToString(deterministic=True)
    with pytest.raises(ActionFailed) as diverged:
        await client.test(whole.release, "get", {"n": 1}, cassette=whole.cassette)
    assert diverged.value.reason == "REPLAY_DIVERGED"

    run = await client.runs.GetRun(run_pb2.GetRunRequest(name=whole.run))
    assert (run.recorded, run.agent) == (True, agent.name)
    (event,) = (await client.events("runtime", resource=whole.run)).events
    assert (event.action, event.subject, event.facts["tool"]) == ("run.record", "tester", "probe.get")
    with pytest.raises(PermissionDenied):
        await system.client(org, ["agent"], "the-agent").call("helper", "probe.get", {"n": 0}, record=True)
    with pytest.raises(NotFound):
        await system.client(f"{org}-x").agents.CallAction(
            agent_pb2.CallActionRequest(agent=agent.name, action="probe.get", record=True)
        )
    assert len(system.upstream.asked(url)) == came

    code, said = await hardpoint(
        system, org, tmp_path, "call", "helper", "get", "n=0", "--record", "cassettes/now.json"
    )
    assert (code, said["output"]) == (0, from_value(whole.output))
    example = {"name": "now", "action": "get", "input": {"n": 0}}
    file = tmp_path / "probe.json"
    file.write_text(json.dumps({"capability": {**capability, "version": "1.1.0", "examples": [example]}}))
    code, tested = await hardpoint(system, org, tmp_path, "test", "probe.json")
    assert (code, tested["examples"][0]["how"]) == (0, "replayed"), tested
    assert tested["examples"][0]["output"] == said["output"]
    example["input"]["n"] = 1
    file.write_text(json.dumps({"capability": {**capability, "version": "1.1.0", "examples": [example]}}))
    code, tested = await hardpoint(system, org, tmp_path, "test", "probe.json")
    assert code == 1
    assert "recorded from another input" in tested["examples"][0]["differences"][0]
    assert len(system.upstream.asked(url)) == came + 1
