"""Sizes and times: whatever an upstream sends, a call ends within its limits."""

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator

import pytest

from executor.brokers import URL, broker_of, client_of, code_of
from executor.upstream import Seen, Upstream, answer, json_answer
from hardpoint_executor.broker.denial import DenialCode
from hardpoint_executor.broker.fetch import FetchRequest
from hardpoint_executor.broker.limits import BrokerLimits


async def test_a_decompression_bomb_stops_at_the_limit() -> None:
    bomb = gzip.compress(bytes(64 * 1024 * 1024))

    def respond(_: Seen) -> bytes:
        return answer(bomb, headers={"Content-Encoding": "gzip"})

    async with Upstream(respond) as api, client_of({"api.example.com": api}) as client:
        tracemalloc.start()
        try:
            assert await code_of(broker_of(client), FetchRequest("GET", URL)) == DenialCode.RESPONSE_TOO_LARGE
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 8 * 1024 * 1024


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_an_answer_compressed_unasked_is_read(encoding: str, compress: object) -> None:
    def respond(_: Seen) -> bytes:
        return answer(compress(b'{"a": 1}'), headers={"Content-Encoding": encoding})  # type: ignore[operator]

    async with Upstream(respond) as api, client_of({"api.example.com": api}) as client:
        assert (await broker_of(client).fetch(FetchRequest("GET", URL))).body == b'{"a": 1}'


@pytest.mark.parametrize(
    "garbage",
    [
        answer(b"not gzip", headers={"Content-Encoding": "gzip"}),
        answer(b"x", headers={"Content-Encoding": "br"}),
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
    ],
)
async def test_an_answer_that_is_not_http_is_an_upstream_error(garbage: bytes) -> None:
    async with Upstream(lambda _: garbage) as api, client_of({"api.example.com": api}) as client:
        assert await code_of(broker_of(client), FetchRequest("GET", URL)) == DenialCode.UPSTREAM_ERROR


async def test_too_many_headers_are_refused() -> None:
    def respond(_: Seen) -> bytes:
        return answer(b"{}", headers={f"X-{i}": "1" for i in range(200)})

    async with Upstream(respond) as api, client_of({"api.example.com": api}) as client:
        assert await code_of(broker_of(client), FetchRequest("GET", URL)) == DenialCode.RESPONSE_TOO_LARGE


async def test_an_announced_size_over_the_limit_is_not_read() -> None:
    def respond(_: Seen) -> bytes:
        return b"HTTP/1.1 200 OK\r\nContent-Length: 52428800\r\n\r\n"

    async with Upstream(respond) as api, client_of({"api.example.com": api}) as client:
        assert await code_of(broker_of(client), FetchRequest("GET", URL)) == DenialCode.RESPONSE_TOO_LARGE


async def test_a_head_request_may_announce_any_size() -> None:
    def respond(_: Seen) -> bytes:
        return b"HTTP/1.1 200 OK\r\nContent-Length: 52428800\r\n\r\n"

    async with Upstream(respond) as api, client_of({"api.example.com": api}) as client:
        response = await broker_of(client).fetch(FetchRequest("HEAD", URL))
        assert (response.status, response.body) == (200, b"")


async def test_a_slow_drip_ends_with_the_call() -> None:
    async def drip(_: Seen) -> AsyncIterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        while True:
            yield b"1\r\nx\r\n"
            await asyncio.sleep(0.005)

    async with Upstream(drip) as api, client_of({"api.example.com": api}) as client:
        broker = broker_of(client, limits=BrokerLimits(call_seconds=0.1))
        assert await code_of(broker, FetchRequest("GET", URL)) == DenialCode.UPSTREAM_TIMEOUT


async def test_a_name_that_is_never_answered_ends_with_the_call() -> None:
    async def never(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    async with client_of({}, never) as client:
        broker = broker_of(client, limits=BrokerLimits(call_seconds=0.05))
        assert await code_of(broker, FetchRequest("GET", URL)) == DenialCode.UPSTREAM_TIMEOUT


async def test_an_execution_out_of_time_asks_nobody() -> None:
    async with Upstream() as api, client_of({"api.example.com": api}) as client:
        broker = broker_of(client, limits=BrokerLimits(wall_seconds=0))
        assert await code_of(broker, FetchRequest("GET", URL)) == DenialCode.UPSTREAM_TIMEOUT
        assert api.seen == []


async def test_a_large_request_is_refused() -> None:
    async with Upstream() as api, client_of({"api.example.com": api}) as client:
        broker = broker_of(client, limits=BrokerLimits(request_bytes=10))
        assert await code_of(broker, FetchRequest("POST", URL, body="x" * 11)) == DenialCode.REQUEST_TOO_LARGE
        assert api.seen == []


async def test_usage_counts_calls_bytes_and_time() -> None:
    async with Upstream(lambda _: json_answer({"a": 1})) as api, client_of({"api.example.com": api}) as client:
        broker = broker_of(client)
        await broker.fetch(FetchRequest("POST", URL, body="12345"))
        await broker.fetch(FetchRequest("GET", URL))
        assert (broker.usage.calls, broker.usage.bytes_sent, broker.usage.bytes_received) == (2, 5, 16)
        assert broker.usage.milliseconds > 0


@pytest.mark.parametrize(
    "body",
    [gzip.compress(b'{"a": 1}' * 99)[:-9], gzip.compress(b"{}") + gzip.compress(b"!"), gzip.compress(b"{}") + b"!"],
    ids=["cut off", "two members", "a byte more"],
)
async def test_a_compressed_answer_is_whole_and_nothing_follows_it(body: bytes) -> None:
    def respond(_: Seen) -> bytes:
        return answer(body, headers={"Content-Encoding": "gzip"})

    async with Upstream(respond) as api, client_of({"api.example.com": api}) as client:
        assert await code_of(broker_of(client), FetchRequest("GET", URL)) == DenialCode.UPSTREAM_ERROR


async def test_headers_that_never_end_are_bounded_in_bytes_and_in_time() -> None:
    async def drip(request: Seen) -> AsyncIterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\n"
        while True:
            yield b"X-A: 1\r\n" * (1 if request.target == "/slow" else 4000)
            await asyncio.sleep(0.005)

    async with Upstream(drip) as api, client_of({"api.example.com": api}) as client:
        broker = broker_of(client, limits=BrokerLimits(call_seconds=60))
        assert await code_of(broker, FetchRequest("GET", "https://api.example.com/fast")) == DenialCode.UPSTREAM_ERROR
        broker = broker_of(client, limits=BrokerLimits(call_seconds=0.3))
        assert await code_of(broker, FetchRequest("GET", "https://api.example.com/slow")) == DenialCode.UPSTREAM_TIMEOUT


EARLY = b"HTTP/1.1 103 Early Hints\r\n\r\n"


async def test_answers_before_the_answer_do_not_prolong_it() -> None:
    async def informed(_: Seen) -> AsyncIterator[bytes]:
        yield EARLY
        await asyncio.Event().wait()

    async with Upstream(informed) as api, client_of({"api.example.com": api}) as client:
        broker = broker_of(client, limits=BrokerLimits(call_seconds=0.2))
        assert await code_of(broker, FetchRequest("GET", URL)) == DenialCode.UPSTREAM_TIMEOUT


async def test_answers_before_the_answer_are_few() -> None:
    def respond(request: Seen) -> bytes:
        return EARLY * (3 if request.target == "/few" else 10_000) + answer(b"here")

    async with Upstream(respond) as api, client_of({"api.example.com": api}) as client:
        broker = broker_of(client)
        assert (await broker.fetch(FetchRequest("GET", "https://api.example.com/few"))).body == b"here"
        assert await code_of(broker, FetchRequest("GET", URL)) == DenialCode.UPSTREAM_ERROR
