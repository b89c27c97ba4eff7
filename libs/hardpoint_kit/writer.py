"""Owns the quickest way to disk: one statement of a unit's own work, in one round trip, on a connection kept for it."""

import asyncio
from collections.abc import Mapping
from typing import Any, LiteralString

import psycopg
from opentelemetry import trace
from sqlalchemy import make_url

from hardpoint_kit.database import CONNECT_SECONDS, STATEMENT_SECONDS
from hardpoint_kit.errors import DeadlineExceeded, Unavailable

_tracer = trace.get_tracer(__name__)


class Writer:
    """One connection in autocommit that sees the rows of every org: each statement is a transaction.

    It is for statements that many calls wait for, where the four round trips of a transaction would be most of the
    wait. Its users write for every org, so each statement has to name the org of each row.
    """

    def __init__(self, url: str) -> None:
        self._conninfo = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._cursor: psycopg.AsyncCursor[Any] | None = None
        self._turn = asyncio.Lock()

    async def write(self, statement: LiteralString, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Run a statement; it is on disk when this returns, with what it gives back.

        The statement must be one that may run twice: it is repeated when the connection turns out to be dead. Raises
        Unavailable while the database cannot be reached, DeadlineExceeded for a statement that takes too long.
        """
        with _tracer.start_as_current_span("write"):
            async with self._turn:
                try:
                    try:
                        return await self._execute(statement, parameters)
                    except psycopg.OperationalError:
                        if self._connection is not None and not self._connection.broken:
                            raise
                        return await self._execute(statement, parameters)
                except psycopg.errors.QueryCanceled as error:
                    raise DeadlineExceeded(f"a statement took longer than {STATEMENT_SECONDS} seconds") from error
                except psycopg.OperationalError as error:
                    raise Unavailable(
                        "the database cannot be reached", fix="try again; it may be restarting", retry_after=1.0
                    ) from error

    async def close(self) -> None:
        """Close the connection."""
        async with self._turn:
            if self._connection is not None:
                await self._connection.close()
                self._connection = None

    async def _execute(self, statement: LiteralString, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        if self._cursor is None or self._connection is None or self._connection.closed:
            self._connection = await psycopg.AsyncConnection.connect(
                self._conninfo,
                autocommit=True,
                prepare_threshold=1,
                connect_timeout=CONNECT_SECONDS,
                options=f"-c statement_timeout={STATEMENT_SECONDS}s -c hardpoint.org=*",
            )
            self._cursor = self._connection.cursor()
        await self._cursor.execute(statement, parameters)
        return await self._cursor.fetchall() if self._cursor.description else []
