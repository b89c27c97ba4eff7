"""Owns the connection to a unit's PostgreSQL database: transactions under row level security, and migrations."""

import asyncio
import contextlib
import importlib.util
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy.exc
import structlog
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, RevisionStep
from alembic.script import ScriptDirectory
from opentelemetry import trace
from sqlalchemy import URL, Connection, create_engine, make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from hardpoint_kit.errors import Conflict, DeadlineExceeded, HardpointError, Unavailable

CONNECT_SECONDS = 2
POOL_SECONDS = 2
STATEMENT_SECONDS = 30

_migrating = threading.Lock()
"""Alembic keeps the migration that runs in globals of its process."""
_SET_ORG = text("SELECT set_config('hardpoint.org', :org, true)")
_log = structlog.stdlib.get_logger(__name__)
_tracer = trace.get_tracer(__name__)


def tenant_policy(table: str) -> str:
    """Return the DDL that shows rows of `table` to their own org only; the unit's own work uses the org `*`."""
    return f"""
        ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
        ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
        CREATE POLICY tenant ON {table}
            USING (current_setting('hardpoint.org', true) IN (org, '*'))
            WITH CHECK (current_setting('hardpoint.org', true) IN (org, '*'));
    """


class Database:
    """A pool of connections to one database, as a role that row level security holds for."""

    def __init__(self, url: str, pool_size: int = 10) -> None:
        self.engine = create_async_engine(_with_driver(url), **_settings(pool_size))

    @asynccontextmanager
    async def transaction(self, org: str) -> AsyncIterator[AsyncConnection]:
        """Open a transaction that sees the rows of `org`, or of every org for `*`; commits unless the block raises.

        Raises Unavailable within seconds while the database cannot be reached, DeadlineExceeded for a statement
        that takes too long.
        """
        with _tracer.start_as_current_span("transaction"), translated():
            connection = await self._begin(org)
            try:
                yield connection
                await connection.commit()
            finally:
                await asyncio.shield(connection.close())

    async def _begin(self, org: str) -> AsyncConnection:
        """Open a connection; one that died with an earlier server is replaced here, before any work was done."""
        with contextlib.suppress(_StaleConnection):
            return await self._begin_once(org)
        return await self._begin_once(org)

    async def _begin_once(self, org: str) -> AsyncConnection:
        connection = await self.engine.connect()
        try:
            await connection.execute(_SET_ORG, {"org": org})
        except BaseException as error:
            await asyncio.shield(connection.close())
            if isinstance(error, sqlalchemy.exc.DBAPIError) and error.connection_invalidated:
                raise _StaleConnection from error
            raise
        return connection

    async def reasons_not_ready(self) -> list[str]:
        """Return why the database cannot be used now, nothing when it can."""
        try:
            async with self.transaction("*"):
                return []
        except HardpointError as error:
            return [error.message]

    async def wait(self, seconds: float = 30.0) -> None:
        """Wait until the database answers; raises Unavailable when it does not within `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    if not await self.reasons_not_ready():
                        return
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise _unreachable() from None

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()


async def migrate(url: str, package: str) -> None:
    """Bring the database to the newest revision in `<package>/migrations/versions`, forward only.

    Concurrent starters wait for each other. Raises Conflict when the role would bypass row level security.
    """
    await asyncio.to_thread(_migrate, url, _versions(package))


def _migrate(url: str, versions: Path) -> None:
    engine = create_engine(_with_driver(url), **_settings(1))
    try:
        with translated(), _migrating, engine.begin() as connection:
            _upgrade(connection, versions)
    finally:
        engine.dispose()


@contextmanager
def translated() -> Iterator[None]:
    """Turn what the driver raises about the connection into the errors a caller can act on."""
    try:
        yield
    except _StaleConnection as error:
        raise _unreachable() from error
    except sqlalchemy.exc.TimeoutError as error:
        raise Unavailable("every database connection is busy", fix="try again shortly", retry_after=1.0) from error
    except sqlalchemy.exc.DBAPIError as error:
        if isinstance(error.orig, psycopg.errors.QueryCanceled):
            raise DeadlineExceeded(f"a database statement took longer than {STATEMENT_SECONDS} seconds") from error
        if isinstance(error.orig, psycopg.errors.TransactionRollback | psycopg.errors.LockNotAvailable):
            raise Unavailable("another write was in the way", fix="try again", retry_after=0.1) from error
        if isinstance(error.orig, psycopg.errors.DiskFull):
            _log.error("the database has no room left", problem=str(error.orig))
            fix = "the operator of this deployment has to free space where the database keeps its data"
            raise Unavailable("the database has no room left", fix=fix, retry_after=10.0) from error
        if error.connection_invalidated or isinstance(error.orig, psycopg.OperationalError):
            raise _unreachable() from error
        raise


class _StaleConnection(Exception):
    """A pooled connection turned out to be dead at the first statement."""


def _unreachable() -> Unavailable:
    return Unavailable("the database cannot be reached", fix="try again; it may be restarting", retry_after=1.0)


def is_database_url(text: str) -> bool:
    """Whether a text is the URL of a PostgreSQL database."""
    try:
        return make_url(text).get_backend_name() in {"postgresql", "postgres"}
    except (sqlalchemy.exc.ArgumentError, ValueError):
        return False


def _with_driver(url: str) -> URL:
    return make_url(url).set(drivername="postgresql+psycopg")


def _settings(pool_size: int) -> dict[str, Any]:
    return {
        "pool_size": pool_size,
        "max_overflow": 0,
        "pool_timeout": POOL_SECONDS,
        # An error's text reaches logs and traces; what was to be stored must not.
        "hide_parameters": True,
        "connect_args": {
            "connect_timeout": CONNECT_SECONDS,
            "options": f"-c statement_timeout={STATEMENT_SECONDS}s -c idle_in_transaction_session_timeout=60s",
        },
    }


def _versions(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"no package {package}")
    return Path(next(iter(spec.submodule_search_locations))) / "migrations" / "versions"


def _upgrade(connection: Connection, versions: Path) -> None:
    connection.execute(text("SET LOCAL statement_timeout = '10min'"))
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('hardpoint.migrate'))"))
    if connection.scalar(text("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user")):
        raise Conflict(
            "the database role bypasses row level security, which keeps orgs apart",
            fix="connect as a role without SUPERUSER and BYPASSRLS",
        )
    script = ScriptDirectory(versions.parent, version_locations=[versions])

    def newer(revision: object, _context: MigrationContext) -> list[RevisionStep]:
        return script._upgrade_revs("head", revision)  # type: ignore[arg-type]

    with EnvironmentContext(Config(), script, fn=newer) as environment:
        environment.configure(connection=connection)
        environment.run_migrations()
