"""Orgs are kept apart by the database itself, migrations run once, and a lost server is an error to act on."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import IntegrityError, ProgrammingError
from structlog.testing import capture_logs

from hardpoint_kit.database import Database, migrate
from hardpoint_kit.errors import Conflict, DeadlineExceeded, Unavailable

WRITE = text("INSERT INTO notes (org, note) VALUES (:org, :note)")
READ = text("SELECT note FROM notes ORDER BY note")


@pytest.fixture
async def database(database_url: Any) -> AsyncIterator[Database]:
    database = Database(await database_url("kit.example"), pool_size=2)
    yield database
    await database.close()


async def notes(database: Database, org: str) -> list[str]:
    async with database.transaction(org) as connection:
        return list((await connection.scalars(READ)).all())


async def write(database: Database, org: str, *several: str, as_org: str = "", fail: bool = False) -> None:
    async with database.transaction(as_org or org) as connection:
        for note in several:
            await connection.execute(WRITE, {"org": org, "note": note})
        if fail:
            raise KeyError


async def run(database: Database, org: str, statement: str) -> int:
    async with database.transaction(org) as connection:
        return (await connection.execute(text(statement))).rowcount


async def test_rows_are_seen_by_their_org_only(database: Database) -> None:
    await write(database, "acme", "a")
    await write(database, "other", "b")
    assert await notes(database, "acme") == ["a"]
    assert await notes(database, "other") == ["b"]
    assert await notes(database, "third") == []
    assert await notes(database, "*") == ["a", "b"]
    assert await notes(database, "") == []


async def test_rows_of_another_org_cannot_be_written_changed_or_removed(database: Database) -> None:
    await write(database, "other", "b")
    with pytest.raises(ProgrammingError, match="row-level security"):
        await write(database, "other", "planted", as_org="acme")
    with pytest.raises(ProgrammingError, match="row-level security"):
        await run(database, "other", "UPDATE notes SET org = 'acme'")
    assert await run(database, "acme", "UPDATE notes SET note = 'x'") == 0
    assert await run(database, "acme", "DELETE FROM notes") == 0
    assert await notes(database, "*") == ["b"]


async def test_org_ends_with_its_transaction(database: Database) -> None:
    await write(database, "acme", "a")
    async with database.engine.connect() as connection:
        assert (await connection.scalars(READ)).all() == []


async def test_block_that_raises_writes_nothing(database: Database) -> None:
    with pytest.raises(KeyError):
        await write(database, "acme", "a", fail=True)
    with pytest.raises(IntegrityError) as caught:
        await write(database, "acme", "hunter2", "hunter2")
    assert "hunter2" not in str(caught.value).partition("DETAIL")[0]
    assert await notes(database, "*") == []


async def test_cancelled_work_writes_nothing_and_returns_its_connection(database: Database) -> None:
    arrived = asyncio.Event()

    async def work() -> None:
        async with database.transaction("acme") as connection:
            await connection.execute(WRITE, {"org": "acme", "note": "a"})
            arrived.set()
            await connection.execute(text("SELECT pg_sleep(60)"))

    for _ in range(3):
        arrived.clear()
        running = asyncio.create_task(work())
        await arrived.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert await notes(database, "*") == []


async def test_connections_killed_meanwhile_are_replaced_unseen(database: Database, postgres: Any) -> None:
    await asyncio.gather(notes(database, "*"), notes(database, "*"))
    await _kill(postgres, database)
    assert await notes(database, "*") == []
    assert await database.reasons_not_ready() == []


async def test_connection_killed_in_the_middle_is_unavailable(database: Database, postgres: Any) -> None:
    async def work() -> None:
        async with database.transaction("acme") as connection:
            await _kill(postgres, database)
            await connection.execute(READ)

    with pytest.raises(Unavailable) as caught:
        await work()
    assert caught.value.retry_after is not None
    assert await notes(database, "*") == []


async def _kill(postgres: Any, database: Database) -> None:
    async with await postgres.connect() as admin:
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [database.engine.url.database]
        )


async def test_a_disk_without_room_is_said_to_be_that(database: Database) -> None:
    with capture_logs() as logs, pytest.raises(Unavailable, match="the database has no room left") as caught:
        async with database.transaction("acme") as connection:
            await connection.execute(text("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'disk_full'; END $$"))
    assert "free space" in caught.value.fix
    assert [one["log_level"] for one in logs] == ["error"]


async def test_database_out_of_reach_is_unavailable() -> None:
    nowhere = Database("postgresql+psycopg://nobody:x@127.0.0.1:1/none")
    with pytest.raises(Unavailable) as caught:
        await notes(nowhere, "*")
    assert caught.value.fix
    assert await nowhere.reasons_not_ready() == ["the database cannot be reached"]
    with pytest.raises(Unavailable):
        await nowhere.wait(seconds=0.2)
    with pytest.raises(Unavailable):
        await migrate("postgresql://nobody:x@127.0.0.1:1/none", "kit.example")


async def test_pool_that_is_used_up_is_unavailable(database_url: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardpoint_kit.database.POOL_SECONDS", 0.05)
    database = Database(await database_url("kit.example"), pool_size=1)
    async with database.transaction("*"):
        with pytest.raises(Unavailable):
            await notes(database, "*")
    await database.close()


async def test_slow_statement_is_ended(database_url: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardpoint_kit.database.STATEMENT_SECONDS", 1)
    database = Database(await database_url("kit.example"))
    with pytest.raises(DeadlineExceeded):
        await run(database, "*", "SELECT pg_sleep(60)")
    await database.close()


async def test_concurrent_starters_migrate_once(database_url: Any) -> None:
    url = await database_url()
    await asyncio.gather(*(migrate(url, "kit.example") for _ in range(4)))
    await migrate(url, "kit.example")
    database = Database(url)
    async with database.transaction("*") as connection:
        assert (await connection.scalars(text("SELECT version_num FROM alembic_version"))).all() == ["0001"]
    await database.close()


async def test_databases_of_several_units_are_migrated_at_once(database_url: Any) -> None:
    urls = [await database_url() for _ in range(3)]
    await asyncio.gather(*(migrate(url, "kit.example") for url in urls))
    for url in urls:
        database = Database(url)
        async with database.transaction("*") as connection:
            assert (await connection.scalars(text("SELECT version_num FROM alembic_version"))).all() == ["0001"]
        await database.close()


async def test_role_that_bypasses_row_level_security_is_refused(database_url: Any, postgres: Any) -> None:
    url = await database_url()
    role = make_url(url).username
    async with await postgres.connect() as admin:
        await admin.execute(f"CREATE ROLE {role}_bypassing LOGIN BYPASSRLS PASSWORD 'x' IN ROLE {role}")
        try:
            bypassing = make_url(url).set(username=f"{role}_bypassing", password="x")
            with pytest.raises(Conflict) as caught:
                await migrate(bypassing.render_as_string(hide_password=False), "kit.example")
        finally:
            await admin.execute(f"DROP ROLE {role}_bypassing")
    assert "BYPASSRLS" in caught.value.fix
