"""The second wall: what raw SQL reaches as the unit's own role, were every check in the code missing."""

import pytest
import sqlalchemy.exc
from sqlalchemy import text

from files.client import PDF, Client
from hardpoint_kit.database import Database

TABLES = ("files", "contents", "parts", "kept", "requests", "audit_events", "ticket_keys")


async def count(database: Database, org: str, statement: str) -> int:
    async with database.transaction(org) as connection:
        return len((await connection.execute(text(statement))).all())


async def test_another_org_sees_and_changes_nothing(operator: Client, runtime: Client, database: Database) -> None:
    file = await operator.upload(PDF, request_id="r")
    await runtime.ticket(file.name)
    for table in TABLES:
        assert await count(database, "*", f"SELECT 1 FROM {table}")
        for other in ("globex", ""):
            assert not await count(database, other, f"SELECT 1 FROM {table}")
            async with database.transaction(other) as connection:
                assert (await connection.execute(text(f"DELETE FROM {table}"))).rowcount == 0
    assert not await count(database, "acme", "SELECT 1 FROM ticket_keys"), "nor does any org see the key"


async def test_nobody_writes_into_another_org(operator: Client, database: Database) -> None:
    await operator.upload(PDF)
    with pytest.raises(sqlalchemy.exc.ProgrammingError, match="row-level security"):
        async with database.transaction("globex") as connection:
            await connection.execute(text("INSERT INTO contents VALUES ('acme', 'x')"))
