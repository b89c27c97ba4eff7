"""Carries what a client library says to a place that our own dialler reached, and counts what comes back.

So a library that dials by itself and reads without bounds never sees the network: it is given a socket of this machine,
behind which are our addresses, our TLS and our limits. Waits have no deadline here: the caller sets one.
"""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from hardpoint_kit.dial import Streams

_CHUNK = 64 * 1024


class Relay:
    """One connection; `received` and `sent` count bytes, `overrun` says that more came than was allowed."""

    def __init__(self, upstream: Streams) -> None:
        self._reader, self._writer = upstream
        self._local: asyncio.StreamWriter | None = None
        self._pumps: tuple[asyncio.Task[None], ...] = ()
        self._allowed = 0
        self.received = 0
        self.sent = 0
        self.overrun = False

    @asynccontextmanager
    async def socket(self, name: str) -> AsyncIterator[str]:
        """A folder of our own with a Unix socket of this name, which takes one connection while the block runs."""
        folder = tempfile.mkdtemp(prefix="hardpoint-")  # for nobody else: 0700
        try:
            server = await asyncio.start_unix_server(self._accept, str(Path(folder) / name))
            try:
                yield folder
            finally:
                server.close()
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def allow(self, bytes_more: int) -> None:
        """Let so many bytes come from now on; one more ends the connection."""
        self._allowed = self.received + bytes_more

    @property
    def is_open(self) -> bool:
        """Whether neither side has ended it."""
        return bool(self._pumps) and not any(pump.done() for pump in self._pumps)

    def close(self) -> None:
        """End it at once."""
        for pump in self._pumps:
            pump.cancel()
        self._writer.transport.abort()
        if self._local is not None:
            self._local.transport.abort()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._local is not None:
            writer.transport.abort()
            return
        self._local = writer
        self._pumps = (asyncio.create_task(self._bring(writer)), asyncio.create_task(self._send(reader)))

    async def _bring(self, local: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await self._reader.read(_CHUNK):
                self.received += len(data)
                if self.received > self._allowed:
                    self.overrun = True
                    break
                local.write(data)
                await local.drain()
        if self.overrun:
            self.close()
        local.close()  # what came before the end still arrives

    async def _send(self, local: asyncio.StreamReader) -> None:
        with suppress(OSError):
            while data := await local.read(_CHUNK):
                self.sent += len(data)
                self._writer.write(data)
                await self._writer.drain()
        self._writer.close()
