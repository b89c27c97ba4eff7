"""S03: the design's Slack file from another org's shelf to a message: found, read, installed, signed in, attached."""

import asyncio
import json
import os
import sys
from urllib.parse import parse_qs

from hardpoint.marketplace.v1 import marketplace_pb2
from hardpoint_client import Hardpoint

from .conftest import EXAMPLES, System, eventually
from .test_s01_create_and_call import run_cli
from .test_s37_signing_in import shown, sign_in

FILE = EXAMPLES / "slack-integration.json"
CONSENT = (
    "network.http.post",
    "network.http.get",
    "host slack.com",
    "secret ACCESS_TOKEN",
    "chat:write, channels:read",
    "secret of your OAuth app go to slack.com, people consent at slack.com",
)


async def on_a_terminal(environment: dict[str, str], *arguments: str, until: str, typed: str) -> tuple[int, str]:
    """Run the command line on a terminal and type when the text is there; its exit code and all that it showed."""
    screen, side = os.openpty()
    words = {**os.environ, **environment, "PYTHONPATH": os.pathsep.join(sys.path), "TERM": "dumb", "COLUMNS": "160"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hardpoint_cli.main", *arguments, env=words, stdin=side, stdout=side, stderr=side
    )
    os.close(side)
    said = ""
    try:
        async with asyncio.timeout(60):
            while part := await asyncio.to_thread(read, screen):
                before, said = said, said + part
                if until not in before and until in said:
                    os.write(screen, typed.encode())
            return await process.wait(), said
    finally:
        os.close(screen)


def read(screen: int) -> str:
    """What a terminal shows next; nothing once its last program has ended."""
    try:
        return os.read(screen, 4096).decode(errors="replace")
    except OSError:
        return ""


async def test_slack_from_the_marketplace(system: System, client: Hardpoint, org: str) -> None:
    author, stranger, ours = (system.cli_environment(name) for name in (f"{org}-author", f"{org}-stranger", org))
    capability = f"{org}-author/slack-integration"
    await run_cli(author, "push", str(FILE), "--visibility", "public", "--publish")
    offered = await run_cli(author, "offer", "slack-integration", "--license", "MIT", "--summary", f"Slack, for {org}")
    assert offered["listing"]["state"] == "LISTING_STATE_LISTED"
    await run_cli(stranger, "install", capability, "--grant-all")

    async def installs(count: int) -> bool:
        asked = marketplace_pb2.SearchListingsRequest(query=f"slack {org}", free_only=True)
        (card,) = (await client.marketplace.SearchListings(asked)).listings
        return card.install_count == count

    await eventually(lambda: installs(1))
    (found,) = (await run_cli(ours, "search", "slack", org))["listings"]
    assert (found["display_name"], found["license"], found["latest_version"]) == ("Slack Messenger", "MIT", "0.1.0")
    assert "price" not in found, "it is free"
    assert found["capability"] == f"orgs/{org}-author/capabilities/slack-integration"

    code, said = await on_a_terminal(ours, "install", capability, until="[y/N]", typed="n\n")
    assert code == 1
    installed = (await run_cli(ours, "installed"))["installations"]
    assert found["capability"] not in [one["capability"] for one in installed]
    code, said = await on_a_terminal(ours, "install", capability, until="[y/N]", typed="y\n")
    assert code == 0, said
    consent, _, after = " ".join(said.split()).partition("[y/N]")
    for line in CONSENT:
        assert line in consent
    assert "hardpoint connect slack-integration" in after
    await eventually(lambda: installs(2))

    connected = await sign_in(system, org, "--client-id", "hardpoint-client")
    assert (connected["state"], connected["scopes"]) == ("CONNECTION_STATE_ACTIVE", ["chat:write", "channels:read"])
    began, exchanged = system.identity.server.asked[-2:]
    assert (began.path, began.query["code_challenge_method"]) == ("/oauth/v2/authorize", "S256")
    assert (exchanged.method, exchanged.path) == ("POST", "/api/oauth.v2.access")
    assert "code_verifier" in parse_qs(exchanged.body.decode())

    await run_cli(ours, "agent", "create", "helper")
    await run_cli(ours, "attach", "helper", "slack-integration")
    post = ("call", "helper", "slack-integration.send-message", "channel=#general", "message=hi")
    assert (await run_cli(ours, *post))["output"]["ok"] is True
    sent = system.slack.asked[-1]
    assert (sent.method, sent.path, shown(system)) == (
        "POST",
        "/api/chat.postMessage",
        system.identity.access_tokens[-1],
    )
    assert json.loads(sent.body) == {"channel": "#general", "text": "hi"}
    for secret in system.identity.secrets:
        assert secret not in system.deployment.log()
