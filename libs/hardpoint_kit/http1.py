"""Owns one HTTP/1.1 connection: bytes on the streams of asyncio, and llhttp (by httptools) to say what they mean.

Reads and writes have no deadline of their own: the call they belong to has one.
"""

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

READ_BYTES = 64 * 1024
LARGEST_HEAD = 100 * 1024
"""Bytes of status line and headers that are read before giving up."""
MOST_BEFORE = 8
"""Of what may come before an answer, such as `100 Continue`; without end it would keep everybody waiting."""
MOST_AROUND = 8
"""Times its own size that a body may take on its way: what stands around its chunks has no end of its own either."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TARGET = re.compile(r"[!-~]+")
_VALUE = re.compile(r"(?:[!-~](?:[\t -~]*[!-~])?)?")


class NotHttp(Exception):
    """What would be sent, or what came back, is not HTTP/1.1."""


@dataclass(frozen=True, slots=True)
class Head:
    """The beginning of an answer: its status, and its headers as they came, in order."""

    status: int
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)


class Connection:
    """An open connection, for one exchange after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._answer = _Answer(bodiless=False)

    async def start_tls(self, tls: ssl.SSLContext, host: str) -> None:
        """Speak TLS from here on, with whoever has a certificate for `host`; raises OSError."""
        await self._writer.start_tls(tls, server_hostname=host)

    async def ask(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> Head:
        """Send a request and return the head of its answer; raises OSError, NotHttp.

        The headers say where the body ends: nothing is added to them.
        """
        sent = _head(method, target, headers)
        answer = self._answer = _Answer(bodiless=method == "HEAD")
        self._writer.write(sent + body if body else sent)
        # A server may answer before it has read all, and close: its answer says more than the broken pipe.
        with contextlib.suppress(ConnectionError):
            await self._writer.drain()
        while answer.head is None:
            answer.feed(await self._reader.read(READ_BYTES))
        return answer.head

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body of the answer; raises as ask does."""
        answer = self._answer
        while True:
            for part in answer.take():
                yield part
            if answer.complete:
                return
            answer.feed(await self._reader.read(READ_BYTES))

    def renew(self) -> bool:
        """Get ready for another exchange; False when this connection cannot carry one."""
        return self._answer.complete and self._answer.can_follow and self.is_open

    @property
    def is_open(self) -> bool:
        """Whether the other side has not ended it, nor says what it was not asked: that would be the next answer."""
        said = self._reader._buffer  # type: ignore[attr-defined]  # what waits can be looked at nowhere else
        return not (said or self._reader.at_eof() or self._writer.is_closing())

    def close(self) -> None:
        """End it, without waiting for a peer that is slow to agree."""
        self._writer.transport.abort()


class _Answer:
    """One answer while it is read, as llhttp tells it; what comes after its end spoils the connection, no more."""

    def __init__(self, bodiless: bool) -> None:
        self.head: Head | None = None
        self.complete = False
        self.can_follow = False
        """Whether another exchange may follow on the connection."""
        self._bodiless = bodiless
        self._headers: list[tuple[bytes, bytes]] = []
        self._parts: list[bytes] = []
        self._until_closed = False
        self._fed = 0
        self._body_bytes = 0
        self._before = 0
        self._parser = HttpResponseParser(self)
        # Servers that end lines without a carriage return are many, and RFC 9112 (2.2) lets a client read them.
        self._parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True)

    def feed(self, data: bytes) -> None:
        """Read on; nothing is the end of the connection. Raises NotHttp."""
        if not data:
            if self.head is None or not self._until_closed:
                raise NotHttp("the connection ended before the answer")
            self.complete = True
            return
        self._fed += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            if not self.complete:
                raise NotHttp(str(error)) from None
            self.can_follow = False
        if self._fed - self._body_bytes > LARGEST_HEAD + MOST_AROUND * self._body_bytes:
            raise NotHttp("too much stands around the answer")

    def take(self) -> list[bytes]:
        """What has come of the body since it was last asked."""
        parts, self._parts = self._parts, []
        return parts

    def on_message_begin(self) -> None:
        """See httptools."""
        if self.complete:
            self.can_follow = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """See httptools; what comes after the head is a trailer, which nobody asked for."""
        if self.head is None:
            self._headers.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        """See httptools."""
        if self.complete:
            return
        status = self._parser.get_status_code()
        if self._parser.get_http_version() not in ("1.1", "1.0") or status == 101:
            raise NotHttp("an answer in another protocol")
        if status < 200:
            self._headers.clear()
            self._before += 1
            if self._before > MOST_BEFORE:
                raise NotHttp("too much comes before the answer")
            return
        names = [name.lower() for name, _ in self._headers]
        encodings = [value.lower() for name, value in self._headers if name.lower() == b"transfer-encoding"]
        if encodings and encodings != [b"chunked"]:
            raise NotHttp("an encoding of the transfer that was not asked for")
        self._until_closed = not encodings and b"content-length" not in names
        self.head = Head(status, self._headers)
        if self._bodiless:
            self._end()

    def on_body(self, body: bytes) -> None:
        """See httptools."""
        if self.complete:
            self.can_follow = False
            return
        self._body_bytes += len(body)
        self._parts.append(body)

    def on_message_complete(self) -> None:
        """See httptools."""
        if self.head is not None and not self.complete:
            self._end()

    def _end(self) -> None:
        self.complete = True
        self.can_follow = self._parser.should_keep_alive()


def _head(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    """The lines before a body, each of which is one; raises NotHttp for what would be two, or none."""
    if not (_TOKEN.fullmatch(method) and _TARGET.fullmatch(target)):
        raise NotHttp("no request has such a method or target")
    lines = [f"{method} {target} HTTP/1.1"]
    for name, value in headers.items():
        if not (_TOKEN.fullmatch(name) and _VALUE.fullmatch(value)):
            raise NotHttp(f"no header {name!r} can be sent")
        lines.append(f"{name}: {value}")
    return "\r\n".join([*lines, "", ""]).encode("ascii")
