"""Files that are kept for a while: gone in time, said to have expired, and never with bytes that another file has."""

import asyncio
from collections.abc import Awaitable
from datetime import UTC, timedelta

import pytest
from sqlalchemy import text

from files.client import PDF, Client
from files.conftest import QUOTA, Dial, MakeUnit
from hardpoint.files.v1 import files_pb2 as pb
from hardpoint_files.store import forget_expired, forget_names
from hardpoint_kit.caller import ANY_ORG
from hardpoint_kit.database import Database
from hardpoint_kit.errors import InvalidArgument, NotFound, ResourceExhausted
from serving import Serve, SetClock, eventually


async def rows(database: Database, table: str) -> int:
    async with database.transaction(ANY_ORG) as connection:
        return await connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0


async def sweep(database: Database, clock: SetClock) -> int:
    async with database.transaction(ANY_ORG) as connection:
        return await forget_expired(connection, clock.now(), 50)


async def refusal(asked: Awaitable[object]) -> NotFound:
    with pytest.raises(NotFound) as refused:
        await asked
    return refused.value


async def temporary(runtime: Client, data: bytes = b"abc", **more: object) -> pb.File:
    return await runtime.save((await runtime.ticket()).ticket, data, "a.txt", expires_in=60, **more)


async def test_an_upload_expires_and_its_bytes_stay_for_the_other_file_that_has_them(
    operator: Client, clock: SetClock, database: Database, make_unit: MakeUnit, serve: Serve
) -> None:
    until = clock.now() + timedelta(hours=1)
    file = await operator.upload(PDF, expire_time=until)
    stays = await operator.upload(PDF)
    clock.move(hours=1, seconds=1)
    assert (await refusal(operator.read(file.name))).reason == "FILE_EXPIRED"
    with pytest.raises(InvalidArgument):
        await operator.upload(PDF, expire_time=until)
    await serve(make_unit())  # which sweeps at its start

    async def swept() -> bool:
        return await rows(database, "files") == 1

    await eventually(swept)
    assert (await rows(database, "contents"), await rows(database, "parts")) == (1, 1)
    assert await operator.read(stays.name) == PDF


async def test_what_a_run_saves_for_a_while_is_gone_then_and_says_since_when(
    operator: Client, runtime: Client, clock: SetClock, database: Database
) -> None:
    file = await temporary(runtime)
    until = file.expire_time.ToDatetime(tzinfo=UTC)
    assert timedelta() <= until - clock.now() - timedelta(seconds=60) < timedelta(seconds=1)
    assert until.microsecond == 0
    clock.move(seconds=60)
    ticket = (await runtime.ticket(file.name)).ticket
    assert await operator.read(file.name) == await runtime.open(file.name, ticket) == b"abc"
    assert await operator.names() == ["a.txt"]

    clock.move(seconds=1)
    assert await operator.names() == []
    for swept in (False, True):
        asked = (
            operator.get(file.name),
            operator.read(file.name),
            operator.delete(file.name),
            runtime.ticket(file.name),
            runtime.open(file.name, ticket),
        )
        for each in asked:
            gone = await refusal(each)
            assert (gone.reason, gone.metadata["resource"]) == ("FILE_EXPIRED", file.name)
            assert gone.metadata["expire_time"] == file.expire_time.ToJsonString()
            assert gone.metadata["expire_time"] in gone.message
            assert gone.fix
        assert await sweep(database, clock) == (0 if swept else 1)
    assert [await rows(database, table) for table in ("files", "contents", "parts")] == [0, 0, 0]


async def test_that_it_expired_is_forgotten_in_the_end(
    operator: Client, runtime: Client, clock: SetClock, database: Database, make_unit: MakeUnit, serve: Serve
) -> None:
    file = await temporary(runtime)
    clock.move(seconds=62)
    await sweep(database, clock)
    async with database.transaction(ANY_ORG) as connection:
        assert await forget_names(connection, clock.now() - timedelta(days=30), 50) == 0
    assert (await refusal(operator.get(file.name))).reason == "FILE_EXPIRED"
    clock.move(days=30)
    await serve(make_unit())

    async def forgotten() -> bool:
        return await rows(database, "expired") == 0

    await eventually(forgotten)
    assert (await refusal(operator.get(file.name))).reason == "NOT_FOUND"


async def test_nobody_hears_of_another_orgs_file_nor_an_execution_of_one_that_is_not_its_own(
    runtime: Client, dial: Dial, clock: SetClock, database: Database
) -> None:
    file = await temporary(runtime)
    clock.move(seconds=61)
    own = (await runtime.ticket()).ticket
    others = (await runtime.ticket(run="r2", execution="e2")).ticket
    for _ in range(2):
        assert (await refusal(dial("globex").get(file.name))).reason == "NOT_FOUND"
        stranger = dial("globex", "service", subject="units/runtime")
        assert (await refusal(stranger.ticket(file.name))).reason == "NOT_FOUND"
        assert (await refusal(runtime.open(file.name, others))).reason == "NOT_FOUND"
        assert (await refusal(runtime.open(file.name, own))).reason == "FILE_EXPIRED"
        await sweep(database, clock)


async def test_no_file_of_a_run_is_kept_for_longer_than_all_of_them_are(
    dial: Dial, clock: SetClock, make_unit: MakeUnit, serve: Serve
) -> None:
    runtime = dial("acme", "service", subject="units/runtime", to=await serve(make_unit(files_run_days=1)))
    ticket = (await runtime.ticket(save_files=4)).ticket
    for asked, kept in ((0, 86_400), (90_000, 86_400), (2_592_000, 86_400), (1, 1)):
        file = await runtime.save(ticket, b"x", expires_in=asked)
        lasts = file.expire_time.ToDatetime(tzinfo=UTC) - clock.now()
        assert timedelta() <= lasts - timedelta(seconds=kept) < timedelta(seconds=1)
    for wrong in (-1, 2_592_001):
        with pytest.raises(InvalidArgument):
            await runtime.save(ticket, b"x", expires_in=wrong)


@pytest.mark.parametrize("first", ["stays", "goes"])
async def test_the_same_bytes_saved_for_a_while_and_for_good_are_both_right(
    operator: Client, runtime: Client, clock: SetClock, database: Database, first: str
) -> None:
    if first == "stays":
        stays, goes = await operator.upload(PDF), await temporary(runtime, PDF)
    else:
        goes, stays = await temporary(runtime, PDF), await operator.upload(PDF)
    assert (stays.digest, stays.HasField("expire_time")) == (goes.digest, False)
    assert await rows(database, "contents") == 1
    clock.move(seconds=61)
    assert await sweep(database, clock) == 1
    assert await operator.read(stays.name) == PDF
    assert (await refusal(operator.read(goes.name))).reason == "FILE_EXPIRED"
    again = await temporary(runtime, PDF)
    await operator.delete(stays.name)
    assert await operator.read(again.name) == PDF
    clock.move(seconds=61)
    assert await sweep(database, clock) == 1
    assert await rows(database, "contents") == 0


async def test_what_expired_makes_room_at_once(operator: Client, clock: SetClock, database: Database) -> None:
    until = clock.now() + timedelta(seconds=60)
    most = QUOTA["files_quota_files"]
    await asyncio.gather(*(operator.upload(b"x", f"{number}", expire_time=until) for number in range(most - 1)))
    stays = await operator.upload(b"x", "stays")
    with pytest.raises(ResourceExhausted):
        await operator.upload(b"y")
    clock.move(seconds=60)
    assert (await operator.upload(b"y")).size_bytes == 1
    assert await operator.read(stays.name) == b"x"
    assert await rows(database, "files") == most - 50 + 1, "no more than one batch, where that is enough"


async def test_what_expired_makes_room_for_the_same_bytes(
    operator: Client, clock: SetClock, database: Database
) -> None:
    large = b"x" * (QUOTA["files_quota_bytes"] // 2 + 1)
    await operator.upload(large, expire_time=clock.now() + timedelta(seconds=60))
    clock.move(seconds=60)
    again = await operator.upload(large)
    assert await operator.read(again.name) == large
    assert (await rows(database, "files"), await rows(database, "contents")) == (1, 1)


async def test_who_comes_while_room_is_made_waits_for_it(operator: Client, clock: SetClock) -> None:
    until = clock.now() + timedelta(seconds=60)
    most = QUOTA["files_quota_files"]
    await asyncio.gather(*(operator.upload(b"x", f"{number}", expire_time=until) for number in range(most)))
    clock.move(seconds=60)
    await asyncio.gather(*(operator.upload(b"%d" % number, f"new {number}") for number in range(most)))
    assert len((await operator.list(page_size=100)).files) == most
