"""Leases: who gets one, what it opens, and for how long."""

import hashlib
from typing import Any

import pytest
from sqlalchemy import text

from config.calls import TOKEN, create, lease, redeem, rotate, update
from config.conftest import Dial, MakeUnit
from hardpoint_kit.database import Database
from hardpoint_kit.errors import NotFound, PermissionDenied, Unauthenticated
from hardpoint_kit.rpc.server import Server
from serving import Serve, SetClock


async def test_the_holder_of_a_token_reads_values_and_secrets(
    config: Any, runtime: Any, server: Server, dial: Dial
) -> None:
    await create(config, value=b"one")
    await update(config, {"CITY": "Oslo"}, {"KEY": TOKEN})
    made = await lease(runtime)
    found = await redeem(dial(server, role=""), made.token)
    assert found.values["CITY"] == "Oslo"
    assert dict(found.secrets) == {"KEY": b"one"}
    assert found.expire_time == made.expire_time


async def test_a_lease_opens_the_values_of_now(config: Any, runtime: Any) -> None:
    await create(config, value=b"one")
    made = await lease(runtime)
    assert not (await redeem(runtime, made.token)).secrets
    await update(config, {"CITY": "Oslo"}, {"KEY": TOKEN})
    await rotate(config, value=b"two")
    found = await redeem(runtime, made.token)
    assert (found.values["CITY"], found.secrets["KEY"]) == ("Oslo", b"two")


async def test_a_lease_opens_its_own_document_only(config: Any, runtime: Any, server: Server, dial: Dial) -> None:
    await update(config, {"MINE": 1})
    await update(dial(server, "other"), {"THEIRS": 1}, name="orgs/other/settings/weather")
    found = await redeem(runtime, (await lease(runtime, "orgs/acme/settings/other")).token)
    assert len(found.values) == 0


async def test_a_lease_ends(config: Any, runtime: Any, clock: SetClock) -> None:
    made = await lease(runtime)
    clock.move(seconds=299)
    await redeem(runtime, made.token)
    clock.move(seconds=1)
    with pytest.raises(Unauthenticated) as refused:
        await redeem(runtime, made.token)
    assert refused.value.reason == "TICKET_INVALID"


async def test_how_long_is_an_option(make_unit: MakeUnit, serve: Serve, dial: Dial, clock: SetClock) -> None:
    runtime = dial(await serve(make_unit(config_lease_seconds=10)), role="service")
    made = await lease(runtime)
    clock.move(seconds=10)
    with pytest.raises(Unauthenticated):
        await redeem(runtime, made.token)


async def test_an_unknown_token_opens_nothing(runtime: Any) -> None:
    await lease(runtime)
    for token in ("guess", "A" * 43, "é"):
        with pytest.raises(Unauthenticated) as refused:
            await redeem(runtime, token)
        assert refused.value.reason == "TICKET_INVALID"


async def test_only_a_hash_of_the_token_is_stored(runtime: Any, url: str) -> None:
    made = await lease(runtime)
    assert len(made.token) >= 43
    database = Database(url)
    async with database.transaction("*") as connection:
        (row,) = (await connection.execute(text("SELECT hash, leases::text AS everything FROM leases"))).all()
    await database.close()
    assert bytes(row.hash) == hashlib.sha256(made.token.encode()).digest()
    assert made.token not in row.everything


async def test_people_and_agents_get_no_lease(server: Server, dial: Dial) -> None:
    for role in ("admin", "operator", "agent"):
        with pytest.raises(PermissionDenied):
            await lease(dial(server, role=role))


async def test_a_lease_is_for_the_org_that_is_acted_for(server: Server, dial: Dial) -> None:
    with pytest.raises(NotFound):
        await lease(dial(server, "other", role="service"))


async def test_leases_that_are_over_are_removed_with_the_next_one(runtime: Any, clock: SetClock, url: str) -> None:
    for _ in range(3):
        await lease(runtime)
    clock.move(minutes=10)
    await lease(runtime)
    database = Database(url)
    async with database.transaction("*") as connection:
        assert await connection.scalar(text("SELECT count(*) FROM leases")) == 1
    await database.close()
