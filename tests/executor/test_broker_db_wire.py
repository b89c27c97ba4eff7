"""How a database is reached: TLS as its URL says, and servers that are none or mean harm."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import URL, make_url

from executor.brokers import broker_of, client_of
from executor.test_broker_dial import certificate_of
from hardpoint_executor.broker.denial import BrokerDenied, DenialCode
from hardpoint_executor.broker.http import HttpClient
from hardpoint_executor.broker.limits import BrokerLimits

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"


@asynccontextmanager
async def listening(serve: Serve) -> AsyncIterator[int]:
    """A server on loopback; its port."""
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await serve(reader, writer)
        writer.transport.abort()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def public(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HttpClient]:
    """A client for which loopback is the public internet."""
    monkeypatch.setattr("hardpoint_kit.dial.public_address", lambda address: address == "127.0.0.1")

    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    async with client_of({}, resolve) as client:
        yield client


async def asked(client: HttpClient, url: URL, **limits: float) -> object:
    """What `SELECT 1` gives: its rows, or the code of the refusal."""
    text = url.set(drivername="postgresql", host="db.example.com").render_as_string(hide_password=False)
    bounds = BrokerLimits(**limits)  # type: ignore[arg-type]
    broker = broker_of(client, secrets={"DATABASE_URL": text}, limits=bounds)
    try:
        return await broker.ask("db", "query", {"sql": "SELECT 1 AS n"})
    except BrokerDenied as denied:
        return denied.code if "example.com" not in denied.message else denied.message


@pytest.mark.parametrize(
    ("query", "trusted", "answer"),
    [
        ({}, True, [{"n": 1}]),
        ({"sslmode": "verify-full"}, True, [{"n": 1}]),
        ({}, False, DenialCode.UPSTREAM_UNREACHABLE),
        ({"sslmode": "verify-ca"}, False, DenialCode.UPSTREAM_UNREACHABLE),
        ({"sslmode": "require"}, False, [{"n": 1}]),
        ({"sslmode": "require", "channel_binding": "require"}, False, DenialCode.UPSTREAM_UNREACHABLE),
        ({"sslmode": "disable"}, True, DenialCode.UPSTREAM_UNREACHABLE),
    ],
)
async def test_tls_is_as_the_url_says(
    database_url: Callable[..., Awaitable[str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    query: dict[str, str],
    trusted: bool,
    answer: object,
) -> None:
    certificate, key = certificate_of("db.example.com", tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    url = make_url(await database_url())

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """PostgreSQL behind TLS, and nothing without it."""
        if await reader.readexactly(8) != SSL_REQUEST:
            return
        writer.write(b"S")
        await writer.start_tls(tls)
        behind = await asyncio.open_connection(url.host, url.port)
        await asyncio.gather(carry(reader, behind[1]), carry(behind[0], writer))

    async with listening(serve) as port, public(monkeypatch) as client:
        if trusted:
            client.tls.load_verify_locations(certificate)
        assert await asked(client, url.set(port=port, query=query)) == answer


async def test_a_database_without_tls_says_so_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening(has_no_tls) as port, public(monkeypatch) as client:
        broker = broker_of(client, secrets={"DATABASE_URL": f"postgresql://u:canary-pw@db.example.com:{port}/x"})
        with pytest.raises(BrokerDenied) as denied:
            await broker.ask("db", "query", {"sql": "SELECT 1 AS n"})
    assert denied.value.message == "the database of DATABASE_URL does not speak TLS"
    assert "sslmode=disable" in denied.value.fix


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.transport.abort()


async def reads(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def floods(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An error message of a gigabyte, as far as anybody listens."""
    writer.write(b"E" + (1 << 30).to_bytes(4, "big"))
    while True:
        writer.write(bytes(1 << 20))
        await writer.drain()


async def talks_http(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await writer.drain()


async def has_no_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readexactly(8)
    writer.write(b"N")
    assert await reader.read() == b""  # neither a name nor a password


async def talks_before_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readexactly(8)
    writer.write(b"S" + b"R\x00\x00\x00\x08\x00\x00\x00\x00")
    assert await reader.read() == b""


async def wants_the_password(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """In the clear."""
    size = int.from_bytes(await reader.readexactly(4), "big")
    await reader.readexactly(size - 4)
    writer.write(b"R\x00\x00\x00\x08\x00\x00\x00\x03")
    assert b"canary" not in await reader.read()


@pytest.mark.parametrize(
    ("serve", "mode", "codes"),
    [
        (reads, "disable", {DenialCode.UPSTREAM_TIMEOUT}),
        (reads, "verify-full", {DenialCode.UPSTREAM_TIMEOUT}),
        (floods, "disable", {DenialCode.RESPONSE_TOO_LARGE, DenialCode.LOGIN_REFUSED}),
        (floods, "verify-full", {DenialCode.UPSTREAM_UNREACHABLE}),
        (talks_http, "disable", {DenialCode.LOGIN_REFUSED}),
        (talks_http, "verify-full", {DenialCode.UPSTREAM_UNREACHABLE}),
        (has_no_tls, "verify-full", {DenialCode.UPSTREAM_UNREACHABLE}),
        (talks_before_tls, "require", {DenialCode.UPSTREAM_UNREACHABLE}),
        (wants_the_password, "disable", {DenialCode.LOGIN_REFUSED}),
    ],
)
async def test_servers_that_mean_harm(
    monkeypatch: pytest.MonkeyPatch, serve: Serve, mode: str, codes: set[DenialCode]
) -> None:
    failed: list[BaseException] = []

    async def watched(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except AssertionError as error:
            failed.append(error)

    async with listening(watched) as port, public(monkeypatch) as client:
        url = make_url(f"postgresql://ada:canary@db.example.com:{port}/shop?sslmode={mode}")
        assert await asked(client, url, call_seconds=0.5) in codes
    assert failed == []


async def test_a_database_of_a_private_network_is_never_dialled() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["10.0.0.5"]

    async with client_of({}, resolve) as client:
        assert await asked(client, make_url("postgresql://ada:x@db.example.com/x")) == DenialCode.ADDRESS_NOT_PUBLIC
