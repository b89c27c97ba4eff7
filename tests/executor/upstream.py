"""A real HTTP server on loopback whose answers a test writes byte by byte, and which remembers what it was asked."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it arrived; header names are in small letters."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)


Respond = Callable[[Seen], bytes | AsyncIterator[bytes]]


def answer(body: bytes = b"", status: int = 200, headers: Mapping[str, str] | None = None) -> bytes:
    """The bytes of a complete HTTP answer."""
    lines = {"Content-Length": str(len(body)), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} Status\r\n{head}\r\n".encode() + body


def json_answer(value: Any, status: int = 200) -> bytes:
    return answer(json.dumps(value).encode(), status, {"Content-Type": "application/json"})


def redirect(location: str, status: int = 302) -> bytes:
    return answer(b"", status, {"Location": location})


class Upstream:
    """Serves `respond` on a free loopback port while it is entered."""

    def __init__(self, respond: Respond | None = None, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.respond: Respond = respond or (lambda _: json_answer({}))
        self.seen: list[Seen] = []
        self.connections = 0

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            while (request := await _read(reader)) is not None:
                self.seen.append(request)
                response = self.respond(request)
                if isinstance(response, bytes):
                    writer.write(response)
                else:
                    async for chunk in response:
                        writer.write(chunk)
                        await writer.drain()
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the broker hung up, or the test is over
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Seen | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    request_line, *lines = head.decode("latin-1").split("\r\n")[:-2]
    method, target, _ = request_line.split(" ")
    if method == "PRI":
        return None  # HTTP/2: a client of gRPC still dials a server of another test, which had this port
    headers = tuple((name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines))
    length = next((int(value) for name, value in headers if name == "content-length"), 0)
    return Seen(method, target, headers, await reader.readexactly(length))
