"""What is older than its term is forgotten in the background, and nothing else."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from hardpoint_kit.audit import record
from hardpoint_kit.caller import Caller
from hardpoint_kit.database import Database
from hardpoint_kit.errors import Unavailable
from hardpoint_kit.idempotency import forget_requests, once
from hardpoint_kit.names import AgentName
from hardpoint_kit.options import Options
from hardpoint_kit.retention import Retention, Term, common_terms
from serving import SetClock


@pytest.fixture
async def database(database_url: Any) -> AsyncIterator[Database]:
    database = Database(await database_url("kit.example"))
    yield database
    await database.close()


@pytest.fixture
def clock() -> SetClock:
    """A clock that starts now: rows are dated by the database."""
    return SetClock(datetime.now(UTC))


async def ask(database: Database, number: int, org: str = "acme") -> int:
    """Ask for something under a request id of its own, with an audit event."""
    caller = Caller("ada", org, frozenset({"operator"}), request_id=f"r-{number}")

    async def work() -> int:
        await record(connection, caller, "agent.create", AgentName(org, "a"))
        return number

    async with database.transaction(org) as connection:
        return await once(connection, caller, "Make", "f", int, work)


async def count(database: Database, table: str) -> int:
    async with database.transaction("*") as connection:
        return int(await connection.scalar(text(f"SELECT count(*) FROM {table}")))


async def test_each_kind_is_kept_for_its_term_in_every_org(database: Database, clock: SetClock) -> None:
    await ask(database, 1)
    await ask(database, 2, "globex")
    retention = Retention(database, clock, common_terms(Options(request_days=2, audit_days=400)))
    for days, requests, events in ((1.9, 2, 2), (0.2, 0, 2), (397, 0, 2), (1, 0, 0)):
        clock.move(days=days)
        await retention.sweep()
        assert (await count(database, "requests"), await count(database, "audit_events")) == (requests, events)


async def test_a_request_is_answered_again_for_as_long_as_it_is_remembered(database: Database, clock: SetClock) -> None:
    retention = Retention(database, clock, [Term("requests", 2, forget_requests)])
    await ask(database, 1)
    await retention.sweep()
    await ask(database, 1)
    assert await count(database, "audit_events") == 1
    clock.move(days=3)
    await retention.sweep()
    await ask(database, 1)
    assert await count(database, "audit_events") == 2


async def test_each_batch_is_a_transaction_of_its_own(database: Database, clock: SetClock) -> None:
    for number in range(7):
        await ask(database, number)
    clock.move(days=3)
    left: list[int] = []

    async def forget(connection: AsyncConnection, before: datetime, most: int) -> int:
        left.append(await count(database, "requests"))
        if len(left) == 3:
            raise Unavailable("the database is away")
        return await forget_requests(connection, before, most)

    retention = Retention(database, clock, [Term("requests", 2, forget, batch=2)])
    await retention.sweep()
    assert left == [7, 5, 3]
    assert await count(database, "requests") == 3
    await retention.sweep()
    assert left == [7, 5, 3, 3, 1]
    assert await count(database, "requests") == 0


async def test_what_cannot_be_forgotten_does_not_keep_the_rest(database: Database, clock: SetClock) -> None:
    async def fail(_connection: AsyncConnection, _before: datetime, _most: int) -> int:
        raise Unavailable("locked")

    await ask(database, 1)
    clock.move(days=3)
    await Retention(database, clock, [Term("locked", 1, fail), Term("requests", 2, forget_requests)]).sweep()
    assert await count(database, "requests") == 0


async def test_processes_sweep_at_once_and_none_waits_for_another(database: Database, clock: SetClock) -> None:
    for number in range(5):
        await ask(database, number)
    before = clock.now() + timedelta(days=1)
    async with asyncio.timeout(20), database.transaction("*") as one, database.transaction("*") as other:
        assert await forget_requests(one, before, 3) == 3
        assert await forget_requests(other, before, 3) == 2
    assert await count(database, "requests") == 0


async def test_a_request_whose_answer_is_forgotten_meanwhile_is_done_again(database: Database, clock: SetClock) -> None:
    """The answer goes between the two statements that look for it."""

    class Forgetful:
        def __init__(self, connection: AsyncConnection) -> None:
            self.connection = connection
            self.execute = connection.execute
            self.forgot = False

        async def scalar(self, *arguments: Any) -> Any:
            found = await self.connection.scalar(*arguments)
            if not self.forgot:
                self.forgot = True
                async with database.transaction("*") as another:
                    assert await forget_requests(another, clock.now() + timedelta(days=1), 10) == 1
            return found

    async def work() -> int:
        return 7

    await ask(database, 1)
    caller = Caller("ada", "acme", frozenset({"operator"}), request_id="r-1")
    async with database.transaction("acme") as connection:
        forgetful: Any = Forgetful(connection)
        assert await once(forgetful, caller, "Make", "f", int, work) == 7
    assert await ask(database, 1) == 7


async def test_it_sweeps_from_its_start_to_its_stop(database: Database, clock: SetClock) -> None:
    swept = asyncio.Event()

    async def forget(connection: AsyncConnection, before: datetime, most: int) -> int:
        swept.set()
        return await forget_requests(connection, before, most)

    retention = Retention(database, clock, [Term("requests", 2, forget)])
    await retention.stop()
    await retention.start()
    async with asyncio.timeout(10):
        await swept.wait()
    await retention.stop()
