"""Signing in: who may end what somebody began, once and in time, and what a lease holds afterwards."""

from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import text

from config.calls import NAME, TOKEN, create, leased, read_settings, update
from config.conftest import Dial
from config.connections.conftest import CONNECTION, HOST, Parties, refused
from hardpoint.config.v1 import config_pb2
from hardpoint.config.v1.config_pb2_grpc import ConfigServiceStub
from hardpoint_config.connection_rows import forget_sign_ins
from hardpoint_kit.auth import DevKeys
from hardpoint_kit.database import Database
from hardpoint_kit.errors import InvalidArgument, NotFound
from hardpoint_kit.rpc.client import channel
from hardpoint_kit.rpc.server import Server
from providers import CLIENT_ID, CLIENT_SECRET
from serving import SetClock


def as_subject(server: Server, keys: DevKeys, cleanup: AsyncExitStack, subject: str, org: str = "acme") -> Any:
    opened = channel(f"127.0.0.1:{server.port}", token=keys.mint(subject, org, {"operator"}))
    cleanup.push_async_callback(opened.close)
    return ConfigServiceStub(opened)


async def test_a_person_signs_in_and_a_lease_holds_the_token(parties: Parties, clock: SetClock) -> None:
    offered = await parties.offer()
    assert offered.state == config_pb2.CONNECTION_STATE_PENDING
    assert await leased(parties.runtime) == {}
    url = await parties.begin()
    asked = {key: values[0] for key, values in parse_qs(urlsplit(url).query).items()}
    assert (asked["scope"], asked["code_challenge_method"]) == ("chat:write channels:read", "S256")
    connected = await parties.complete(**await parties.consent(url))
    assert connected.state == config_pb2.CONNECTION_STATE_ACTIVE
    assert (connected.client_id, connected.has_client_secret, connected.subject) == (CLIENT_ID, True, "ada")
    assert list(connected.scopes) == ["chat:write", "channels:read"]
    assert await leased(parties.runtime) == {"ACCESS_TOKEN": parties.provider.access_tokens[0].encode()}
    assert (await read_settings(parties.config)).connected_key == "ACCESS_TOKEN"
    # The client is kept: the next sign-in asks for nothing.
    await parties.complete(**await parties.consent(await parties.begin(client_id="", client_secret=b"")))
    assert await leased(parties.runtime) == {"ACCESS_TOKEN": parties.provider.access_tokens[1].encode()}


async def test_a_connection_goes_before_a_secret_that_was_pasted(parties: Parties) -> None:
    await create(parties.config, value=b"pasted")
    await update(parties.config, {"CITY": "Oslo"}, {"ACCESS_TOKEN": TOKEN})
    await parties.offer()
    assert await leased(parties.runtime) == {"ACCESS_TOKEN": b"pasted"}
    await parties.connect()
    assert await leased(parties.runtime) == {"ACCESS_TOKEN": parties.provider.access_tokens[0].encode()}
    settings = await read_settings(parties.config)
    await update(parties.config, {"CITY": "Rome"}, etag=settings.etag)
    for _ in range(2):
        await parties.config.DeleteConnection(config_pb2.DeleteConnectionRequest(name=CONNECTION, request_id="d1"))
    assert await leased(parties.runtime) == {"ACCESS_TOKEN": b"pasted"}
    await refused(parties.get(), "NOT_FOUND", NotFound)


async def test_deleted_settings_take_the_connection_along(parties: Parties) -> None:
    await parties.connect()
    await parties.config.DeleteSettings(config_pb2.DeleteSettingsRequest(name=NAME))
    await refused(parties.get(), "NOT_FOUND", NotFound)
    assert await leased(parties.runtime) == {}


async def test_a_client_connects_by_itself_and_again_when_its_token_ends(parties: Parties, clock: SetClock) -> None:
    await parties.offer(grant="client_credentials", authorization_url="")
    request = config_pb2.ConnectClientRequest(
        name=CONNECTION, client_id=CLIENT_ID, client_secret=CLIENT_SECRET.encode()
    )
    connected = await parties.config.ConnectClient(request)
    assert connected.state == config_pb2.CONNECTION_STATE_ACTIVE
    clock.move(hours=1)
    assert await leased(parties.runtime) == {"ACCESS_TOKEN": parties.provider.access_tokens[1].encode()}
    await refused(parties.begin(), "SIGN_IN_REFUSED")


async def test_a_state_is_good_once(parties: Parties) -> None:
    await parties.offer()
    answer = await parties.consent(await parties.begin())
    await parties.complete(**answer)
    asked = len(parties.provider.server.asked)
    await refused(parties.complete(**answer), "SIGN_IN_INVALID")
    assert len(parties.provider.server.asked) == asked, "the provider does not hear of it"


async def test_a_state_is_spent_even_where_the_exchange_fails(parties: Parties) -> None:
    await parties.offer()
    answer = await parties.consent(await parties.begin())
    await refused(parties.complete(state=answer["state"], code="guessed"), "SIGN_IN_REFUSED")
    await refused(parties.complete(**answer), "SIGN_IN_INVALID")
    assert await leased(parties.runtime) == {}


async def test_a_state_ends_after_ten_minutes(parties: Parties, clock: SetClock) -> None:
    await parties.offer()
    answer = await parties.consent(await parties.begin())
    clock.move(minutes=10)
    await refused(parties.complete(**answer), "SIGN_IN_INVALID")


async def test_a_state_is_for_who_began(
    parties: Parties, server: Server, keys: DevKeys, cleanup: AsyncExitStack
) -> None:
    await parties.offer()
    answer = await parties.consent(await parties.begin())
    await refused(parties.complete(as_subject(server, keys, cleanup, "eve"), **answer), "SIGN_IN_INVALID")
    await parties.complete(**answer)  # and not spoilt for her


async def test_a_state_is_for_its_org_and_its_connection(parties: Parties, server: Server, dial: Dial) -> None:
    await parties.offer()
    answer = await parties.consent(await parties.begin())
    theirs = "orgs/other/connections/weather"
    await parties.offer(theirs, dial(server, "other", "service"))
    await refused(parties.complete(dial(server, "other"), theirs, **answer), "SIGN_IN_INVALID")
    await refused(parties.complete(dial(server, "other"), CONNECTION, **answer), "NOT_FOUND", NotFound)
    await parties.offer("orgs/acme/connections/second")
    await refused(parties.complete(name="orgs/acme/connections/second", **answer), "SIGN_IN_INVALID")
    await parties.complete(**answer)


async def test_a_code_of_another_sign_in_does_not_pass(parties: Parties) -> None:
    """Somebody's code in the victim's answer: the verifier is not the one that it was made for (RFC 7636)."""
    await parties.offer()
    attackers = await parties.consent(await parties.begin())
    victims = await parties.consent(await parties.begin())
    error = await refused(parties.complete(code=attackers["code"], state=victims["state"]), "SIGN_IN_REFUSED")
    assert error.metadata["said"] == "invalid_grant"
    assert await leased(parties.runtime) == {}


@pytest.mark.parametrize(
    "iss", ["https://evil.example.com", f"http://{HOST}", f"https://{HOST}:8443", "https://[", HOST]
)
async def test_another_issuer_is_refused(parties: Parties, iss: str) -> None:
    await parties.offer()
    answer = await parties.consent(await parties.begin())
    await refused(parties.complete(**answer, iss=iss), "SIGN_IN_INVALID")
    assert parties.provider.access_tokens == []


async def test_the_issuer_that_was_asked_is_taken(parties: Parties) -> None:
    parties.provider.iss = f"https://{HOST}"
    connected = await parties.connect()
    assert connected.state == config_pb2.CONNECTION_STATE_ACTIVE


@pytest.mark.parametrize(
    "uri",
    [
        "https://evil.example.com/callback",
        "http://127.0.0.1.evil.example.com:80/",
        "http://127.0.0.1:80@evil.example.com/",
        "http://127.0.0.1/callback",
        "http://127.0.0.1:1/callback?next=https://evil.example.com",
        "http://127.0.0.1:1/callback#x",
        "http://10.0.0.1:80/",
        "custom://127.0.0.1:80/",
        "",
    ],
)
async def test_codes_come_back_to_the_own_machine_alone(parties: Parties, uri: str) -> None:
    await parties.offer()
    error = await refused(parties.begin(redirect_uri=uri), "INVALID_ARGUMENT", InvalidArgument)
    assert "a port of your own machine" in error.message


async def test_sign_ins_that_nobody_ends_are_forgotten(parties: Parties, url: str, clock: SetClock) -> None:
    await parties.offer()
    await parties.begin()
    database = Database(url)
    for minutes, left in ((9, 1), (1, 0)):
        clock.move(minutes=minutes)
        async with database.transaction("*") as connection:
            await forget_sign_ins(connection, clock.now(), 100)
            assert await connection.scalar(text("SELECT count(*) FROM sign_ins")) == left
    await database.close()
