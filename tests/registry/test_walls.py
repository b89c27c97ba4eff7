"""The second wall: what raw SQL reaches as the registry's own role, were every check in the code missing."""

from collections.abc import Sequence
from typing import Any

import pytest
import sqlalchemy.exc
from sqlalchemy import text

from hardpoint.registry.v1 import registry_pb2 as pb
from hardpoint_kit.database import Database
from registry.client import CAPABILITY, Client, weather
from registry.conftest import Dial

TABLES = ("capabilities", "releases", "artifacts", "blobs", "ticket_keys", "requests", "audit_events")


async def rows(database: Database, org: str, statement: str) -> Sequence[Any]:
    async with database.transaction(org) as connection:
        return (await connection.execute(text(statement))).all()


async def changed(database: Database, org: str, statement: str) -> int:
    async with database.transaction(org) as connection:
        return (await connection.execute(text(statement))).rowcount


async def test_nothing_private_is_seen_by_another_org(builder: Client, database: Database) -> None:
    await builder.create(weather(), request_id="r")
    await builder.released(weather("1.1.0"))
    await builder.released(weather("1.2.0", id="other"), visibility=pb.VISIBILITY_ORGANIZATION)
    await builder.draft(weather(id="planned"), visibility=pb.VISIBILITY_PUBLIC)
    await builder.ticket(f"{CAPABILITY}/releases/1.1.0")
    for table in TABLES:
        assert await rows(database, "*", f"SELECT * FROM {table}")
        assert not await rows(database, "globex", f"SELECT * FROM {table}")
        assert not await rows(database, "", f"SELECT * FROM {table}")


async def test_of_what_is_public_another_org_sees_what_was_published(builder: Client, database: Database) -> None:
    await builder.released(weather("1.0.0"), visibility=pb.VISIBILITY_PUBLIC)
    await builder.yank((await builder.released(weather("1.1.0"))).name)
    await builder.draft(weather("2.0.0"))
    await builder.released(weather(id="hidden"))

    assert await rows(database, "globex", "SELECT capability FROM capabilities") == [("weather",)]
    assert await rows(database, "globex", "SELECT version, state FROM releases ORDER BY version") == [
        ("1.0.0", "published"),
        ("1.1.0", "yanked"),
    ]
    for table in ("artifacts", "blobs", "ticket_keys", "requests", "audit_events"):
        assert not await rows(database, "globex", f"SELECT * FROM {table}")

    await builder.show(pb.VISIBILITY_ORGANIZATION)
    assert not await rows(database, "globex", "SELECT * FROM capabilities")
    assert not await rows(database, "globex", "SELECT * FROM releases")


async def test_what_is_public_is_changed_by_its_own_org_only(builder: Client, database: Database) -> None:
    release = await builder.released(weather(), visibility=pb.VISIBILITY_PUBLIC)
    await builder.ticket(release.name)
    for statement in (
        "UPDATE capabilities SET visibility = 'private'",
        "UPDATE releases SET state = 'yanked'",
        "DELETE FROM releases",
        "DELETE FROM capabilities",
        "DELETE FROM artifacts",
        "DELETE FROM blobs",
        "UPDATE ticket_keys SET key = ''",
    ):
        assert await changed(database, "globex", statement) == 0, statement


async def test_what_is_public_is_not_locked_by_another_org(builder: Client, database: Database) -> None:
    await builder.released(weather(), visibility=pb.VISIBILITY_PUBLIC)
    assert not await rows(database, "globex", "SELECT * FROM capabilities FOR UPDATE")


async def test_an_org_writes_no_rows_of_another(dial: Dial, database: Database) -> None:
    await dial("globex").draft(weather())
    for statement in (
        "INSERT INTO artifacts (org, digest, size_bytes) SELECT 'acme', 'sha256:1', 1",
        "INSERT INTO blobs (digest, bytes) VALUES ('sha256:1', '')",
        "INSERT INTO ticket_keys (single, key) VALUES (true, '')",
        "UPDATE capabilities SET org = 'acme'",
    ):
        with pytest.raises(sqlalchemy.exc.ProgrammingError, match="row-level security"):
            await changed(database, "globex", statement)


async def test_bytes_are_never_changed_not_even_by_those_who_have_them(builder: Client, database: Database) -> None:
    await builder.draft(weather())
    for org in ("acme", "*"):
        assert await changed(database, org, "UPDATE blobs SET bytes = ''") == 0
        assert await changed(database, org, "DELETE FROM blobs") == 0
    assert await rows(database, "acme", "SELECT bytes FROM blobs") == [(weather(),)]


async def test_bytes_are_seen_by_every_org_that_has_them(builder: Client, dial: Dial, database: Database) -> None:
    await builder.draft(weather())
    await builder.draft(weather("1.1.0"))
    await dial("globex").draft(weather())
    assert await rows(database, "globex", "SELECT bytes FROM blobs") == [(weather(),)]
    assert len(await rows(database, "acme", "SELECT bytes FROM blobs")) == 2
