"""Owns the ear of this process: a connection that hears what any runtime process changed, as PostgreSQL's NOTIFY.

The connection must reach the server itself: a pooler that shares it out per transaction loses notifications.
"""

import asyncio
from collections.abc import Callable, Mapping

import psycopg
import structlog
from psycopg import sql
from sqlalchemy import make_url

from hardpoint_kit.background import Background

CONNECT_SECONDS = 2
BEAT_SECONDS = 1.0
UNACKNOWLEDGED_MILLISECONDS = 1000
RECONNECT_SECONDS = 0.25

_log = structlog.stdlib.get_logger(__name__)


class Listener:
    """Tells each channel's ear what is said there, and `on_listening` whether it hears.

    It asks the server for a sign of life every second, so a connection that died in silence counts as lost soon.
    """

    def __init__(
        self,
        url: str,
        ears: Mapping[str, Callable[[str], None]],
        on_listening: Callable[[bool], None],
    ) -> None:
        self._conninfo = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._ears = ears
        self._on_listening = on_listening
        self._hears = False
        self._listening = Background(self._listen_forever)

    async def start(self) -> None:
        """Listen from now on, again after every loss of the connection."""
        self._listening.start()

    async def stop(self) -> None:
        """Stop listening."""
        await self._listening.stop()

    async def _listen_forever(self) -> None:
        while True:
            try:
                await self._listen()
            except psycopg.Error as error:
                log = _log.warning if self._hears else _log.debug
                log("changes by other processes are not heard", error=str(error).strip())
            finally:
                self._set_hears(False)
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _listen(self) -> None:
        connection = await psycopg.AsyncConnection.connect(
            self._conninfo,
            autocommit=True,
            connect_timeout=CONNECT_SECONDS,
            # The kernel gives up on a sign of life that nobody acknowledges; no timeout of ours could end the wait.
            tcp_user_timeout=UNACKNOWLEDGED_MILLISECONDS,
        )
        async with connection:
            for channel in self._ears:
                await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
            self._set_hears(True)
            while True:
                async for notification in connection.notifies(timeout=BEAT_SECONDS):
                    self._ears[notification.channel](notification.payload)
                await connection.execute("SELECT 1")

    def _set_hears(self, hears: bool) -> None:
        self._hears = hears
        self._on_listening(hears)
