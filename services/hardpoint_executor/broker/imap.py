"""IMAP, as little of it as reading needs: a login, a folder that is only looked at, a search, and what was found.

Every answer is bounded before it is read, and what is sent is a command of ours whose values are quoted or announced as
literals, so none begins another command. Waits have no deadline here: the caller sets one.
"""

import asyncio
import base64
import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from hardpoint_kit.dial import Streams

MOST_LINES: Final = 10_000
"""Of the answer to one command; a literal is followed by another."""
_LINES_AT_ONCE: Final = 64
"""After which others have their turn: what has come already is read without waiting."""
_LITERAL: Final = re.compile(rb"\{(\d{1,10})\+?\}\r\n\Z")
_QUOTABLE: Final = re.compile(r"[\x20-\x7e]*")


class ImapError(Exception):
    """What the server says or does is not IMAP."""


class TooLarge(Exception):
    """The server says more than is allowed."""


class Refused(Exception):
    """The server said NO or BAD to a command; the message is in its own words."""


@dataclass(frozen=True, slots=True)
class Value:
    """A text in a command, which is anything without a line break."""

    text: str


Command = Sequence[str | Value]
"""Words of ours, and values."""


@dataclass(slots=True)
class Answer:
    """One untagged answer: its lines as one text, with a space in the place of each literal."""

    text: str
    literals: list[bytes] = field(default_factory=list)


class Imap:
    """One connection, not greeted yet; `sent` and `received` count bytes."""

    def __init__(self, streams: Streams, most: int) -> None:
        self._reader, self._writer = streams
        self._left = most
        self._number = 0
        self._lines = 0
        """Of the answer that is being read."""
        self.sent = 0
        self.received = 0

    def close(self) -> None:
        """End it at once."""
        self._writer.transport.abort()

    async def start_tls(self, tls: ssl.SSLContext, host: str) -> None:
        """Speak TLS from here on; raises OSError."""
        await self._writer.start_tls(tls, server_hostname=host)

    async def greeted(self) -> None:
        """Wait for the server's first line."""
        greeting = await self._line()
        if not greeting.startswith((b"* OK", b"* PREAUTH")):
            raise ImapError

    async def ask(self, *command: str | Value) -> list[Answer]:
        """Send a command and return what the server says before it says OK; raises Refused, ImapError, TooLarge."""
        self._number += 1
        self._lines = 0
        tag = f"a{self._number}".encode()
        answers: list[Answer] = []
        for part in _parts(tag, command):
            await self._send(part)
            if part.endswith(b"}\r\n"):
                await self._continued(tag, answers)
        while (done := await self._answer(tag, answers)) is None:
            pass
        return self._ended(done, answers)

    def nothing_waits(self) -> None:
        """Refuse bytes that came ahead of their time: before TLS, they would be read as if they had come under it."""
        if self._reader._buffer:  # type: ignore[attr-defined]  # what waits can be looked at nowhere else
            raise ImapError

    def _ended(self, done: bytes, answers: list[Answer]) -> list[Answer]:
        if done[:2].upper() != b"OK":
            raise Refused(done.decode(errors="replace").strip())
        return answers

    async def _continued(self, tag: bytes, answers: list[Answer]) -> None:
        """Wait until the server wants the literal that was announced."""
        while True:
            line = await self._line()
            if line.startswith(b"+"):
                return
            if line.startswith(tag + b" "):
                raise Refused(line[len(tag) + 1 :].decode(errors="replace").strip())
            await self._untagged(line, answers)

    async def _answer(self, tag: bytes, answers: list[Answer]) -> bytes | None:
        """Read one answer; what follows the tag when it is the last."""
        line = await self._line()
        if line.startswith(tag + b" "):
            return line[len(tag) + 1 :]
        await self._untagged(line, answers)
        return None

    async def _untagged(self, line: bytes, answers: list[Answer]) -> None:
        if not line.startswith(b"* "):
            raise ImapError
        answer = Answer("")
        while announced := _LITERAL.search(line):
            answer.text += line[: announced.start()].decode(errors="replace") + " "
            answer.literals.append(await self._exactly(int(announced[1])))
            line = await self._line()
        answer.text += line.decode(errors="replace")
        answers.append(answer)

    async def _line(self) -> bytes:
        self._lines += 1
        if self._lines > MOST_LINES:
            raise ImapError
        if self._lines % _LINES_AT_ONCE == 0:
            await asyncio.sleep(0)
        try:
            line = await self._reader.readuntil(b"\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            raise ImapError from None
        self._count(len(line))
        return line

    async def _exactly(self, size: int) -> bytes:
        if size > self._left:
            raise TooLarge
        try:
            data = await self._reader.readexactly(size)
        except asyncio.IncompleteReadError:
            raise ImapError from None
        self._count(size)
        return data

    def _count(self, size: int) -> None:
        self.received += size
        self._left -= size
        if self._left < 0:
            raise TooLarge

    async def _send(self, data: bytes) -> None:
        self.sent += len(data)
        self._writer.write(data)
        await self._writer.drain()


def _parts(tag: bytes, command: Command) -> list[bytes]:
    """A command as it is sent: after each part but the last the server is waited for."""
    parts, line = [], tag
    for one in command:
        if isinstance(one, str):
            line += b" " + one.encode("ascii")
        elif _QUOTABLE.fullmatch(one.text):
            escaped = one.text.replace("\\", "\\\\").replace('"', '\\"')
            line += b' "' + escaped.encode() + b'"'
        else:
            value = one.text.encode()
            parts.append(line + b" {%d}\r\n" % len(value))
            line = value
    return [*parts, line + b"\r\n"]


def folder_name(name: str) -> Value:
    """A folder's name as IMAP writes it: what is not ASCII in a base64 of its own (RFC 3501, 5.1.3)."""

    def encoded(match: re.Match[str]) -> str:
        if match[0] == "&":
            return "&-"
        return f"&{base64.b64encode(match[0].encode('utf-16-be')).decode().rstrip('=').replace('/', ',')}-"

    return Value(re.sub(r"&|[^\x20-\x7e]+", encoded, name))
