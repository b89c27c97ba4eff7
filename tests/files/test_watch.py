"""Uploads are told to our own units: each once, in order, also after a loss of the stream; what runs save is not."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

import pytest
from sqlalchemy import text

from files.client import Client
from files.conftest import Dial
from hardpoint.files.v1 import files_pb2 as pb
from hardpoint_kit.database import Database
from hardpoint_kit.errors import InvalidArgument, PermissionDenied


async def told(messages: AsyncGenerator[pb.WatchFilesResponse], count: int) -> tuple[list[str], str]:
    """The names of so many uploads, and the cursor behind them."""
    names: list[str] = []
    async with asyncio.timeout(10):
        async for message in messages:
            names += [file.display_name for file in message.files]
            if len(names) >= count:
                return names, message.cursor
    raise AssertionError("the stream ended")


async def until(messages: AsyncGenerator[pb.WatchFilesResponse], last: str) -> tuple[list[str], str]:
    """The names of uploads up to one, and the cursor behind them."""
    names: list[str] = []
    cursor = ""
    while last not in names:
        more, cursor = await told(messages, 1)
        names += more
    return names, cursor


async def test_uploads_are_told_once_and_in_order(runtime: Client, operator: Client, dial: Dial) -> None:
    await operator.upload(b"x", "before")
    watch = runtime.files.WatchFiles(pb.WatchFilesRequest())
    names, start = await told(watch, 0)
    assert names == []
    await operator.upload(b"x", "one")
    await dial("globex").upload(b"x", "two")
    await runtime.save((await runtime.ticket()).ticket, b"x", "saved")
    await operator.upload(b"x", "three")
    first, _ = await until(watch, "three")
    await watch.aclose()

    again, cursor = await until(runtime.files.WatchFiles(pb.WatchFilesRequest(after=start)), "three")
    assert first == again
    assert first == ["one", "two", "three"]
    await operator.upload(b"x", "four")
    assert (await told(runtime.files.WatchFiles(pb.WatchFilesRequest(after=cursor)), 1))[0] == ["four"]


async def test_an_upload_is_told_at_once(runtime: Client, operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits until it is looked for: that is an hour here."""
    monkeypatch.setattr("hardpoint_files.service.LOOK_SECONDS", 3600.0)
    watch = runtime.files.WatchFiles(pb.WatchFilesRequest())
    await told(watch, 0)
    for name in ("one", "two"):
        await operator.upload(b"x", name)
        assert (await told(watch, 1))[0] == [name]


async def test_what_is_open_in_another_database_of_the_server_holds_nothing_back(
    runtime: Client, operator: Client, database_url: Callable[[], Awaitable[str]]
) -> None:
    watch = runtime.files.WatchFiles(pb.WatchFilesRequest())
    other = Database(await database_url())
    async with other.transaction("acme") as connection:
        await connection.execute(text("CREATE TABLE mine (n int)"))
        await told(watch, 0)
        await operator.upload(b"x", "one")
        assert (await told(watch, 1))[0] == ["one"]
    await other.close()


async def test_what_commits_late_is_not_missed(runtime: Client, operator: Client, database: Database) -> None:
    watch = runtime.files.WatchFiles(pb.WatchFilesRequest())
    await told(watch, 0)
    async with database.transaction("acme") as connection:
        await connection.execute(text("INSERT INTO contents VALUES ('acme', 'd')"))
        await connection.execute(
            text(
                "INSERT INTO files (org, file, display_name, type, digest, size_bytes, creator, run, execution,"
                " created_at) VALUES ('acme', 'late', 'late', 't', 'd', 0, 'ada', '', '', now())"
            )
        )
        await operator.upload(b"x", "early")
        quiet = asyncio.create_task(told(watch, 2))
        await asyncio.wait([quiet], timeout=1.5)
        assert not quiet.done()
    assert (await quiet)[0] == ["late", "early"]


async def test_units_alone_watch(operator: Client, runtime: Client) -> None:
    with pytest.raises(PermissionDenied):
        await told(operator.files.WatchFiles(pb.WatchFilesRequest()), 0)
    for wrong in ("x", "1", "1.", "-1.2", "9" * 30 + ".1"):
        with pytest.raises(InvalidArgument):
            await told(runtime.files.WatchFiles(pb.WatchFilesRequest(after=wrong)), 0)
