"""Answers as a hostile or a sloppy server writes them, in any pieces: read as they are meant, or refused at an end."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardpoint_kit.http1 import LARGEST_HEAD, Connection, NotHttp

SECONDS = 10.0
OK = b"HTTP/1.1 200 OK\r\n"


class Wire:
    """What a server reads, and the answer that it writes piece by piece."""

    def __init__(self, pieces: Sequence[bytes], end: bool, then: bytes) -> None:
        self.sent = b""
        self.goes_on = asyncio.Event()
        self._pieces = pieces
        self._end = end
        self._then = then

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.sent = await reader.readuntil(b"\r\n\r\n")
        try:
            for piece in self._pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)  # so that pieces may arrive as such
            if self._end:
                writer.write_eof()
            if self._then:
                await self.goes_on.wait()
                writer.write(self._then)
            await reader.read()
        except ConnectionError:
            pass  # the client has read enough
        finally:
            writer.close()


@asynccontextmanager
async def connected(
    pieces: Sequence[bytes], *, end: bool = False, then: bytes = b""
) -> AsyncIterator[tuple[Connection, Wire]]:
    """`then` is said when nobody asks, as soon as `wire.goes_on`."""
    wire = Wire(pieces, end, then)
    async with asyncio.timeout(SECONDS), await asyncio.start_server(wire.serve, "127.0.0.1", 0) as server:
        connection = Connection(*await asyncio.open_connection(*server.sockets[0].getsockname()[:2]))
        try:
            yield connection, wire
        finally:
            connection.close()


async def read(connection: Connection, method: str = "GET") -> tuple[int, bytes, bool]:
    """Status, body, and whether the connection can carry another exchange."""
    head = await connection.ask(method, "/", {"host": "api.test"}, None)
    body = b"".join([chunk async for chunk in connection.chunks()])
    return head.status, body, connection.renew()


WELL = {
    "length": (OK + b"Content-Length: 2\r\n\r\nhi", (200, b"hi", True)),
    "no body": (b"HTTP/1.1 204 No Content\r\n\r\n", (204, b"", True)),
    "chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1;x\r\ni\r\n0\r\nX-T: 1\r\n\r\n", (200, b"hi", True)),
    "told to close": (OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nhi", (200, b"hi", False)),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", (200, b"hi", False)),
    "something before": (
        b"HTTP/1.1 100 Continue\r\nX-A: 1\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n",
        (404, b"", True),
    ),
    "lines without a carriage return": (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", (200, b"hi", True)),
    "an answer that nobody asked for": (OK + b"Content-Length: 2\r\n\r\nhi" + OK + b"\r\n", (200, b"hi", False)),
    "garbage after the end": (OK + b"Content-Length: 2\r\n\r\nhi\x00\x01", (200, b"hi", False)),
}


@pytest.mark.parametrize("kind", WELL)
async def test_an_answer_is_read_as_it_is_meant(kind: str) -> None:
    written, meant = WELL[kind]
    async with connected([written]) as (connection, _):
        assert await read(connection) == meant


@given(kind=st.sampled_from(sorted(WELL)), cuts=st.lists(st.integers(1, 120), max_size=6))
def test_pieces_change_nothing_of_an_answer(kind: str, cuts: list[int]) -> None:
    written, (status, body, _) = WELL[kind]
    places = [0, *sorted(cut for cut in cuts if cut < len(written)), len(written)]

    async def in_pieces() -> tuple[int, bytes]:
        async with connected([written[a:b] for a, b in itertools.pairwise(places)]) as (connection, _):
            return (await read(connection))[:2]

    assert asyncio.run(in_pieces()) == (status, body)


async def test_what_comes_unasked_is_not_taken_for_the_next_answer() -> None:
    async with connected([WELL["length"][0]], then=OK + b"Content-Length: 3\r\n\r\nold") as (connection, wire):
        assert await read(connection) == (200, b"hi", True)
        wire.goes_on.set()
        while connection.is_open:
            await asyncio.sleep(0)
        assert not connection.renew()


async def test_without_a_length_the_end_is_the_end_of_the_connection() -> None:
    async with connected([OK + b"\r\nall ", b"of it"], end=True) as (connection, _):
        assert await read(connection) == (200, b"all of it", False)


async def test_an_answer_to_HEAD_has_no_body_whatever_it_says() -> None:
    async with connected([OK + b"Content-Length: 5\r\n\r\n"]) as (connection, _):
        assert await read(connection, "HEAD") == (200, b"", True)
    async with connected([OK + b"Content-Length: 5\r\n\r\nhello"]) as (connection, _):
        assert await read(connection, "HEAD") == (200, b"", False)


CUT = [b"", b"HTTP/1.1", OK + b"Content-Length: 9\r\n\r\nhi", OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhi"]
NOT_HTTP = [
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"HTTP/2.0 200 OK\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi",
    OK + b"Content-Length: -1\r\n\r\n",
    OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    OK + b"X A: 1\r\n\r\n",
    OK + b"X-A: a\x00b\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n" * 50,
]


@pytest.mark.parametrize("written", CUT, ids=range(len(CUT)))
async def test_an_answer_that_is_cut_off_is_none(written: bytes) -> None:
    async with connected([written], end=True) as (connection, _):
        with pytest.raises(NotHttp):
            await read(connection)


@pytest.mark.parametrize("written", NOT_HTTP, ids=range(len(NOT_HTTP)))
async def test_what_is_not_http_is_refused(written: bytes) -> None:
    async with connected([written]) as (connection, _):
        with pytest.raises(NotHttp):
            await read(connection)


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (OK, b"X-A: 1\r\n"),
        (OK + b"X-A: ", b"a" * 1000),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n1;x=", b"a" * 1000),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nh\r\n0\r\n", b"X-T: 1\r\n"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1;x=%b\r\nh\r\n" % (b"a" * 1000)),
    ],
    ids=["headers", "a header", "what stands beside a chunk", "trailers", "small chunks with much beside them"],
)
async def test_what_has_no_end_is_refused(begin: bytes, more: bytes) -> None:
    endless = [begin, *[more * (4096 // len(more) + 1)] * (3 * LARGEST_HEAD // 4096)]
    async with connected(endless) as (connection, _):
        with pytest.raises(NotHttp):
            await read(connection)


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        ("GET /admin HTTP/1.1\r\nX:", "/", {}),
        ("", "/", {}),
        ("GET", "/ HTTP/1.1\r\nX: 1\r\n", {}),
        ("GET", "/\u0120", {}),
        ("GET", "/", {"x\r\ny": "1"}),
        ("GET", "/", {"x": "1\r\ny: 2"}),
        ("GET", "/", {"x": "1\ny: 2"}),
        ("GET", "/", {"x": "1\u560a"}),
        ("GET", "/", {"x ": "1"}),
    ],
)
async def test_what_would_be_two_lines_is_never_sent(method: str, target: str, headers: dict[str, str]) -> None:
    async with connected([]) as (connection, wire):
        with pytest.raises(NotHttp):
            await connection.ask(method, target, headers, None)
        assert wire.sent == b""
