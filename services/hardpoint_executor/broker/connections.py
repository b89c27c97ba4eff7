"""Owns the connections of one capability of one organisation: so many at once, and a few kept for the next call."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from hardpoint_executor.broker.dial import GuardedDialler
from hardpoint_executor.limits import seconds, whole
from hardpoint_kit.http1 import Connection

MOST_AT_ONCE = whole("http_connections.at_once")
MOST_KEPT = whole("http_connections.kept")
KEPT_SECONDS = seconds("http_connections.kept_seconds")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a connection leads; `tls` is whether it is spoken to under TLS."""

    host: str
    port: int
    tls: bool


@dataclass(frozen=True, slots=True)
class _Kept:
    origin: Origin
    connection: Connection
    until: float


class Connections:
    """Connections of one owner, never lent to another. Waiting for one has no deadline: the call has one."""

    def __init__(self, dialler: GuardedDialler, tls: ssl.SSLContext) -> None:
        self._dialler = dialler
        self._tls = tls
        self._room = asyncio.Semaphore(MOST_AT_ONCE)
        self._kept: list[_Kept] = []
        self.users = 0

    @asynccontextmanager
    async def to(self, origin: Origin) -> AsyncIterator[Connection]:
        """A connection for one exchange; raises OSError, and BrokerDenied for a host that may not be dialled."""
        self.users += 1
        try:
            async with self._room:
                connection = self._taken(origin) or await self._opened(origin)
                try:
                    yield connection
                finally:
                    self._give_back(origin, connection)
        finally:
            self.users -= 1

    def close(self) -> None:
        """Close those that are kept."""
        while self._kept:
            self._kept.pop().connection.close()

    def _taken(self, origin: Origin) -> Connection | None:
        """The one to this origin that was used last: it is the likeliest to be open at the other end."""
        now = time.monotonic()
        for kept in [kept for kept in self._kept if kept.until <= now or not kept.connection.is_open]:
            self._kept.remove(kept)
            kept.connection.close()
        for kept in reversed(self._kept):
            if kept.origin == origin:
                self._kept.remove(kept)
                return kept.connection
        return None

    async def _opened(self, origin: Origin) -> Connection:
        connection = Connection(*await self._dialler.connect(origin.host, origin.port))
        if origin.tls:
            try:
                await connection.start_tls(self._tls, origin.host)
            except BaseException:
                connection.close()
                raise
        return connection

    def _give_back(self, origin: Origin, connection: Connection) -> None:
        if not connection.renew():
            connection.close()
            return
        self._kept.append(_Kept(origin, connection, time.monotonic() + KEPT_SECONDS))
        if len(self._kept) > MOST_KEPT:
            self._kept.pop(0).connection.close()
