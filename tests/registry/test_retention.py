"""Artifacts that no release uses are forgotten after their term, and never under the hands of whoever begins to."""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from hardpoint_kit.database import Database
from hardpoint_kit.errors import NotFound
from hardpoint_registry.blobs import forget_unused
from hardpoint_registry.domain import Artifact
from hardpoint_registry.store import Store
from hardpoint_registry.upload import digest_of
from registry.client import Client, chunks, header, weather
from registry.conftest import Dial, MakeUnit
from serving import Serve, SetClock, eventually

BYTES = b"capability: {}"
DIGEST = digest_of(BYTES)


@pytest.fixture
def clock() -> SetClock:
    """A clock that starts now: artifacts are dated by the database."""
    return SetClock(datetime.now(UTC))


async def stored(database: Database) -> tuple[int, int]:
    """How many artifacts and how many blobs there are."""
    async with database.transaction("*") as connection:
        return tuple(  # type: ignore[return-value]
            [await connection.scalar(text(f"SELECT count(*) FROM {table}")) for table in ("artifacts", "blobs")]
        )


async def forget(database: Database, *, days: float = 1, most: int = 50) -> int:
    """Forget what is unused as if some days had passed."""
    async with database.transaction("*") as connection:
        return await forget_unused(connection, datetime.now(UTC) + timedelta(days=days), most)


async def upload(client: Client, data: bytes = BYTES) -> None:
    await client.upload(header(data, client.org), *chunks(data))


async def test_what_no_release_uses_goes_and_the_rest_stays(builder: Client, database: Database) -> None:
    release = await builder.released(weather())
    draft = await builder.draft(weather("1.1.0"))
    await upload(builder)
    assert await forget(database, days=-1) == 0
    assert await forget(database) == 1
    assert await stored(database) == (2, 2)
    for name in (release.name, draft.name):
        ticket = await builder.ticket(name)
        assert await builder.read((await builder.release(name)).artifact.digest, ticket.ticket)
    await builder.delete(draft.name)
    assert await forget(database) == 1
    assert await stored(database) == (1, 1)


async def test_bytes_go_with_the_last_org_that_has_them(builder: Client, dial: Dial, database: Database) -> None:
    await builder.draft(weather())
    await upload(dial("globex"), weather())
    assert await stored(database) == (2, 1)
    assert await forget(database) == 1
    assert await stored(database) == (1, 1)


async def test_many_go_in_batches(builder: Client, database: Database) -> None:
    for number in range(5):
        await upload(builder, b"%d" % number)
    assert [await forget(database, most=2) for _ in range(3)] == [2, 2, 1]
    assert await stored(database) == (0, 0)


async def test_bytes_that_come_again_are_young_again(builder: Client, dial: Dial, database: Database) -> None:
    await upload(builder)
    async with database.transaction("*") as connection:
        await connection.execute(text("UPDATE artifacts SET created_at = created_at - interval '30 days'"))
    await upload(builder)
    assert await forget(database, days=-1) == 0
    assert [event.action for event in await dial("acme", "admin").events()] == ["artifact.upload"], "once, as before"


async def test_what_an_upload_is_about_to_use_is_left(store: Store, builder: Client, database: Database) -> None:
    """Another org is uploading the same bytes, or this one again, and has not committed yet."""
    await upload(builder)
    for org in ("globex", "acme"):
        async with store.transaction(org) as tx:
            await tx.blobs.add(org, Artifact(DIGEST, len(BYTES)), BYTES)
            assert await forget(database) == 0
        async with store.transaction(org) as tx:
            assert await tx.blobs.read(org, DIGEST) == BYTES


async def test_what_a_release_is_being_made_of_is_left(store: Store, builder: Client, database: Database) -> None:
    await upload(builder)
    async with store.transaction("acme") as tx:
        await tx.blobs.hold("acme", DIGEST)
        assert await forget(database) == 0
    assert await forget(database) == 1
    async with store.transaction("acme") as tx:
        with pytest.raises(NotFound) as gone:
            await tx.blobs.hold("acme", DIGEST)
    assert gone.value.fix == "upload it again"


async def test_an_upload_that_comes_while_its_bytes_are_forgotten_keeps_them(
    store: Store, builder: Client, database: Database
) -> None:
    await upload(builder)
    began = asyncio.Event()

    async def again() -> None:
        async with store.transaction("acme") as tx:
            began.set()
            await tx.blobs.add("acme", Artifact(DIGEST, len(BYTES)), BYTES)

    async with database.transaction("*") as connection:
        assert await forget_unused(connection, datetime.now(UTC) + timedelta(days=1), 50) == 1
        uploading = asyncio.create_task(again())
        await began.wait()
    async with asyncio.timeout(20):
        await uploading
    async with store.transaction("acme") as tx:
        assert await tx.blobs.read("acme", DIGEST) == BYTES


async def test_uploads_releases_and_sweeps_at_once_all_end_well(builder: Client, database: Database) -> None:
    async def sweep() -> None:
        for _ in range(20):
            await forget(database)

    async def make(number: int) -> None:
        made = False
        while not made:  # what was swept between its upload and its release is said, and uploaded again
            with contextlib.suppress(NotFound):
                made = (await builder.create(weather(f"1.0.{number}"))).created

    await asyncio.gather(sweep(), *(make(number) for number in range(8)))
    await forget(database)
    assert await stored(database) == (8, 8)


async def test_the_unit_sweeps_by_its_option(
    builder: Client, database: Database, clock: SetClock, make_unit: MakeUnit, serve: Serve
) -> None:
    await builder.draft(weather())
    await upload(builder)
    clock.move(days=7.1)
    await serve(make_unit())

    async def swept() -> bool:
        return await stored(database) == (1, 1)

    await eventually(swept)
