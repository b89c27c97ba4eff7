"""S02: the design document's file, byte for byte, becomes a release in the library; the second upload makes nothing."""

from hardpoint.manifest.v1 import manifest_pb2
from hardpoint.registry.v1 import registry_pb2
from hardpoint.runtime.v1 import agent_pb2
from hardpoint_kit.documents import to_struct

from .conftest import EXAMPLES, WEATHER_KEY
from .test_s01_create_and_call import run_cli

FILE = "weather-capability.yaml"


async def test_upload_reports_tests_and_saves(system, client, org):
    data = (EXAMPLES / FILE).read_bytes()

    checked = (await client.push(data, FILE, validate_only=True)).release
    findings = {finding.rule: finding for finding in checked.findings}
    assert not [f for f in checked.findings if f.severity == manifest_pb2.SEVERITY_ERROR]
    assert any("API_KEY" in f.message for f in checked.findings if f.severity == manifest_pb2.SEVERITY_WARNING)
    assert any("api.weather.com" in f.message for f in findings.values())
    assert list(checked.manifest.authority.hosts) == ["api.weather.com"]

    pushed = await client.push(data, FILE)
    assert pushed.created
    await client.set_secret("trial", "API_KEY", WEATHER_KEY)
    tried = await client.agents.TestAction(
        agent_pb2.TestActionRequest(
            release=pushed.release.name,
            action="get-weather",
            input=to_struct({"location": "New York"}),
            settings=f"orgs/{org}/settings/trial",
        )
    )
    assert dict(tried.output.struct_value.items()) == {"temperature": 72, "condition": "Sunny", "humidity": 45}

    examples = await run_cli(system.cli_environment(org), "test", str(EXAMPLES / FILE), "--settings", "trial")
    assert [example["ok"] for example in examples["examples"]] == [True]

    published = await client.publish(pushed.release.name)
    assert published.state == registry_pb2.RELEASE_STATE_PUBLISHED

    again = await client.push(data, FILE)
    assert not again.created
    assert again.release.artifact.digest == pushed.release.artifact.digest
    listed = await client.registry.ListReleases(
        registry_pb2.ListReleasesRequest(parent=f"orgs/{org}/capabilities/weather-lookup")
    )
    assert len(listed.releases) == 1
