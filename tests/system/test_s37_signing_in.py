"""S37: signing in by OAuth2, from the design's Slack file to an agent's call; renewals, and a grant taken back."""

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from demo.daemon import free_port

from hardpoint.config.v1 import config_pb2
from hardpoint.registry.v1 import registry_pb2
from hardpoint.runtime.v1 import agent_pb2, installation_pb2
from hardpoint_client import Hardpoint
from hardpoint_kit.errors import Conflict, PermissionDenied
from hardpoint_manifest.check import check
from hardpoint_manifest.load import load
from providers import CLIENT_ID, CLIENT_SECRET
from serving import eventually

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


async def sign_in(
    system: System, org: str, *arguments: str, roles: Sequence[str] = ("admin",), subject: str = "tester"
) -> Any:
    """`hardpoint connect` in a terminal, and a person who consents in a browser; what the command answered."""
    system.identity.redirect_uri = f"http://127.0.0.1:{free_port()}/callback"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hardpoint_cli.main", "connect", "slack-integration", *arguments,
        "--redirect", system.identity.redirect_uri, "--json",
        env={**os.environ, **system.cli_environment(org, roles, subject), "PYTHONPATH": os.pathsep.join(sys.path)},
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


async def installed(client: Hardpoint) -> None:
    """Slack, published and installed with all that it asks for."""
    pushed = await client.push(slack_as_checked(), FILE)
    release = await client.publish(pushed.release.name)
    assert release.state == registry_pb2.RELEASE_STATE_PUBLISHED
    await client.install(release.name.partition("/releases/")[0], grants=release.manifest.authority)


async def test_slack_by_signing_in(system, client, agent, org):
    await installed(client)
    renewals = system.identity.renewals
    connected = await sign_in(system, org, "--client-id", CLIENT_ID)
    assert (connected["state"], connected["scopes"]) == ("CONNECTION_STATE_ACTIVE", ["chat:write", "channels:read"])
    await client.attach(agent.id, "slack-integration")
    for _ in range(2):
        called = await agent.execute(TOOL)
        assert called.error is None
        assert called.data["channels"] == [{"id": "C1", "name": "general"}]
        assert shown(system) == system.identity.access_tokens[-1]
    assert system.identity.renewals == renewals, "a warm call asks nobody"

    # The token is about to end: each lease has it renewed, with the refresh token that came with the one before.
    system.identity.expires_in = 20
    await sign_in(system, org)
    for count in (1, 2):
        assert (await agent.execute(TOOL)).error is None
        assert system.identity.renewals == renewals + count
        assert shown(system) == system.identity.access_tokens[-1]

    system.identity.revoke()
    before = len(system.slack.asked)
    refused = await agent.execute(TOOL)
    assert refused.error.reason == "CONNECTION_NEEDS_REAUTH"
    assert refused.error.fix == "sign in again: hardpoint connect slack-integration"
    assert len(system.slack.asked) == before
    # Who may sign the org in is shown where, and an agent of its own who can.
    with pytest.raises(Conflict) as told:
        await system.client(org, ("agent",), "bot").call(agent.id, TOOL)
    assert told.value.fix == f"have an operator of {org} sign in again: hardpoint connect slack-integration"
    assert "link" not in told.value.metadata

    system.identity.expires_in = 3600
    ended = await followed(system, refused.error.metadata["link"])
    arguments = ("connect", "slack-integration", "--answer", ended)
    command = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hardpoint_cli.main", *arguments,
        env={**os.environ, **system.cli_environment(org), "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(30):
        out, _ = await command.communicate()
    assert (command.returncode, "is connected to" in out.decode()) == (0, True), out
    assert (await agent.execute(TOOL)).error is None
    log = system.deployment.log()
    for secret in system.identity.secrets:
        assert secret not in log


async def test_each_person_by_signing_in(system, client, agent, org):
    system.identity.expires_in = 3600
    await installed(client)
    offered = await client.installations.OfferConnection(
        installation_pb2.OfferConnectionRequest(name=f"orgs/{org}/installations/slack-integration")
    )
    users = config_pb2.ConnectUsersRequest(
        name=offered.connection,
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET.encode(),
        redirect_uri=system.identity.redirect_uri,
    )
    await client.config.ConnectUsers(users)
    await client.attach(agent.id, "slack-integration")

    tokens = {}
    for user in ("anna", "bob"):
        connected = await sign_in(system, org, "--me", roles=("viewer",), subject=user)
        assert (connected["state"], connected["user"]) == ("CONNECTION_STATE_ACTIVE", user)
        tokens[user] = system.identity.access_tokens[-1]
    bot = system.client(org, ("agent", "delegate"), "bot")
    for user in ("anna", "bob", "anna"):
        await system.client(org, ("agent",), user).call(agent.id, TOOL)
        assert shown(system) == tokens[user]
        await called_for(bot, f"orgs/{org}/agents/{agent.id}", user)
        assert shown(system) == tokens[user]

    before = len(system.slack.asked)
    with pytest.raises(Conflict) as refused:
        await called_for(bot, f"orgs/{org}/agents/{agent.id}", "eve")
    assert (refused.value.reason, refused.value.metadata["user"]) == ("CONNECTION_NEEDS_REAUTH", "eve")
    with pytest.raises(PermissionDenied):
        await called_for(client, f"orgs/{org}/agents/{agent.id}", "anna")
    assert len(system.slack.asked) == before

    # What a call answered with leads eve to her own account, and nobody else.
    system.identity.redirect_uri = users.redirect_uri
    address = await followed(system, refused.value.metadata["link"])
    ended = {key: values[0] for key, values in parse_qs(urlsplit(address).query).items()}
    completed = config_pb2.CompleteOwnConnectionRequest(name=offered.connection, **ended)
    with pytest.raises(Conflict):
        await system.client(org, ("admin",), "mallory").config.CompleteOwnConnection(completed)
    await system.client(org, ("viewer",), "eve").config.CompleteOwnConnection(completed)
    await called_for(bot, f"orgs/{org}/agents/{agent.id}", "eve")
    assert shown(system) == system.identity.access_tokens[-1]

    await client.config.DeleteUserConnection(
        config_pb2.DeleteUserConnectionRequest(name=offered.connection, user="anna")
    )

    async def refused_now() -> bool:
        try:
            await called_for(bot, f"orgs/{org}/agents/{agent.id}", "anna")
        except Conflict as error:
            return error.reason == "CONNECTION_NEEDS_REAUTH"
        return False

    await eventually(refused_now)
    await called_for(bot, f"orgs/{org}/agents/{agent.id}", "bob")
    assert shown(system) == tokens["bob"]


async def test_an_answer_that_is_not_of_this_sign_in_is_refused(system, client, org):
    """A guessed state, another issuer, an answer that was used, and a code that was: none of them connects."""
    await installed(client)
    name = (
        await client.installations.OfferConnection(
            installation_pb2.OfferConnectionRequest(name=f"orgs/{org}/installations/slack-integration")
        )
    ).connection
    system.identity.redirect_uri = f"http://127.0.0.1:{free_port()}/callback"

    async def answered() -> dict[str, str]:
        begin = config_pb2.BeginConnectionRequest(
            name=name,
            client_id=CLIENT_ID,
            client_secret=CLIENT_SECRET.encode(),
            redirect_uri=system.identity.redirect_uri,
        )
        begun = await client.config.BeginConnection(begin)
        address = await followed(system, begun.authorization_url)
        return {key: values[0] for key, values in parse_qs(urlsplit(address).query).items()}

    async def refused(reason: str, **answer: str) -> None:
        with pytest.raises(Conflict) as error:
            await client.config.CompleteConnection(config_pb2.CompleteConnectionRequest(name=name, **answer))
        assert error.value.reason == reason

    given = len(system.identity.access_tokens)
    answer = await answered()
    await refused("SIGN_IN_INVALID", **{**answer, "state": "guessed"})
    await refused("SIGN_IN_INVALID", **answer, iss="https://evil.example.com")
    assert len(system.identity.access_tokens) == given

    answer = await answered()
    connected = await client.config.CompleteConnection(
        config_pb2.CompleteConnectionRequest(name=name, **answer, iss="https://slack.com")
    )
    assert connected.state == config_pb2.CONNECTION_STATE_ACTIVE
    await refused("SIGN_IN_INVALID", **answer)
    await refused("SIGN_IN_REFUSED", code=answer["code"], state=(await answered())["state"])
    assert len(system.identity.access_tokens) == given + 1


async def test_twenty_calls_when_the_token_ends_renew_it_once(system, client, agent, org):
    await installed(client)
    system.identity.expires_in = 20
    await sign_in(system, org, "--client-id", CLIENT_ID)
    system.identity.expires_in = 3600
    await client.attach(agent.id, "slack-integration")
    renewals = system.identity.renewals
    called = await asyncio.gather(*(agent.execute(TOOL) for _ in range(20)))
    assert [one.error for one in called] == [None] * 20
    assert system.identity.renewals == renewals + 1
    assert shown(system) == system.identity.access_tokens[-1]


async def followed(system: System, link: str) -> str:
    """The address that a browser ends at when a person consents."""
    parts = urlsplit(link)
    async with httpx.AsyncClient(trust_env=False) as browser:
        page = await browser.get(f"http://{system.identity.server.address}{parts.path}?{parts.query}")
    return page.headers["location"]


async def called_for(client: Hardpoint, agent: str, user: str) -> None:
    await client.agents.CallAction(agent_pb2.CallActionRequest(agent=agent, action=TOOL, on_behalf_of=user))


def shown(system: System) -> str:
    """The token that Slack was shown last."""
    return system.slack.asked[-1].headers["authorization"].removeprefix("Bearer ")
