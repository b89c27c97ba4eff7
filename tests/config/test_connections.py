"""Connections, over a provider on loopback that checks PKCE, the client, redirect URIs and rotation; real PostgreSQL.

Each attack of which a sign-in must know is a test: states and codes that are somebody else's, other issuers, other
places, providers that misbehave.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from threading import Event
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy import text

from config.calls import NAME, TOKEN, create, lease, leased, read_settings, redeem, update
from config.conftest import Dial, MakeUnit
from config.test_canary import dump, lines, spans  # noqa: F401 - a fixture
from hardpoint.config.v1 import config_pb2
from hardpoint.config.v1.config_pb2_grpc import ConfigServiceStub
from hardpoint_config.connection_rows import forget_sign_ins
from hardpoint_kit.auth import DevKeys
from hardpoint_kit.database import Database
from hardpoint_kit.errors import Conflict, HardpointError, InvalidArgument, NotFound, PermissionDenied, Unavailable
from hardpoint_kit.rpc.client import channel
from hardpoint_kit.rpc.server import Server
from providers import CLIENT_ID, CLIENT_SECRET, Provider, provider
from serving import Serve, SetClock

CONNECTION = "orgs/acme/connections/weather"
HOST = "id.example.com"


@dataclass
class Parties:
    """Config with an operator, the runtime, and the provider at id.example.com."""

    config: Any
    runtime: Any
    provider: Provider

    async def offer(self, name: str = CONNECTION, runtime: Any = None, **changed: Any) -> Any:
        told: dict[str, Any] = {
            "setting": "ACCESS_TOKEN",
            "grant": "authorization_code",
            "authorization_url": f"https://{HOST}/authorize",
            "token_url": f"https://{HOST}/token",
            "scopes": ["chat:write", "channels:read"],
            **changed,
        }
        request = config_pb2.OfferConnectionRequest(name=name, provider=config_pb2.Provider(**told))
        return await (runtime or self.runtime).OfferConnection(request)

    async def begin(self, config: Any = None, **changed: Any) -> str:
        told: dict[str, Any] = {
            "name": CONNECTION,
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET.encode(),
            "redirect_uri": self.provider.redirect_uri,
            **changed,
        }
        begun = await (config or self.config).BeginConnection(config_pb2.BeginConnectionRequest(**told))
        return str(begun.authorization_url)

    async def consent(self, url: str) -> dict[str, str]:
        """What the provider sends back through the browser of a person who consents."""
        parts = urlsplit(url)
        assert (parts.scheme, parts.hostname) == ("https", HOST)
        async with httpx.AsyncClient(trust_env=False) as browser:
            answer = await browser.get(f"http://{self.provider.server.address}{parts.path}?{parts.query}")
        assert answer.status_code == 302, answer.text
        back = urlsplit(answer.headers["location"])
        assert answer.headers["location"].startswith(self.provider.redirect_uri)
        return {key: values[0] for key, values in parse_qs(back.query).items()}

    async def complete(self, config: Any = None, name: str = CONNECTION, **answer: str) -> Any:
        request = config_pb2.CompleteConnectionRequest(name=name, **answer)
        return await (config or self.config).CompleteConnection(request)

    async def connect(self) -> Any:
        await self.offer()
        return await self.complete(**await self.consent(await self.begin()))

    async def get(self) -> Any:
        return await self.config.GetConnection(config_pb2.GetConnectionRequest(name=CONNECTION))


@pytest.fixture
def given() -> Iterator[Provider]:
    with provider() as made:
        yield made


@pytest.fixture
def server_options(given: Provider) -> dict[str, Any]:
    return {"config_host_aliases": {HOST: given.server.address}}


@pytest.fixture
async def server(make_unit: MakeUnit, serve: Serve, server_options: dict[str, Any]) -> Server:
    return await serve(make_unit(**server_options))


@pytest.fixture
async def parties(config: Any, runtime: Any, given: Provider) -> Parties:
    return Parties(config, runtime, given)


def as_subject(server: Server, keys: DevKeys, cleanup: AsyncExitStack, subject: str, org: str = "acme") -> Any:
    opened = channel(f"127.0.0.1:{server.port}", token=keys.mint(subject, org, {"operator"}))
    cleanup.push_async_callback(opened.close)
    return ConfigServiceStub(opened)


async def refused(call: Awaitable[Any], reason: str, kind: type[HardpointError] = Conflict) -> HardpointError:
    with pytest.raises(kind) as raised:
        await call
    assert raised.value.reason == reason
    return raised.value


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


# --- who may end a sign-in ---


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
    await refused(parties.begin(redirect_uri=uri), "INVALID_ARGUMENT", InvalidArgument)


# --- where secrets go ---


@pytest.mark.parametrize(
    "place",
    [
        f"http://{HOST}/token",
        "https://127.0.0.1/token",
        "https://[::1]/token",
        "https://2130706433/token",
        "https://0x7f.1/token",
        "https://localhost/token",
        f"https://{HOST}@evil.example.com/token",
        f"https://{HOST}/token#x",
        f"https://{HOST}:99999/token",
        "https://id.example.com\\@evil.example.com/",
    ],
)
async def test_a_place_that_is_no_public_host_is_not_offered(parties: Parties, place: str) -> None:
    await refused(parties.offer(token_url=place), "INVALID_ARGUMENT", InvalidArgument)


async def test_an_author_does_not_choose_where_codes_go(parties: Parties) -> None:
    url = f"https://{HOST}/authorize?redirect_uri=https://evil.example.com"
    await refused(parties.offer(authorization_url=url), "INVALID_ARGUMENT", InvalidArgument)


async def test_only_the_runtime_says_where_one_signs_in(parties: Parties, server: Server, dial: Dial) -> None:
    for role in ("admin", "operator", "agent"):
        with pytest.raises(PermissionDenied):
            await parties.offer(runtime=dial(server, role=role))


async def test_nobody_without_the_role_connects(parties: Parties, server: Server, dial: Dial) -> None:
    await parties.offer()
    for role in ("builder", "agent", "viewer"):
        with pytest.raises(PermissionDenied):
            await parties.begin(dial(server, role=role))
    other = dial(server, "other")
    await refused(parties.begin(other), "NOT_FOUND", NotFound)


async def test_another_provider_gets_nothing_of_the_one_before(parties: Parties, url: str) -> None:
    await parties.connect()
    answer = await parties.consent(await parties.begin())
    moved = await parties.offer(token_url="https://elsewhere.example.com/token")
    assert (moved.state, moved.client_id) == (config_pb2.CONNECTION_STATE_PENDING, "")
    assert await leased(parties.runtime) == {}
    await refused(parties.complete(**answer), "SIGN_IN_INVALID")
    await refused(parties.begin(client_id="", client_secret=b""), "INVALID_ARGUMENT", InvalidArgument)
    database = Database(url)
    async with database.transaction("*") as connection:
        sealed = "SELECT count(ciphertext) + (SELECT count(*) FROM sign_ins) FROM connections"
        assert await connection.scalar(text(sealed)) == 0, "nothing is left to open"
    await database.close()


async def test_an_altered_row_sends_nothing_elsewhere(parties: Parties, url: str, clock: SetClock) -> None:
    """Who can write the table and not the keys: what is sealed opens only for the token endpoint it was sealed for."""
    await parties.connect()
    database = Database(url)
    async with database.transaction("*") as connection:
        await connection.execute(
            text("UPDATE connections SET provider = replace(provider::text, '/token', '/other')::json")
        )
    await database.close()
    clock.move(hours=1)
    asked = len(parties.provider.server.asked)
    with pytest.raises(HardpointError):
        await lease(parties.runtime)
    assert len(parties.provider.server.asked) == asked


async def test_a_token_endpoint_inside_is_not_dialled(
    parties: Parties, make_unit: MakeUnit, serve: Serve, dial: Dial
) -> None:
    """A public name for a private address, without an alias: `localtest.example.com` stands for what DNS says."""
    from hardpoint_config import oauth

    async def inside(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(oauth, "Resolver", lambda: _Resolves(inside))
        unit = await serve(make_unit())
    config = dial(unit)
    runtime = dial(unit, role="service")
    port = parties.provider.server.address.rpartition(":")[2]
    await parties.offer(
        runtime=runtime, grant="client_credentials", token_url=f"https://rebound.example.com:{port}/token"
    )
    request = config_pb2.ConnectClientRequest(name=CONNECTION, client_id=CLIENT_ID, client_secret=b"s")
    error = await refused(config.ConnectClient(request), "UNAVAILABLE", Unavailable)
    assert "not public" in error.message
    assert parties.provider.server.asked == []


class _Resolves:
    def __init__(self, resolve: Callable[[str, int], Awaitable[list[str]]]) -> None:
        self._resolve = resolve

    async def __call__(self, host: str, port: int) -> list[str]:
        return await self._resolve(host, port)

    def close(self) -> None:
        pass


# --- what providers say ---

ANSWERS: dict[str, Any] = {
    "100 MB": (200, b'{"access_token": "a", "more": "' + b"a" * 100_000_000 + b'"}'),
    "too much": (200, b'{"access_token": "a", "more": "' + b"a" * 70_000 + b'"}'),
    "a redirect": (307, {}, {"location": "https://evil.example.com/token"}),
    "no JSON": (200, b"<html>"),
    "a list": (200, ["access_token"]),
    "no token": (200, {"token_type": "Bearer"}),
    "no text": (200, {"access_token": {"a": 1}}),
    "a line end": (200, {"access_token": "a\r\nx-injected: 1"}),
    "deep": (200, b"[" * 60_000),
    "a long life": (200, {"access_token": "a", "expires_in": "9" * 5000}),
    "busy": (429, {"error": "invalid_grant"}),
    "broken": (500, {"error": "invalid_grant"}),
}


@pytest.mark.parametrize("answer", ANSWERS)
async def test_an_answer_that_is_none_is_refused(parties: Parties, answer: str) -> None:
    await parties.offer()
    back = await parties.consent(await parties.begin())
    parties.provider.instead = lambda _asked: ANSWERS[answer]
    await refused(parties.complete(**back), "UNAVAILABLE", Unavailable)


async def test_a_provider_that_never_answers_is_left(parties: Parties, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardpoint_config.oauth.TOKEN_SECONDS", 0.2)
    await parties.offer()
    back = await parties.consent(await parties.begin())
    end = Event()
    parties.provider.instead = lambda _asked: (200, {"late": end.wait(10)})
    try:
        await refused(parties.complete(**back), "UNAVAILABLE", Unavailable)
    finally:
        end.set()


async def test_an_error_does_not_repeat_what_was_sent(parties: Parties) -> None:
    await parties.offer()
    back = await parties.consent(await parties.begin(client_secret=b"secretclientsecret"))
    parties.provider.instead = lambda _asked: (400, {"error": "secretclientsecret", "error_description": back["code"]})
    error = await refused(parties.complete(**back), "SIGN_IN_REFUSED")
    assert "secretclientsecret" not in repr((error.message, error.metadata, error.fix))
    assert back["code"] not in repr((error.message, error.metadata, error.fix))


# --- renewing ---


async def test_a_token_that_lasts_is_not_renewed(parties: Parties, clock: SetClock) -> None:
    await parties.connect()
    clock.move(minutes=58)
    made = await lease(parties.runtime)
    assert parties.provider.renewals == 0
    assert made.expire_time.ToDatetime().timestamp() <= (await parties.get()).expire_time.ToDatetime().timestamp()


async def test_twenty_calls_over_two_processes_renew_once(
    parties: Parties, make_unit: MakeUnit, serve: Serve, dial: Dial, server_options: dict[str, Any], clock: SetClock
) -> None:
    await parties.connect()
    second = dial(await serve(make_unit(**server_options)), role="service")
    clock.move(minutes=59, seconds=30)
    made = await asyncio.gather(*(lease(runtime) for runtime in (parties.runtime, second) * 10))
    assert parties.provider.renewals == 1
    found = await asyncio.gather(*(redeem(parties.runtime, one.token) for one in made))
    assert {one.secrets["ACCESS_TOKEN"] for one in found} == {parties.provider.access_tokens[1].encode()}
    # The refresh token that came with it was kept: the next renewal works, too.
    clock.move(hours=1)
    await asyncio.gather(*(lease(runtime) for runtime in (parties.runtime, second) * 10))
    assert parties.provider.renewals == 2


async def test_a_provider_that_keeps_its_refresh_token(parties: Parties, clock: SetClock) -> None:
    parties.provider.rotates = False
    await parties.connect()
    for count in (1, 2):
        clock.move(hours=1)
        assert await leased(parties.runtime) == {"ACCESS_TOKEN": parties.provider.access_tokens[count].encode()}


async def test_a_refused_renewal_asks_for_a_person(
    parties: Parties, clock: SetClock, audit: Callable[[], Awaitable[Any]]
) -> None:
    await create(parties.config, value=b"pasted")
    await update(parties.config, {}, {"ACCESS_TOKEN": TOKEN})
    await parties.connect()
    before = await lease(parties.runtime)
    parties.provider.revoke()
    clock.move(hours=1)
    for _ in range(2):
        error = await refused(lease(parties.runtime), "CONNECTION_NEEDS_REAUTH")
    assert (error.fix, error.metadata["connection"]) == ("sign in again: hardpoint connect weather", CONNECTION)
    assert parties.provider.renewals == 1, "a refusal is remembered"
    assert (await parties.get()).state == config_pb2.CONNECTION_STATE_NEEDS_REAUTH
    assert "connection.needs_reauth" in {event.action for event in await audit()}
    with pytest.raises(HardpointError):
        await redeem(parties.runtime, before.token)
    # The client is kept, so signing in again is one link.
    await parties.complete(**await parties.consent(await parties.begin(client_id="", client_secret=b"")))
    assert await leased(parties.runtime) == {"ACCESS_TOKEN": parties.provider.access_tokens[-1].encode()}


async def test_a_provider_that_is_away_loses_nothing(parties: Parties, clock: SetClock) -> None:
    await parties.connect()
    parties.provider.instead = lambda _asked: (503, {})
    clock.move(minutes=59, seconds=30)
    assert await leased(parties.runtime) == {"ACCESS_TOKEN": parties.provider.access_tokens[0].encode()}
    clock.move(seconds=30)
    await refused(lease(parties.runtime), "UNAVAILABLE", Unavailable)
    parties.provider.instead = None
    assert await leased(parties.runtime) == {"ACCESS_TOKEN": parties.provider.access_tokens[1].encode()}


async def test_a_token_that_cannot_be_renewed_is_used_to_its_end(parties: Parties, clock: SetClock) -> None:
    await parties.offer()
    back = await parties.consent(await parties.begin())
    parties.provider.instead = lambda _asked: (200, {"access_token": "short", "expires_in": 100})
    await parties.complete(**back)
    clock.move(seconds=90)
    assert await leased(parties.runtime) == {"ACCESS_TOKEN": b"short"}
    clock.move(seconds=10)
    await refused(lease(parties.runtime), "CONNECTION_NEEDS_REAUTH")


async def test_a_token_without_an_end_is_never_renewed(parties: Parties, clock: SetClock) -> None:
    parties.provider.expires_in = None
    await parties.connect()
    clock.move(days=300)
    assert await leased(parties.runtime) == {"ACCESS_TOKEN": parties.provider.access_tokens[0].encode()}
    assert parties.provider.renewals == 0


async def test_who_asked_may_go_away_and_the_new_token_stays(
    parties: Parties, clock: SetClock, url: str, server: Server, dial: Dial
) -> None:
    """A refresh token that was exchanged is good no more: the answer is kept whoever still waits for it."""
    await parties.connect()
    clock.move(hours=1)
    held = Held(parties.provider, b"refresh_token")
    asking = asyncio.create_task(lease(parties.runtime))
    await held.asked()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    held.end.set()
    assert await leased(parties.runtime) == {"ACCESS_TOKEN": parties.provider.access_tokens[1].encode()}
    assert parties.provider.renewals == 1


async def test_what_is_offered_during_a_renewal_is_kept_with_it(parties: Parties, clock: SetClock) -> None:
    await parties.connect()
    clock.move(hours=1)
    held = Held(parties.provider, b"refresh_token")
    asking = asyncio.create_task(lease(parties.runtime))
    await held.asked()
    await parties.offer(scopes=["chat:write"])
    others = asyncio.create_task(lease(parties.runtime))
    held.end.set()
    await asyncio.gather(asking, others)
    assert parties.provider.renewals == 1
    found = await parties.get()
    assert (list(found.provider.scopes), found.state) == (["chat:write"], config_pb2.CONNECTION_STATE_ACTIVE)
    assert await leased(parties.runtime) == {"ACCESS_TOKEN": parties.provider.access_tokens[1].encode()}


async def test_who_signs_in_goes_before_a_renewal(parties: Parties, clock: SetClock) -> None:
    await parties.connect()
    clock.move(hours=1)
    answer = await parties.consent(await parties.begin())
    held = Held(parties.provider, b"authorization_code")
    completing = asyncio.create_task(parties.complete(**answer))
    await held.asked()
    await lease(parties.runtime)
    held.end.set()
    await completing
    assert await leased(parties.runtime) == {"ACCESS_TOKEN": parties.provider.access_tokens[2].encode()}


class Held:
    """A provider that answers one kind of grant when `end` is set, at the latest after four seconds."""

    def __init__(self, given: Provider, grant: bytes) -> None:
        self.end, self._asked = Event(), Event()

        def slow(request: Any) -> Any:
            if grant in request.body:
                self._asked.set()
                self.end.wait(4)
            return given.token(request)

        given.instead = slow

    async def asked(self) -> None:
        assert await asyncio.to_thread(self._asked.wait, 5)


# --- nothing shows a token ---


async def test_tokens_and_secrets_are_found_nowhere(
    parties: Parties,
    clock: SetClock,
    url: str,
    audit: Callable[[], Awaitable[Any]],
    caplog: pytest.LogCaptureFixture,
    spans: InMemorySpanExporter,  # noqa: F811
) -> None:
    told: list[Any] = []
    with caplog.at_level(logging.DEBUG):
        told.append(await parties.connect())
        answer = await parties.consent(await parties.begin())
        told.append(await refused(parties.complete(state=answer["state"], code="code-canary-x"), "SIGN_IN_REFUSED"))
        clock.move(hours=1)
        await lease(parties.runtime)
        parties.provider.revoke()
        clock.move(hours=1)
        told.append(await refused(lease(parties.runtime), "CONNECTION_NEEDS_REAUTH"))
        told += [await parties.get(), await read_settings(parties.config), list(await audit())]
    traced = "\n".join(span.to_json() for span in spans.get_finished_spans())
    shown = [f"{one!r} {one} {getattr(one, 'metadata', '')}" for one in told]
    everywhere = "\n".join([*shown, lines(caplog), await dump(url), traced])
    assert "CompleteConnection" in traced
    assert len(parties.provider.secrets) > 6
    for secret in parties.provider.secrets:
        assert secret not in everywhere


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
