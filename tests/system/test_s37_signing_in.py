"""S37: signing in by OAuth2, from the design's Slack file to an agent's call; renewals, and a grant taken back."""

import asyncio
import json
import os
import sys
from typing import Any
from urllib.parse import urlsplit

import httpx
from demo.daemon import free_port

from hardpoint.registry.v1 import registry_pb2
from hardpoint_manifest.check import check
from hardpoint_manifest.load import load
from providers import CLIENT_ID, CLIENT_SECRET

from .conftest import EXAMPLES, System

FILE = "slack-integration.json"
TOOL = "slack-integration.list-channels"


def slack_as_checked() -> bytes:
    """The design's file with what `hardpoint check` says of its addresses: one is wrong, one is not there."""
    document = json.loads((EXAMPLES / FILE).read_text())
    findings = {finding.rule: finding for finding in check(load((EXAMPLES / FILE).read_bytes(), FILE)).findings}
    auth = document["capability"]["api"]["auth"]
    auth["authorization_url"] = findings["oauth-authorization-url"].patch[0].value
    auth["token_url"] = findings["oauth-token-url"].patch[0].value
    return json.dumps(document).encode()


async def sign_in(system: System, org: str, *arguments: str) -> Any:
    """`hardpoint connect` in a terminal, and a person who consents in a browser; what the command answered."""
    system.identity.redirect_uri = f"http://127.0.0.1:{free_port()}/callback"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hardpoint_cli.main", "connect", "slack-integration", *arguments,
        "--redirect", system.identity.redirect_uri, "--json",
        env={**os.environ, **system.cli_environment(org), "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stderr is not None
    process.stdin.write(f"{CLIENT_SECRET}\n".encode())
    async with asyncio.timeout(30):
        while not (line := (await process.stderr.readline()).decode()).startswith("https://"):
            assert line, "the command ended"
        link = urlsplit(line.strip())
        assert (link.hostname, link.path) == ("slack.com", "/oauth/v2/authorize")
        async with httpx.AsyncClient(trust_env=False, follow_redirects=True) as browser:
            page = await browser.get(f"http://{system.identity.server.address}{link.path}?{link.query}")
        out, err = await process.communicate()
    assert process.returncode == 0, (out, err)
    assert "Connected" in page.text
    return json.loads(out)["connection"]


async def test_slack_by_signing_in(system, client, agent, org):
    pushed = await client.push(slack_as_checked(), FILE)
    release = await client.publish(pushed.release.name)
    assert release.state == registry_pb2.RELEASE_STATE_PUBLISHED
    await client.install(release.name.partition("/releases/")[0], grants=release.manifest.authority)

    connected = await sign_in(system, org, "--client-id", CLIENT_ID)
    assert (connected["state"], connected["scopes"]) == ("CONNECTION_STATE_ACTIVE", ["chat:write", "channels:read"])
    await client.attach(agent.id, "slack-integration")
    for _ in range(2):
        called = await agent.execute(TOOL)
        assert called.error is None
        assert called.data["channels"] == [{"id": "C1", "name": "general"}]
        assert shown(system) == system.identity.access_tokens[-1]
    assert system.identity.renewals == 0, "a warm call asks nobody"

    # The token is about to end: each lease has it renewed, with the refresh token that came with the one before.
    system.identity.expires_in = 20
    await sign_in(system, org)
    for count in (1, 2):
        assert (await agent.execute(TOOL)).error is None
        assert system.identity.renewals == count
        assert shown(system) == system.identity.access_tokens[-1]

    system.identity.revoke()
    before = len(system.slack.asked)
    refused = await agent.execute(TOOL)
    assert refused.error.reason == "CONNECTION_NEEDS_REAUTH"
    assert refused.error.fix == "sign in again: hardpoint connect slack-integration"
    assert len(system.slack.asked) == before

    system.identity.expires_in = 3600
    await sign_in(system, org)
    assert (await agent.execute(TOOL)).error is None
    log = system.deployment.log()
    for secret in system.identity.secrets:
        assert secret not in log


def shown(system: System) -> str:
    """The token that Slack was shown last."""
    return system.slack.asked[-1].headers["authorization"].removeprefix("Bearer ")
