"""Stored files over the wire: kept whole or not at all, read, listed and deleted by their own org."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import text

from files.client import PDF, Client, announced
from files.conftest import Dial
from hardpoint.files.v1 import files_pb2 as pb
from hardpoint_files import upload
from hardpoint_files.domain import MOST_BYTES
from hardpoint_files.store import PART_BYTES
from hardpoint_kit.caller import ANY_ORG
from hardpoint_kit.database import Database
from hardpoint_kit.errors import (
    DeadlineExceeded,
    HardpointError,
    InvalidArgument,
    NotFound,
    OutOfRange,
    PermissionDenied,
    ResourceExhausted,
)
from serving import SetClock

LARGE = bytes(range(256)) * (PART_BYTES // 256 * 3 + 5)


async def rows(database: Database, table: str) -> int:
    async with database.transaction(ANY_ORG) as connection:
        return await connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0


async def left(database: Database) -> tuple[int, ...]:
    """Files, contents, parts, and what is counted."""
    async with database.transaction(ANY_ORG) as connection:
        counted = await connection.scalar(text("SELECT coalesce(sum(size_bytes), 0) FROM kept"))
    return *[await rows(database, table) for table in ("files", "contents", "parts")], int(counted or 0)


async def test_a_file_is_read_as_it_was_uploaded(operator: Client) -> None:
    file = await operator.upload(LARGE, "data.bin")
    assert file.size_bytes == len(LARGE)
    assert await operator.read(file.name) == LARGE
    assert await operator.get(file.name) == file
    for offset, length in ((0, 10), (PART_BYTES - 5, 10), (len(LARGE) - 3, 0), (PART_BYTES, 2 * PART_BYTES)):
        end = offset + length if length else len(LARGE)
        assert await operator.read(file.name, offset, length) == LARGE[offset:end]
    assert await operator.read(file.name, len(LARGE), 5) == b""
    assert await operator.read((await operator.upload(b"")).name) == b""


@pytest.mark.parametrize("rpc", ["UploadFile", "SaveFile"])
async def test_a_stream_that_says_nothing_ends(operator: Client, monkeypatch: pytest.MonkeyPatch, rpc: str) -> None:
    async def silent() -> AsyncIterator[Any]:
        await asyncio.Event().wait()
        yield

    monkeypatch.setattr(upload, "HEADER_SECONDS", 0.1)
    service = operator.files if rpc == "UploadFile" else operator.executions
    with pytest.raises(DeadlineExceeded, match="longer than it may"):
        await getattr(service, rpc)(silent(), timeout=10)


async def test_a_name_cannot_be_guessed(operator: Client) -> None:
    ids = {(await operator.upload(b"x")).name.rpartition("/")[2] for _ in range(5)}
    assert len(ids) == 5
    assert all(len(each) == 26 for each in ids), "128 random bits"
    with pytest.raises(NotFound):
        await operator.get("orgs/acme/files/" + "a" * 26)


async def test_the_same_bytes_are_kept_once_for_an_org(operator: Client, dial: Dial, database: Database) -> None:
    one, two = await operator.upload(PDF, "a.pdf"), await operator.upload(PDF, "b.pdf")
    await dial("globex").upload(PDF, "c.pdf")
    assert one.name != two.name
    assert await left(database) == (3, 2, 2, 3 * len(PDF))
    await operator.delete(one.name)
    assert await operator.read(two.name) == PDF
    assert await left(database) == (2, 2, 2, 2 * len(PDF))
    await operator.delete(two.name)
    assert await left(database) == (1, 1, 1, len(PDF))


@pytest.mark.parametrize(
    ("data", "name", "declared", "found"),
    [
        (PDF, "a.pdf", "", "application/pdf"),
        (PDF, "a.txt", "text/plain", "application/pdf"),
        (b"MZ\x90\x00" + bytes(60), "a.pdf", "application/pdf", "application/x-msdownload"),
        (b"\x7fELF\x02\x01\x01" + bytes(60), "a.png", "image/png", "application/x-executable"),
        (bytes(range(256)), "a.pdf", "application/pdf", "application/octet-stream"),
        (b"just words", "a.pdf", "application/pdf", "text/plain"),
        (b"BM is how this text begins", "a.txt", "", "text/plain"),
        (b"a,b\n1,2\n", "rows.csv", "", "text/csv"),
        (b"a,b\n1,2\n", "rows", "text/csv; charset=utf-8", "text/csv"),
        (b"<!-- hi --> <!DOCTYPE html><p>", "a.txt", "text/plain", "text/html"),
        (b'<?xml version="1.0"?><svg onload="x"/>', "a.png", "image/png", "image/svg+xml"),
        (b'{"a": 1}', "a.json", "", "application/json"),
        ("grüße".encode(), "a", "application/x-evil", "text/plain"),
        (b"", "a.pdf", "application/pdf", "text/plain"),
    ],
)
async def test_a_file_is_what_its_bytes_are(
    operator: Client, data: bytes, name: str, declared: str, found: str
) -> None:
    assert (await operator.upload(data, name, type=declared)).type == found


async def test_a_text_that_makes_one_look_twice_is_looked_at_once(operator: Client) -> None:
    assert (await operator.upload(b"<!-- --> " * 7000, "a.txt")).type == "text/plain"


@pytest.mark.parametrize(
    "name",
    ["", "../../etc/passwd", "a/b", "a\\b", "..", ".", "a\nb", "a\x1b[2J", "gnp.\u202eexe", "x" * 201, " a", "\u2028"],
)
async def test_a_name_is_data(operator: Client, database: Database, name: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await operator.upload(b"abc", name)
    assert refused.value.reason == "FILE_NAME_INVALID"
    assert refused.value.fix
    assert await rows(database, "files") == 0


async def test_names_are_of_any_language(operator: Client) -> None:
    for name in ("Rechnung März 2024 (Kopie).pdf", "発票.pdf", "facture n°7 – été.csv", "👩‍🔬.txt", "-rf", ".hidden"):
        assert (await operator.upload(b"x", name)).display_name == name


def header(data: bytes, **changes: Any) -> pb.UploadFileRequest:
    return pb.UploadFileRequest(header={"parent": "orgs/acme", **announced(data, **changes)})


def chunk(data: bytes) -> pb.UploadFileRequest:
    return pb.UploadFileRequest(chunk=data)


async def test_a_wrong_upload_is_refused_and_leaves_nothing(operator: Client, database: Database) -> None:
    wrong: list[tuple[list[pb.UploadFileRequest], str]] = [
        ([header(b"abc"), chunk(b"ab")], "FILE_INCOMPLETE"),
        ([header(b"abc")], "FILE_INCOMPLETE"),
        ([header(b"abc"), chunk(b"abd")], "DIGEST_MISMATCH"),
        ([header(b"abc"), chunk(b"abc"), chunk(b"d")], "FILE_TOO_LARGE"),
        ([header(b"abc"), header(b"abc"), chunk(b"abc")], "INVALID_ARGUMENT"),
        ([chunk(b"abc")], "INVALID_ARGUMENT"),
        ([pb.UploadFileRequest()], "INVALID_ARGUMENT"),
        ([], "INVALID_ARGUMENT"),
        ([header(b"abc", digest="md5:00")], "INVALID_ARGUMENT"),
        ([header(b"abc", size_bytes=-1)], "INVALID_ARGUMENT"),
        ([header(b"abc"), chunk(b"x" * 262_145)], "INVALID_ARGUMENT"),
        ([header(b"abc", size_bytes=MOST_BYTES + 1)], "FILE_TOO_LARGE"),
        ([header(b"abc", size_bytes=2**62)], "FILE_TOO_LARGE"),
    ]
    for messages, reason in wrong:
        with pytest.raises((InvalidArgument, OutOfRange)) as refused:
            await operator.send(*messages)
        assert refused.value.reason == reason, messages
    assert await left(database) == (0, 0, 0, 0)


async def test_an_upload_that_breaks_off_leaves_nothing(operator: Client, database: Database) -> None:
    async def breaks_off() -> AsyncIterator[pb.UploadFileRequest]:
        yield header(b"x" * 600_000)
        yield chunk(b"x" * 200_000)
        raise ConnectionResetError

    with pytest.raises((ConnectionResetError, HardpointError, asyncio.CancelledError)):
        await operator.files.UploadFile(breaks_off())
    assert await left(database) == (0, 0, 0, 0)
    assert (await operator.upload(b"abc")).size_bytes == 3, "its turn is free again"


async def test_the_quota_holds_for_bytes(operator: Client, database: Database) -> None:
    for number in range(2):
        await operator.upload(bytes([number]) * (15 * 1024 * 1024))
    with pytest.raises(ResourceExhausted) as refused:
        await operator.upload(b"x" * (11 * 1024 * 1024))
    assert refused.value.reason == "FILE_QUOTA"
    assert refused.value.fix
    assert (await left(database))[0] == 2
    await operator.upload(b"y" * (9 * 1024 * 1024))


async def test_fifty_uploads_at_once_never_pass_the_quota(operator: Client, dial: Dial, database: Database) -> None:
    size = 1024 * 1024  # of forty that there is room for

    async def one(number: int) -> str:
        try:
            # Every second pair has the same bytes, which are counted for each file.
            await operator.upload(bytes([number // 2]) * size, f"{number}.bin")
        except ResourceExhausted as error:
            return error.reason
        return "kept"

    ended = await asyncio.gather(*(one(number) for number in range(50)))
    assert sorted(ended) == ["FILE_QUOTA"] * 10 + ["kept"] * 40
    files, _, _, counted = await left(database)
    assert (files, counted) == (40, 40 * size)
    assert (await dial("globex").upload(b"another org's room")).name


async def test_the_quota_holds_for_files(operator: Client) -> None:
    await asyncio.gather(*(operator.upload(b"", f"{number}") for number in range(60)))
    with pytest.raises(ResourceExhausted) as refused:
        await operator.upload(b"")
    assert refused.value.reason == "FILE_QUOTA"


async def test_reading_while_it_is_deleted_ends_with_all_of_it_or_an_error(operator: Client) -> None:
    file = await operator.upload(LARGE * 8)
    got = b""
    with contextlib.suppress(NotFound):
        async for message in operator.files.ReadFile(pb.ReadFileRequest(name=file.name)):
            if not got:
                await operator.delete(file.name)
            got += message.chunk
        assert got == LARGE * 8
    assert (LARGE * 8).startswith(got)
    with pytest.raises(NotFound):
        await operator.read(file.name)


async def test_files_are_deleted_once_and_by_their_own_org(operator: Client, dial: Dial) -> None:
    file = await operator.upload(PDF)
    stranger = dial("globex")
    for refused in (stranger.get(file.name), stranger.read(file.name), stranger.delete(file.name)):
        with pytest.raises(NotFound) as error:
            await refused
        assert error.value.metadata["resource"] == file.name
    await operator.delete(file.name, request_id="once")
    await operator.delete(file.name, request_id="once")
    with pytest.raises(NotFound):
        await operator.delete(file.name)


async def test_who_may_what(dial: Dial, operator: Client) -> None:
    file = await operator.upload(PDF)
    for role in ("agent", "builder"):
        client = dial("acme", role)
        assert await client.read((await client.upload(b"mine")).name) == b"mine"
        for forbidden in (client.list(), client.delete(file.name), client.ticket(file.name)):
            with pytest.raises(PermissionDenied):
                await forbidden
    viewer = dial("acme", "viewer")
    for forbidden in (viewer.read(file.name), viewer.get(file.name), viewer.upload(b"x"), viewer.list()):
        with pytest.raises(PermissionDenied):
            await forbidden
    with pytest.raises(PermissionDenied):
        await operator.ticket(file.name)


async def test_the_list_is_paged_newest_first_and_its_token_belongs_to_it(
    operator: Client, dial: Dial, clock: SetClock
) -> None:
    for number in range(5):
        await operator.upload(b"x", f"{number}")
        if number % 2:
            clock.move(seconds=1)
    await dial("acme", subject="bob").upload(b"x", "bobs")
    await dial("globex").upload(b"x", "another's")
    everything = await operator.names()
    assert everything[0] in ("4", "bobs")
    assert sorted(everything) == ["0", "1", "2", "3", "4", "bobs"]
    paged, token = [], ""
    while not paged or token:
        page = await operator.list(page_size=2, page_token=token)
        paged += [file.display_name for file in page.files]
        token = page.next_page_token
    assert paged == everything
    assert await operator.names(creator="bob") == ["bobs"]
    assert await operator.names(run="orgs/acme/runs/none") == []
    first = await operator.list(page_size=2)
    with pytest.raises(InvalidArgument) as refused:
        await operator.list(page_size=2, page_token=first.next_page_token, creator="ada")
    assert refused.value.reason == "PAGE_TOKEN_MISMATCH"


async def test_the_same_request_makes_one_file(operator: Client, database: Database) -> None:
    one = await operator.upload(PDF, request_id="r")
    two = await operator.upload(PDF, request_id="r")
    assert one == two
    assert await rows(database, "files") == 1
    with pytest.raises(InvalidArgument) as refused:
        await operator.upload(b"other", request_id="r")
    assert refused.value.reason == "REQUEST_ID_REUSED"
    assert await left(database) == (1, 1, 1, len(PDF))


async def test_what_was_done_is_recorded(dial: Dial, runtime: Client) -> None:
    operator = dial("acme", "admin")
    file = await operator.upload(PDF)
    await operator.read(file.name)
    ticket = await runtime.ticket(file.name)
    await runtime.save(ticket.ticket, b"x")
    await operator.delete(file.name)
    events = [(event.action, event.subject, event.via) for event in await operator.events()]
    assert [action for action, _, _ in events] == ["file.delete", "file.save", "file.open", "file.read", "file.upload"]
    assert events[1][2] == "units/executor"
    assert all("PDF" not in str(event) for event in await operator.events())
