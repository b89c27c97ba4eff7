"""Owns one HTTP/1.1 connection: bytes on the streams of asyncio, and h11 to say what they mean.

Reads and writes have no deadline of their own: the call they belong to has one.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from typing import Any

import h11

READ_BYTES = 64 * 1024
LARGEST_HEAD = 100 * 1024
"""Bytes of status line and headers that are read before giving up."""
MOST_BEFORE = 8
"""Of what may come before an answer, such as `100 Continue`; without end it would keep everybody waiting."""


class Connection:
    """An open connection, for one exchange after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=LARGEST_HEAD)

    async def start_tls(self, tls: ssl.SSLContext, host: str) -> None:
        """Speak TLS from here on, with whoever has a certificate for `host`; raises OSError."""
        await self._writer.start_tls(tls, server_hostname=host)

    async def ask(self, request: h11.Request, body: bytes | None) -> h11.Response:
        """Send a request and return the head of its answer; raises OSError, h11.ProtocolError for what is not HTTP."""
        sent = self._http.send(request) or b""
        if body:
            sent += self._http.send(h11.Data(data=body)) or b""
        sent += self._http.send(h11.EndOfMessage()) or b""
        self._writer.write(sent)
        # A server may answer before it has read all, and close: its answer says more than the broken pipe.
        with contextlib.suppress(ConnectionError):
            await self._writer.drain()
        for _ in range(MOST_BEFORE + 1):
            if isinstance(event := await self._next(), h11.Response):
                return event
        raise h11.RemoteProtocolError("too much comes before the answer")

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body of the answer; raises as ask does."""
        while isinstance(event := await self._next(), h11.Data):
            yield bytes(event.data)

    def renew(self) -> bool:
        """Get ready for another exchange; False when this connection cannot carry one."""
        states = {self._http.our_state, self._http.their_state}
        if states != {h11.DONE} or self._http.trailing_data[0]:
            return False
        self._http.start_next_cycle()
        return self.is_open

    @property
    def is_open(self) -> bool:
        """Whether the other side has not ended it."""
        return not (self._reader.at_eof() or self._writer.is_closing())

    def close(self) -> None:
        """End it, without waiting for a peer that is slow to agree."""
        self._writer.transport.abort()

    async def _next(self) -> Any:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            data = await self._reader.read(READ_BYTES)
            if not data and self._http.their_state is h11.SEND_RESPONSE:
                raise h11.RemoteProtocolError("the server closed the connection without an answer")
            self._http.receive_data(data)
        return event
