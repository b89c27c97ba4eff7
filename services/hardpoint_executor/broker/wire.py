"""Owns one WebSocket: messages over streams that our own dialler opened, and everything that comes counted.

The library only says what the bytes mean. No extension is offered to the server, compression neither: a message has the
size that it travelled with. Nothing is read but while somebody waits for a message, so a server cannot fill our memory,
and its pings are answered then. Waits have no deadline here: the caller sets one.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus, PayloadTooBig
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI

from hardpoint_executor.broker.policy import Target
from hardpoint_kit.dial import Streams

_READ_BYTES: Final = 4096
"""At once, after which others have their turn: two thousand frames fit in, and each takes time."""
_SILENT: Final = logging.Logger("websockets", logging.CRITICAL)
"""The library would write headers and messages into a log of debugging."""


class HandshakeFailed(Exception):
    """The server did not open a WebSocket: with an HTTP status, or 0 where what it said is no handshake at all."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


class Broken(Exception):
    """The server broke the protocol, or sent a message that is larger than allowed."""

    def __init__(self, *, too_large: bool = False) -> None:
        super().__init__("too large" if too_large else "no WebSocket")
        self.too_large = too_large


@dataclass(frozen=True, slots=True)
class Message:
    """A whole message."""

    data: bytes
    is_text: bool


class Wire:
    """A WebSocket. `received` is told of bytes, then of the frames in them, `sent` of bytes; both may raise."""

    def __init__(
        self, streams: Streams, most_bytes: int, received: Callable[[int, int], None], sent: Callable[[int], None]
    ) -> None:
        self._reader, self._writer = streams
        self._most_bytes = most_bytes
        self._received = received
        self._sent = sent
        self._protocol: ClientProtocol
        self._messages: deque[Message] = deque()
        self._parts = bytearray()
        self._is_text = False
        self._reading = asyncio.Lock()
        self._over = False

    async def shake_hands(self, target: Target, headers: Mapping[str, str], subprotocols: Sequence[str]) -> str:
        """Ask the server for a WebSocket; the subprotocol that it chose. Raises HandshakeFailed, OSError."""
        path, _, query = target.path.partition("?")
        self._protocol = ClientProtocol(
            WebSocketURI(target.scheme == "https", target.host, target.port, path, query),
            subprotocols=[Subprotocol(name) for name in subprotocols] or None,
            max_size=self._most_bytes,
            logger=_SILENT,
        )
        request = self._protocol.connect()
        for name, value in headers.items():
            request.headers[name] = value
        self._protocol.send_request(request)
        await self._flush()
        while self._protocol.state is State.CONNECTING and self._protocol.handshake_exc is None:
            await self._read()
        if (failed := self._protocol.handshake_exc) is not None:
            raise HandshakeFailed(failed.response.status_code if isinstance(failed, InvalidStatus) else 0)
        return self._protocol.subprotocol or ""

    async def send(self, message: Message) -> None:
        """Send a message; raises OSError. One that is cancelled leaves nothing that could be gone on with."""
        if message.is_text:
            self._protocol.send_text(message.data)
        else:
            self._protocol.send_binary(message.data)
        try:
            await self._flush()
        except BaseException:
            self.abort()
            raise

    async def receive(self) -> Message | None:
        """The next message; None when there will be none. Raises Broken, OSError."""
        async with self._reading:
            while not self._messages:
                if not self.is_open:
                    return None
                await self._read()
            return self._messages.popleft()

    async def close(self) -> None:
        """Say that it is over, and wait until the server says so too; raises as receive."""
        if not self.is_open:
            return
        self._protocol.send_close(CloseCode.NORMAL_CLOSURE)
        await self._flush()
        async with self._reading:
            while not self._over:
                await self._read()
                self._messages.clear()

    @property
    def is_open(self) -> bool:
        """Whether neither side has ended it."""
        return not self._over and self._protocol.state is State.OPEN

    @property
    def closed(self) -> tuple[int, str]:
        """With which code and words the server closed it; 1006 where it said nothing."""
        said = self._protocol.close_rcvd
        return (int(said.code), said.reason) if said is not None else (int(CloseCode.ABNORMAL_CLOSURE), "")

    def abort(self) -> None:
        """End it at once, without waiting for a peer that is slow to agree."""
        self._over = True
        self._messages.clear()
        with suppress(AttributeError):  # raised by 3.11.2 for a TLS connection that is lost already
            self._writer.transport.abort()

    async def _read(self) -> None:
        """Take what comes next, and answer it where the protocol asks for an answer."""
        await asyncio.sleep(0)  # what is there already is read without waiting
        data = await self._reader.read(_READ_BYTES)
        if data:
            self._received(len(data), 0)
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
        frames = [event for event in self._protocol.events_received() if isinstance(event, Frame)]
        self._received(0, len(frames))
        for frame in frames:
            self._take(frame)
        if data and (wrong := self._protocol.parser_exc) is not None:
            raise Broken(too_large=isinstance(wrong, PayloadTooBig))
        await self._flush()
        if not data or self._protocol.close_rcvd is not None:
            self._over = True
            self._writer.close()

    def _take(self, frame: Frame) -> None:
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self._is_text = frame.opcode is Opcode.TEXT
        elif frame.opcode is not Opcode.CONT:
            return
        self._parts += frame.data
        if frame.fin:
            self._messages.append(_checked(Message(bytes(self._parts), self._is_text)))
            self._parts.clear()

    async def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._sent(len(data))
                self._writer.write(data)
        await self._writer.drain()


def _checked(message: Message) -> Message:
    """The message; raises Broken for a text that is none."""
    if message.is_text:
        try:
            message.data.decode()
        except UnicodeDecodeError:
            raise Broken from None
    return message
