"""Accounts of single people: each call has the token of whom it is for, and never another's."""

import asyncio
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from config.calls import NAME, TOKEN, create, leased, read_settings, redeem, update
from config.connections.conftest import CONNECTION, HOST, As, Held, Parties, refused
from hardpoint.config.v1 import config_pb2
from hardpoint_kit.errors import NotFound, PermissionDenied
from providers import CLIENT_ID, CLIENT_SECRET
from serving import SetClock


async def each_user(parties: Parties, **changed: Any) -> Any:
    await parties.offer(**changed)
    request = config_pb2.ConnectUsersRequest(
        name=CONNECTION,
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET.encode(),
        redirect_uri=parties.provider.redirect_uri,
    )
    return await parties.config.ConnectUsers(request)


async def begin_own(config: Any, parties: Parties) -> str:
    request = config_pb2.BeginOwnConnectionRequest(name=CONNECTION, redirect_uri=parties.provider.redirect_uri)
    return str((await config.BeginOwnConnection(request)).authorization_url)


async def complete_own(config: Any, **answer: str) -> Any:
    return await config.CompleteOwnConnection(config_pb2.CompleteOwnConnectionRequest(name=CONNECTION, **answer))


async def connect_own(config: Any, parties: Parties) -> str:
    """Sign somebody in; the access token that the provider gave for it."""
    answer = await parties.consent(await begin_own(config, parties))
    await complete_own(config, **answer)
    return parties.provider.access_tokens[-1]


async def lease_for(runtime: Any, user: str = "") -> Any:
    return await runtime.CreateLease(config_pb2.CreateLeaseRequest(settings=NAME, user=user))


async def token_for(runtime: Any, user: str = "") -> str:
    """The token that a lease for somebody opens, empty where it opens none."""
    opened = await redeem(runtime, (await lease_for(runtime, user)).token)
    return opened.secrets.get("ACCESS_TOKEN", b"").decode()


async def test_each_call_has_the_token_of_whom_it_is_for(parties: Parties, as_subject: As) -> None:
    changed = await each_user(parties)
    assert (changed.per_user, changed.state, changed.user) == (True, config_pb2.CONNECTION_STATE_PENDING, "")
    assert (await read_settings(parties.config)).connected_key == "ACCESS_TOKEN"
    anna, bob = as_subject("anna"), as_subject("bob", "agent")
    tokens = {"anna": await connect_own(anna, parties), "bob": await connect_own(bob, parties)}
    for user in ("anna", "bob", "anna"):
        assert await token_for(parties.runtime, user) == tokens[user]
    made = await lease_for(parties.runtime)
    assert (made.per_user, await token_for(parties.runtime)) == (True, "")

    error = await refused(lease_for(parties.runtime, "eve"), "CONNECTION_NEEDS_REAUTH")
    assert (error.metadata["user"], error.fix) == ("eve", "have eve sign in: hardpoint connect weather --me")
    again = await refused(lease_for(parties.runtime, "eve"), "CONNECTION_NEEDS_REAUTH")
    assert again.metadata["link"] == error.metadata["link"], "whoever tries on makes no more links"
    # Whoever gets hold of the link signs nobody in with it: its end is eve's alone.
    answer = await parties.consent(error.metadata["link"])
    await refused(complete_own(bob, **answer), "SIGN_IN_INVALID")
    await refused(parties.complete(**answer), "SIGN_IN_INVALID")
    eve = as_subject("eve")
    await complete_own(eve, **answer)
    assert await token_for(parties.runtime, "eve") == parties.provider.access_tokens[-1]
    await eve.DeleteOwnConnection(config_pb2.DeleteOwnConnectionRequest(name=CONNECTION))
    error = await refused(lease_for(parties.runtime, "eve"), "CONNECTION_NEEDS_REAUTH")
    await complete_own(eve, **await parties.consent(error.metadata["link"]))
    assert await token_for(parties.runtime, "bob") == tokens["bob"]


async def test_a_link_that_is_shown_can_be_followed(parties: Parties, as_subject: As) -> None:
    async def link() -> str:
        error = await refused(lease_for(parties.runtime, "eve"), "CONNECTION_NEEDS_REAUTH")
        return str(error.metadata["link"])

    await each_user(parties)
    eve = as_subject("eve")
    await complete_own(eve, **await parties.consent(await link()))
    await eve.DeleteOwnConnection(config_pb2.DeleteOwnConnectionRequest(name=CONNECTION))
    again = await link()
    await complete_own(eve, **await parties.consent(again))
    await eve.DeleteOwnConnection(config_pb2.DeleteOwnConnectionRequest(name=CONNECTION))
    # With the connection goes every sign-in that was begun for it.
    await link()
    await parties.config.DeleteConnection(config_pb2.DeleteConnectionRequest(name=CONNECTION))
    await each_user(parties)
    await complete_own(eve, **await parties.consent(await link()))
    assert await token_for(parties.runtime, "eve") == parties.provider.access_tokens[-1]


async def test_one_sees_ones_own_and_an_operator_that_there_are_some(
    parties: Parties, as_subject: As, audit: Any
) -> None:
    await each_user(parties)
    anna, bob = as_subject("anna"), as_subject("bob")
    await connect_own(anna, parties)
    tokens = parties.provider.secrets
    await connect_own(bob, parties)
    own = config_pb2.ListOwnConnectionsRequest(parent="orgs/acme")
    assert [one.user for one in (await anna.ListOwnConnections(own)).connections] == ["anna"]
    with pytest.raises(NotFound):
        await as_subject("anna", org="other").ListOwnConnections(own)
    of_users = config_pb2.ListUserConnectionsRequest(name=CONNECTION, page_size=1)
    with pytest.raises(PermissionDenied):
        await bob.ListUserConnections(of_users)
    first = await parties.config.ListUserConnections(of_users)
    of_users.page_token = first.next_page_token
    second = await parties.config.ListUserConnections(of_users)
    assert [one.user for page in (first, second) for one in page.connections] == ["anna", "bob"]
    assert not any(secret in str(first) + str(second) for secret in tokens)

    delete = config_pb2.DeleteUserConnectionRequest(name=CONNECTION, user="anna")
    with pytest.raises(PermissionDenied):
        await bob.DeleteUserConnection(delete)
    await parties.config.DeleteUserConnection(delete)
    await refused(lease_for(parties.runtime, "anna"), "CONNECTION_NEEDS_REAUTH")
    assert await token_for(parties.runtime, "bob") == parties.provider.access_tokens[-1]
    await bob.DeleteOwnConnection(config_pb2.DeleteOwnConnectionRequest(name=CONNECTION, request_id="d1"))
    with pytest.raises(NotFound):
        await as_subject("eve").DeleteOwnConnection(config_pb2.DeleteOwnConnectionRequest(name=CONNECTION))
    deleted = [event for event in await audit() if event.action == "connection.delete"]
    assert [event.facts["user"] for event in deleted] == ["bob", "anna"]


async def test_the_org_and_people_never_take_each_others_place(parties: Parties, as_subject: As) -> None:
    await create(parties.config, value=b"pasted")
    await update(parties.config, {}, {"ACCESS_TOKEN": TOKEN})
    await parties.connect()
    anna = as_subject("anna")
    await refused(begin_own(anna, parties), "CONNECTION_PER_USER")
    of_the_org = await lease_for(parties.runtime, "anna")
    assert not of_the_org.per_user
    begun = await parties.consent(await parties.begin())
    await each_user(parties)
    # What was lent, bound or begun for everybody opens nothing any more.
    assert (await redeem(parties.runtime, of_the_org.token)).secrets == {}
    await refused(parties.complete(**begun), "SIGN_IN_INVALID")
    await refused(parties.begin(), "CONNECTION_PER_USER")
    token = await connect_own(anna, parties)
    of_anna = await lease_for(parties.runtime, "anna")
    assert (await redeem(parties.runtime, of_anna.token)).secrets == {"ACCESS_TOKEN": token.encode()}
    # The end of it is explicit, and takes everybody's with it.
    begun = await parties.consent(await begin_own(anna, parties))
    await parties.config.DeleteConnection(config_pb2.DeleteConnectionRequest(name=CONNECTION))
    await parties.offer()
    await refused(complete_own(anna, **begun), "SIGN_IN_INVALID")
    assert (await redeem(parties.runtime, of_anna.token)).secrets == {"ACCESS_TOKEN": b"pasted"}


async def test_a_client_secret_goes_to_no_other_provider_of_people(parties: Parties, as_subject: As) -> None:
    await each_user(parties)
    await connect_own(as_subject("anna"), parties)
    moved = await parties.offer(token_url=f"https://{HOST}/elsewhere")
    assert (moved.per_user, moved.client_id) == (False, "")
    assert await leased(parties.runtime) == {}
    listed = await parties.config.ListUserConnections(config_pb2.ListUserConnectionsRequest(name=CONNECTION))
    assert not listed.connections


async def test_many_people_at_once_while_their_tokens_are_renewed(
    parties: Parties, as_subject: As, clock: SetClock
) -> None:
    await each_user(parties)
    people = [f"user-{number}" for number in range(4)]
    for user in people:
        await connect_own(as_subject(user), parties)
    for count in (1, 2):
        clock.move(minutes=59, seconds=30)
        found = await asyncio.gather(*(token_for(parties.runtime, user) for user in people * 5))
        assert parties.provider.renewals == count * len(people), "once for each of them"
        assert len(set(found)) == len(people)
        assert found == found[: len(people)] * 5


async def test_a_renewal_that_comes_late_does_not_undo_a_new_sign_in(
    parties: Parties, as_subject: As, clock: SetClock
) -> None:
    await each_user(parties)
    anna = as_subject("anna")
    await connect_own(anna, parties)
    clock.move(hours=1)
    held = Held(parties.provider, b"refresh_token")
    waiting = asyncio.create_task(token_for(parties.runtime, "anna"))
    await held.asked()
    await anna.DeleteOwnConnection(config_pb2.DeleteOwnConnectionRequest(name=CONNECTION))
    fresh = await connect_own(anna, parties)
    held.end.set()
    assert await waiting == fresh
    assert await token_for(parties.runtime, "anna") == fresh


async def test_a_lost_account_is_one_persons(parties: Parties, as_subject: As, clock: SetClock) -> None:
    await each_user(parties)
    anna = as_subject("anna")
    await connect_own(anna, parties)
    parties.provider.revoke()
    await connect_own(as_subject("bob"), parties)
    clock.move(hours=1)
    error = await refused(lease_for(parties.runtime, "anna"), "CONNECTION_NEEDS_REAUTH")
    assert parse_qs(urlsplit(error.metadata["link"]).query)["redirect_uri"] == [parties.provider.redirect_uri]
    assert await token_for(parties.runtime, "bob") == parties.provider.access_tokens[-1]
    token = await connect_own(anna, parties)
    assert await token_for(parties.runtime, "anna") == token
