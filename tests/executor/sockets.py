"""WebSocket servers of the test: one that speaks the protocol, and one whose bytes a test writes by hand."""

import asyncio
import base64
import hashlib
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from executor.brokers import Place

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@dataclass
class Talk:
    """What a server heard, and the connections that it had; `ended` is set when the last one is gone."""

    place: str = ""
    heard: list[str | bytes] = field(default_factory=list)
    connections: list[ServerConnection] = field(default_factory=list)
    open: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)


Answers = Callable[[ServerConnection, str | bytes], Awaitable[None]]


async def echo(connection: ServerConnection, message: str | bytes) -> None:
    await connection.send(message)


@asynccontextmanager
async def talking(
    answers: Answers = echo, *, subprotocols: list[str] | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Talk]:
    """Serve on a free loopback port; every message is given to `answers`."""
    talk = Talk()

    async def handle(connection: ServerConnection) -> None:
        talk.connections.append(connection)
        talk.open += 1
        try:
            async for message in connection:
                talk.heard.append(message)
                await answers(connection, message)
        except ConnectionClosed:
            pass
        finally:
            talk.open -= 1
            if not talk.open:
                talk.ended.set()

    async with serve(handle, "127.0.0.1", 0, subprotocols=subprotocols, ssl=tls) as server:  # type: ignore[arg-type]
        talk.place = f"127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        yield talk


def accepting(request: bytes, *more: str) -> bytes:
    """The answer that opens the WebSocket which a request asks for."""
    key = re.search(rb"(?i)sec-websocket-key: (\S+)", request)
    assert key is not None
    accept = base64.b64encode(hashlib.sha1(key[1] + _GUID.encode()).digest()).decode()
    lines = ["HTTP/1.1 101 Go", "Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Accept: {accept}", *more]
    return "\r\n".join([*lines, "", ""]).encode()


Bytes = Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def hostile(does: Bytes) -> AsyncIterator[Place]:
    """Serve on a free loopback port: `does` gets the head of the request and both streams."""
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await does(await reader.readuntil(b"\r\n\r\n"), reader, writer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the broker hung up, or the test is over
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield Place(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
