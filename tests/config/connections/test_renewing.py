"""Tokens are renewed once before they end, whoever asks; what cannot be renewed asks for a person."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from config.calls import NAME, TOKEN, create, lease, leased, redeem, update
from config.conftest import Dial, MakeUnit
from config.connections.conftest import CONNECTION, As, Held, Parties, refused
from hardpoint.config.v1 import config_pb2
from hardpoint_kit.errors import HardpointError, PermissionDenied, Unavailable
from hardpoint_kit.rpc.server import Server
from providers import CLIENT_ID, CLIENT_SECRET
from serving import Serve, SetClock


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
    assert error.fix == "have an operator of acme sign in again: hardpoint connect weather"
    assert (error.metadata["connection"], "link" in error.metadata) == (CONNECTION, False)
    assert parties.provider.renewals == 1, "a refusal is remembered"
    assert (await parties.get()).state == config_pb2.CONNECTION_STATE_NEEDS_REAUTH
    assert "connection.needs_reauth" in {event.action for event in await audit()}
    with pytest.raises(HardpointError):
        await redeem(parties.runtime, before.token)
    # The client is kept, so signing in again is one link.
    await parties.complete(**await parties.consent(await parties.begin(client_id="", client_secret=b"")))
    assert await leased(parties.runtime) == {"ACCESS_TOKEN": parties.provider.access_tokens[-1].encode()}


async def test_who_may_sign_the_org_in_is_given_one_link_that_is_theirs_alone(
    parties: Parties, as_subject: As, clock: SetClock
) -> None:
    ops, anna, agent = (as_subject(*who) for who in (("ops", "operator"), ("anna", "admin"), ("ops", "agent")))
    await parties.connect()
    parties.provider.revoke()
    clock.move(hours=1)

    async def link(signer: str) -> str:
        request = config_pb2.CreateLeaseRequest(settings=NAME, signer=signer)
        error = await refused(parties.runtime.CreateLease(request), "CONNECTION_NEEDS_REAUTH")
        assert error.fix == "sign in again: hardpoint connect weather"
        return error.metadata["link"]

    # However many calls are refused at once, and after one another, and for whom.
    [links] = {tuple(await asyncio.gather(*(link("ops") for _ in range(5)))) for _ in range(2)}
    assert len(set(links)) == 1
    assert await link("anna") != links[0]
    assert parse_qs(urlsplit(links[0]).query)["code_challenge_method"] == ["S256"]
    assert "link" not in (await refused(lease(parties.runtime), "CONNECTION_NEEDS_REAUTH")).metadata

    answer = await parties.consent(links[0])
    own = config_pb2.CompleteOwnConnectionRequest(name=CONNECTION, **answer)
    await refused(ops.CompleteOwnConnection(own), "SIGN_IN_INVALID")
    await refused(parties.complete(anna, **answer), "SIGN_IN_INVALID")
    with pytest.raises(PermissionDenied):
        await parties.complete(agent, **answer)
    await parties.complete(ops, **answer)
    assert await leased(parties.runtime) == {"ACCESS_TOKEN": parties.provider.access_tokens[-1].encode()}
    await refused(parties.complete(ops, **answer), "SIGN_IN_INVALID")

    # A link that was followed, or has ended, is given to nobody again.
    parties.provider.revoke()
    clock.move(hours=1)
    assert await link("ops") != links[0]


async def test_where_no_person_signs_in_there_is_no_link(parties: Parties, clock: SetClock) -> None:
    await parties.offer(grant="client_credentials")
    client = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET.encode()}
    await parties.config.ConnectClient(config_pb2.ConnectClientRequest(name=CONNECTION, **client))
    clock.move(hours=1)
    parties.provider.instead = lambda _asked: (401, {"error": "invalid_client"})
    request = config_pb2.CreateLeaseRequest(settings=NAME, signer="ops")
    error = await refused(parties.runtime.CreateLease(request), "CONNECTION_NEEDS_REAUTH")
    assert (error.fix, "link" in error.metadata) == ("sign in again: hardpoint connect weather", False)


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
