"""API connectors, from a file to an agent's call: the design's Slack file byte for byte, and what it does not have."""

import base64
import json

import pytest

from hardpoint.manifest.v1 import manifest_pb2
from hardpoint.registry.v1 import registry_pb2
from hardpoint.runtime.v1 import run_pb2
from hardpoint_kit.errors import Conflict

from .conftest import EXAMPLES, SLACK_TOKEN
from .test_s01_create_and_call import run_cli

FILE = "slack-integration.json"
MESSAGE = {"channel": "#general", "message": "Hello from an agent"}


async def test_slack_from_the_file_to_the_call(system, client, agent):
    pushed = await client.push((EXAMPLES / FILE).read_bytes(), FILE)
    assert not [f for f in pushed.release.findings if f.severity == manifest_pb2.SEVERITY_ERROR]
    release = await client.publish(pushed.release.name)
    assert release.state == registry_pb2.RELEASE_STATE_PUBLISHED
    assert list(release.manifest.authority.permissions) == ["network.http.post", "network.http.get"]
    assert list(release.manifest.authority.hosts) == ["slack.com"]
    assert list(release.manifest.oauth2.scopes) == ["chat:write", "channels:read"]

    installation = await client.install(
        release.name.partition("/releases/")[0], grants=release.manifest.authority, installation_id="slack"
    )
    (missing,) = installation.missing_settings
    assert (missing.key, missing.type, list(missing.hosts)) == ("ACCESS_TOKEN", "secret", ["slack.com"])
    assert (missing.label, missing.help_url) == ("Access token of slack.com", "https://api.slack.com/apps")
    with pytest.raises(Conflict) as refused:
        await client.attach(agent.id, "slack")
    assert refused.value.reason == "SETTINGS_MISSING"

    await client.set_secret("slack", "ACCESS_TOKEN", SLACK_TOKEN)
    await client.attach(agent.id, "slack")
    listed = {tool.name for tool in await agent.tools()}
    assert {"slack-integration.send-message", "slack-integration.list-channels"} <= listed

    sent = await agent.execute("slack-integration.send-message", MESSAGE)
    assert sent.error is None
    assert (sent.data["ok"], sent.data["message"]) == (True, {"text": "Hello from an agent"})
    asked = system.slack.asked[-1]
    assert (asked.method, asked.path, asked.headers["authorization"]) == (
        "POST",
        "/api/chat.postMessage",
        f"Bearer {SLACK_TOKEN}",
    )
    assert json.loads(asked.body) == {"channel": "#general", "text": "Hello from an agent"}
    channels = await agent.execute("slack-integration.list-channels")
    assert channels.data["channels"] == [{"id": "C1", "name": "general"}]
    assert SLACK_TOKEN not in system.deployment.log()


async def test_what_slack_says_no_to_fails_in_its_words(agent, add):
    await add(FILE, secrets={"ACCESS_TOKEN": SLACK_TOKEN})
    response = await agent.execute("slack-integration.send-message", {**MESSAGE, "channel": "#nowhere"})
    assert response.error.reason == "UPSTREAM_ERROR"
    assert response.error.message.endswith("with status 200: channel_not_found")


async def test_a_wrong_token_is_told_and_not_repeated(agent, add):
    await add(FILE, secrets={"ACCESS_TOKEN": "xoxb-somebody-elses-token"})
    response = await agent.execute("slack-integration.list-channels")
    assert "invalid_auth" in response.error.message
    assert "somebody" not in repr((response.error.message, response.error.metadata))


async def test_an_org_may_grant_reading_alone(system, agent, add):
    reading = manifest_pb2.Authority(permissions=["network.http.get"], hosts=["slack.com"])
    await add(FILE, secrets={"ACCESS_TOKEN": SLACK_TOKEN}, grants=reading)
    assert (await agent.execute("slack-integration.list-channels")).error is None
    before = len(system.slack.asked)
    refused = await agent.execute("slack-integration.send-message", MESSAGE)
    assert refused.error.reason == "PERMISSION_NOT_GRANTED"
    assert len(system.slack.asked) == before


async def test_slack_through_the_command_line(system, org):
    environment = system.cli_environment(org)
    file = str(EXAMPLES / FILE)
    assert (await run_cli(environment, "check", file))["ok"] is True
    await run_cli(environment, "push", file, "--publish")
    await run_cli(environment, "install", "slack-integration", "--grant-all")
    await run_cli(environment, "secret", "set", "slack-integration", "ACCESS_TOKEN", stdin=SLACK_TOKEN)
    await run_cli(environment, "agent", "create", "helper")
    await run_cli(environment, "attach", "helper", "slack-integration")
    arguments = [f"{name}={value}" for name, value in MESSAGE.items()]
    called = await run_cli(environment, "call", "helper", "slack-integration.send-message", *arguments)
    assert called["output"]["ok"] is True


def connector(url: str, *endpoints: dict, **api) -> dict:
    """A connector of the test's upstream, which writes nothing that follows from the rest."""
    return {
        "id": "probe",
        "version": "1.0.0",
        "type": "api-connector",
        "api": {"base_url": url, **api},
        "endpoints": list(endpoints),
    }


async def test_a_name_and_a_password_reach_the_upstream_alone(system, client, agent, add):
    password = "canary-basic-5fd01b"
    url = system.upstream.serve(lambda asked: (200, {"you": asked.headers["authorization"]}))
    source = connector(url, {"id": "get", "path": "/me"}, auth={"type": "basic"})
    await add(source, secrets={"USERNAME": "robot-1177", "PASSWORD": password})
    response = await agent.execute("probe.get")
    sent = system.upstream.asked(url)[-1].headers["authorization"]
    assert base64.b64decode(sent.removeprefix("Basic ")).decode() == f"robot-1177:{password}"
    assert sent.removeprefix("Basic ") not in repr(response)
    for word in (password, sent.removeprefix("Basic ")):
        assert word not in system.deployment.log()


async def test_s08_a_read_is_asked_again_and_a_message_is_not(system, client, agent, add):
    later = (503, {"error": "later"}, {"retry-after": "0"})
    answers = {"GET": [later, later, (200, {"n": 3})], "POST": [later, (200, {"n": 1})]}
    url = system.upstream.serve(lambda asked: answers[asked.method].pop(0))
    ends = [{"id": "read", "path": "/items"}, {"id": "write", "path": "/items", "method": "POST"}]
    await add(connector(url, *ends, retry=3))

    read = await agent.execute("probe.read")
    assert read.data == {"n": 3}
    run = await client.runs.GetRun(run_pb2.GetRunRequest(name=read.run))
    assert run.usage.broker_calls == 3, "every attempt is metered"
    failed = await agent.execute("probe.write")
    assert (failed.error.reason, failed.error.metadata["status"]) == ("UPSTREAM_ERROR", "503")
    assert [asked.method for asked in system.upstream.asked(url)] == ["GET", "GET", "GET", "POST"]


async def test_a_list_comes_whole_from_its_pages(system, agent, add):
    pages = {"1": (200, {"rows": [1, 2]}), "2": (200, {"rows": [3]}), "3": (200, {"rows": []})}
    url = system.upstream.serve(lambda asked: pages[asked.query["page"]])
    by = {"kind": "page", "items": "data.rows", "parameter": "page"}
    outputs = {"numbers": {"type": "array", "items": {"type": "integer"}}, "cut": {"type": "boolean"}}
    mapping = {"numbers": "items", "cut": "more"}
    await add(
        connector(url, {"id": "list", "path": "", "pagination": by, "outputs": outputs, "response_mapping": mapping})
    )
    assert (await agent.execute("probe.list")).data == {"numbers": [1, 2, 3], "cut": False}


async def test_a_value_of_the_agent_stays_below_the_base_url(system, agent, add):
    url = system.upstream.serve(lambda asked: (200, {"path": asked.path}))
    end = {"id": "get", "path": "/users/{{user}}/posts", "inputs": {"user": {"type": "string", "required": True}}}
    await add(connector(f"{url}/v1", end))
    response = await agent.execute("probe.get", {"user": "a/b?c#d%2f"})
    assert response.data["path"].endswith("/v1/users/a%2Fb%3Fc%23d%252f/posts")
    before = len(system.upstream.asked(url))
    for value in ("../../admin", "..", "..\\admin"):
        assert (await agent.execute("probe.get", {"user": value})).error.reason == "EXPRESSION_FAILED"
    assert len(system.upstream.asked(url)) == before
