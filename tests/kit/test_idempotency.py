"""A write that is asked for twice happens once, and both askers get the first answer."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from hardpoint_kit.caller import Caller
from hardpoint_kit.database import Database
from hardpoint_kit.errors import InvalidArgument
from hardpoint_kit.idempotency import once
from hardpoint_kit.names import AgentName


@dataclass(frozen=True, slots=True)
class Made:
    name: AgentName
    at: datetime
    number: int


ADA = Caller("ada", "acme", frozenset({"operator"}), request_id="r-1")


class Desk:
    """Makes things, counting."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.made = 0

    async def make(self, caller: Caller, method: str = "Make", fingerprint: str = "f", fail: bool = False) -> Made:
        async def work() -> Made:
            self.made += 1
            if fail:
                raise KeyError
            return Made(AgentName("acme", "a"), datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC), self.made)

        async with self.database.transaction(caller.org) as connection:
            return await once(connection, caller, method, fingerprint, Made, work)


@pytest.fixture
async def desk(database_url: Any) -> AsyncIterator[Desk]:
    database = Database(await database_url("kit.example"))
    yield Desk(database)
    await database.close()


async def test_second_time_gets_the_first_answer(desk: Desk) -> None:
    first = await desk.make(ADA)
    assert await desk.make(ADA) == first
    assert desk.made == 1


async def test_at_the_same_time_too(desk: Desk) -> None:
    answers = await asyncio.gather(*(desk.make(ADA) for _ in range(5)))
    assert {answer.number for answer in answers} == {1}
    assert desk.made == 1


async def test_failed_work_may_be_tried_again(desk: Desk) -> None:
    with pytest.raises(KeyError):
        await desk.make(ADA, fail=True)
    assert (await desk.make(ADA)).number == 2


@pytest.mark.parametrize("other", [{"fingerprint": "g"}, {"method": "Remake"}])
async def test_id_of_another_request_is_refused(other: dict[str, Any], desk: Desk) -> None:
    await desk.make(ADA)
    with pytest.raises(InvalidArgument) as caught:
        await desk.make(ADA, **other)
    assert caught.value.reason == "REQUEST_ID_REUSED"
    assert desk.made == 1


async def test_ids_are_each_callers_own(desk: Desk) -> None:
    await desk.make(ADA)
    await desk.make(replace(ADA, subject="bob"))
    await desk.make(replace(ADA, org="other"))
    assert desk.made == 3


async def test_without_an_id_every_time_counts(desk: Desk) -> None:
    nameless = replace(ADA, request_id="")
    await desk.make(nameless)
    await desk.make(nameless)
    assert desk.made == 2
