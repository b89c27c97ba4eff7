"""What is deleted is given back at its provider, afterwards: deleting neither waits for that nor fails by it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from config.calls import delete_settings
from config.conftest import KEYS
from config.connections.conftest import CONNECTION, HOST, Held, Parties, refused
from config.connections.test_people import begin_own, complete_own, connect_own, each_user, lease_for
from hardpoint.config.v1 import config_pb2
from hardpoint_config.crypto import load_keyring
from hardpoint_config.oauth import Providers
from hardpoint_config.revoking import Revoking
from hardpoint_config.sealing import Sealing
from hardpoint_config.store import Store
from hardpoint_kit.database import Database
from hardpoint_kit.dial import parse_aliases
from hardpoint_kit.errors import InvalidArgument, NotFound
from providers import CLIENT_SECRET
from serving import SetClock, eventually

REVOKE = f"https://{HOST}/revoke"
Audit = Callable[[], Awaitable[Any]]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardpoint_config.revoking.REST_SECONDS", 0.1)


@pytest.fixture
async def looking(url: str, clock: SetClock, server_options: dict[str, Any], cleanup: AsyncExitStack) -> Revoking:
    """One more that looks for what is due, when it is told to."""
    database, keyring = Database(url), load_keyring(None, KEYS)
    providers = Providers(clock, parse_aliases(server_options["config_host_aliases"]))
    cleanup.callback(providers.close)
    cleanup.push_async_callback(database.close)
    return Revoking(Store(database), Sealing(keyring), providers, clock)


async def connect(parties: Parties) -> list[str]:
    """Sign the org in where tokens can be given back; what the provider gave, the refresh token first."""
    await parties.offer(revocation_url=REVOKE)
    await parties.complete(**await parties.consent(await parties.begin()))
    return [*parties.provider.refresh_tokens, parties.provider.access_tokens[-1]]


def said(events: Any, action: str) -> list[dict[str, str]]:
    return [dict(event.facts) for event in events if event.action == action]


async def test_a_deleted_connection_is_given_back(parties: Parties, audit: Audit) -> None:
    tokens = await connect(parties)
    await parties.config.DeleteConnection(config_pb2.DeleteConnectionRequest(name=CONNECTION))

    async def told() -> bool:
        return said(await audit(), "connection.revoke") == [{"host": HOST}]

    await eventually(told)
    assert parties.provider.revoked == tokens


async def test_a_token_that_is_worth_nothing_any_more_is_back(parties: Parties, audit: Audit) -> None:
    await connect(parties)
    # With the refresh token went what it gave, so there is no such access token any more.
    parties.provider.revoking = [(200, b""), (400, {"error": "invalid_token"})]
    await parties.config.DeleteConnection(config_pb2.DeleteConnectionRequest(name=CONNECTION))

    async def told() -> bool:
        return said(await audit(), "connection.revoke") == [{"host": HOST}]

    await eventually(told)
    assert not said(await audit(), "connection.not_revoked")


async def test_what_comes_after_the_deletion_is_given_back_too(parties: Parties, clock: SetClock) -> None:
    await connect(parties)
    clock.move(hours=2)
    held = Held(parties.provider, b"refresh_token")
    leasing = asyncio.create_task(lease_for(parties.runtime))
    await held.asked()
    await parties.config.DeleteConnection(config_pb2.DeleteConnectionRequest(name=CONNECTION))
    held.end.set()
    await leasing
    last = {*parties.provider.refresh_tokens, parties.provider.access_tokens[-1]}

    async def given_back() -> bool:
        return last <= set(parties.provider.revoked)

    await eventually(given_back)


async def test_a_sign_in_that_ends_after_the_deletion_is_given_back(parties: Parties, as_subject: Any) -> None:
    await each_user(parties, revocation_url=REVOKE)
    anna = as_subject("anna")
    answer = await parties.consent(await begin_own(anna, parties))
    held = Held(parties.provider, b"authorization_code")
    completing = asyncio.create_task(complete_own(anna, **answer))
    await held.asked()
    await parties.config.DeleteConnection(config_pb2.DeleteConnectionRequest(name=CONNECTION))
    held.end.set()
    with pytest.raises(NotFound):
        await completing
    last = {*parties.provider.refresh_tokens, parties.provider.access_tokens[-1]}

    async def given_back() -> bool:
        return last <= set(parties.provider.revoked)

    await eventually(given_back)


async def test_everybodys_tokens_are_given_back_with_the_settings_document(parties: Parties, as_subject: Any) -> None:
    await each_user(parties, revocation_url=REVOKE)
    tokens = {await connect_own(as_subject(user), parties) for user in ("anna", "bob")}
    await delete_settings(parties.config, "orgs/acme/settings/weather")

    async def given_back() -> bool:
        return tokens <= set(parties.provider.revoked)

    await eventually(given_back)


async def test_one_persons_tokens_alone_are_given_back(parties: Parties, as_subject: Any) -> None:
    await each_user(parties, revocation_url=REVOKE)
    anna = as_subject("anna")
    token = await connect_own(anna, parties)
    kept = await connect_own(as_subject("bob"), parties)
    await anna.DeleteOwnConnection(config_pb2.DeleteOwnConnectionRequest(name=CONNECTION))

    async def given_back() -> bool:
        return token in parties.provider.revoked

    await eventually(given_back)
    assert kept not in parties.provider.revoked
    assert (await lease_for(parties.runtime, "bob")).per_user


@pytest.mark.parametrize(
    ("answers", "attempts", "error"),
    [
        ([(503, {})], 5, "UNAVAILABLE"),
        ([(400, {"error": "unsupported_token_type"}), (200, b"")], 1, "unsupported_token_type"),
    ],
)
async def test_what_cannot_be_given_back_is_forgotten_in_the_end(
    parties: Parties, clock: SetClock, audit: Audit, looking: Revoking, answers: Any, attempts: int, error: str
) -> None:
    (refresh, access) = await connect(parties)
    parties.provider.revoking = answers
    await parties.config.DeleteConnection(config_pb2.DeleteConnectionRequest(name=CONNECTION))
    with pytest.raises(NotFound):
        await parties.get()
    for _ in range(attempts + 1):
        await looking.look()
        clock.move(hours=3)

    async def told() -> bool:
        return said(await audit(), "connection.not_revoked") == [{"host": HOST, "error": error}]

    await eventually(told)
    # Who does not know the one kind of token may take the other.
    assert parties.provider.revoked == ([refresh] * 5 if attempts == 5 else [refresh, access])
    assert CLIENT_SECRET not in str(await audit())


async def test_tokens_are_given_back_only_where_they_come_from(parties: Parties) -> None:
    elsewhere = parties.offer(revocation_url="https://elsewhere.example.com/revoke")
    error = await refused(elsewhere, "INVALID_ARGUMENT", InvalidArgument)
    assert "provider.revocation_url" in error.message
