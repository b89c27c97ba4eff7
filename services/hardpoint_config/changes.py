"""Owns the news of changed settings documents: told in the transaction of the change, heard by every config process.

PostgreSQL carries them (NOTIFY at commit, LISTEN on a connection of its own), so any number of processes share them.
The connection must reach the server itself: a pooler between that shares it out per transaction loses notifications.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from itertools import islice

import psycopg
import structlog
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection

from hardpoint_kit.errors import Unavailable
from hardpoint_kit.names import SettingsName

CHANNEL = "settings_changed"
START_SECONDS = 5.0
RECONNECT_SECONDS = 0.5
MOST_NAMES = 1000

_ANNOUNCE = text("SELECT pg_notify(:channel, name) FROM unnest(CAST(:names AS text[])) AS name")
_log = structlog.stdlib.get_logger(__name__)


async def announce(connection: AsyncConnection, names: Iterable[SettingsName]) -> None:
    """Tell every watcher that these documents changed, once the transaction of `connection` is committed."""
    told = [str(name) for name in names]
    if told:
        await connection.execute(_ANNOUNCE, {"channel": CHANNEL, "names": told})


class Changes:
    """Hears of changed settings documents and passes their names on to watchers, for as long as it is started."""

    def __init__(self, database_url: str) -> None:
        url = make_url(database_url).set(drivername="postgresql")
        self._conninfo = url.render_as_string(hide_password=False)
        self._heard = asyncio.Event()
        self._watchers: set[_Watcher] = set()
        self._listening: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen from now on, again after every loss of the connection; waits a little for the first one."""
        self._listening = asyncio.create_task(self._listen())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_SECONDS):
                await self._heard.wait()

    async def stop(self) -> None:
        """Stop listening and end every watch."""
        if self._listening is not None:
            self._listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._listening

    def reasons_not_ready(self) -> list[str]:
        """Return why changes are not heard now, nothing when they are."""
        return [] if self._heard.is_set() else ["changes of settings are not heard: the database connection is lost"]

    async def watch(self) -> AsyncGenerator[tuple[str, ...], None]:
        """Yield the names of documents that change from now on, gathered while the reader is busy; first, none.

        Raises Unavailable when a change may have been missed: what was read before is then to be read again.
        """
        if not self._heard.is_set():
            raise _missed()
        watcher = _Watcher()
        self._watchers.add(watcher)
        try:
            yield ()
            while True:
                yield await watcher.next()
        finally:
            self._watchers.discard(watcher)

    async def _listen(self) -> None:
        while True:
            try:
                async for name in self._notifications():
                    for watcher in self._watchers:
                        watcher.tell(name)
            except psycopg.Error as error:
                _log.warning("changes of settings are not heard", error=str(error).strip())
            finally:
                self._heard.clear()
                for watcher in self._watchers:
                    watcher.lose()
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _notifications(self) -> AsyncIterator[str]:
        # The keepalives find out within half a minute that the server is gone without a word.
        async with await psycopg.AsyncConnection.connect(
            self._conninfo, autocommit=True, connect_timeout=2, keepalives_idle=10, keepalives_interval=5,
            keepalives_count=3,
        ) as connection:  # fmt: skip
            await connection.execute(f"LISTEN {CHANNEL}")
            self._heard.set()
            async for notification in connection.notifies():
                yield notification.payload


class _Watcher:
    """One reader's names that it has not read yet; a name told twice meanwhile is read once, so memory is bounded."""

    def __init__(self) -> None:
        self._names: dict[str, None] = {}
        self._lost = False
        self._woken = asyncio.Event()

    def tell(self, name: str) -> None:
        self._names[name] = None
        self._woken.set()

    def lose(self) -> None:
        self._lost = True
        self._woken.set()

    async def next(self) -> tuple[str, ...]:
        await self._woken.wait()
        if self._lost:
            raise _missed()
        names = tuple(islice(self._names, MOST_NAMES))
        for name in names:
            del self._names[name]
        if not self._names:
            self._woken.clear()
        return names


def _missed() -> Unavailable:
    return Unavailable(
        "changes of settings are not heard now",
        fix="drop every lease and watch again",
        retry_after=RECONNECT_SECONDS,
    )
