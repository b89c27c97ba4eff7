"""Fixtures for every test: one throw-away PostgreSQL server for the session, and a fresh database for each test.

The server is shared by the workers of pytest-xdist: each joins it, and the last one to leave stops it.
"""

import asyncio
import fcntl
import gc
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import demo.daemon
import psycopg
import pytest
import structlog
from hypothesis import HealthCheck, settings
from psycopg import sql
from sqlalchemy import make_url

import forked
from hardpoint_kit.auth import DevKeys, Verifier
from hardpoint_kit.database import migrate
from hardpoint_kit.options import Options
from hardpoint_kit.rpc.server import Server
from hardpoint_kit.telemetry import setup
from hardpoint_kit.unit import Unit
from hardpointd.postgres import EmbeddedPostgres, ensure_database
from hardpointd.postgres.server import SUPERUSER
from serving import Serve, SetClock

if TYPE_CHECKING:
    from jail.shared import SharedJails

STATE_FOLDER = pytest.StashKey[Path]()
MEMORY = "/dev/shm"
DATABASES_BYTES = 4 << 30
"""More than the databases and logs of all tests take at any time."""

# How long one example takes, or making it up, says more about the machine than about the code.
settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--topology", choices=["one", "many"], help="run the system tests in one topology only")


def pytest_configure(config: pytest.Config) -> None:
    demo.daemon.serve = forked.serve
    configure = structlog.configure
    # A logger that is kept is out of sight of the tests to come.
    structlog.configure = lambda **words: configure(**{**words, "cache_logger_on_first_use": False})
    if hasattr(config, "workerinput"):
        config.stash[STATE_FOLDER] = Path(config.workerinput["state_folder"])
        return
    # Not under pytest's own temporary folder: for root, the server runs as a user who could not enter it.
    folder = Path(tempfile.mkdtemp(prefix="hardpoint-tests-", dir=_quick_place()))
    folder.chmod(0o711)
    config.stash[STATE_FOLDER] = folder


def _quick_place() -> str | None:
    """Memory, where there is enough of it and programs may run from there; else where temporary files are."""
    if not os.path.isdir(MEMORY):
        return None
    found = os.statvfs(MEMORY)
    enough = found.f_bavail * found.f_frsize >= DATABASES_BYTES and not found.f_flag & os.ST_NOEXEC
    return MEMORY if enough else None


def pytest_collectstart() -> None:
    gc.disable()  # until all is collected


def pytest_collection_finish() -> None:
    """Modules and tests stay to the end: nothing is gained by looking through them for what is garbage, each time."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from scheduling import ByWhatIsStarted

    return ByWhatIsStarted(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["state_folder"] = str(node.config.stash[STATE_FOLDER])


def pytest_unconfigure(config: pytest.Config) -> None:
    if STATE_FOLDER in config.stash and not hasattr(config, "workerinput"):
        folder = config.stash[STATE_FOLDER]
        asyncio.run(EmbeddedPostgres(folder).stop())  # a worker that crashed could not leave
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def state_folder(pytestconfig: pytest.Config) -> Path:
    """Where what runs keeps its databases, and any user may pass; removed with all that is left in it at the end."""
    return pytestconfig.stash[STATE_FOLDER]


@pytest.fixture(scope="session")
async def postgres(state_folder: Path) -> AsyncIterator[EmbeddedPostgres]:
    """The throw-away server of this session, on which a password is checked in no time: each test connects often."""
    async with EmbeddedPostgres(state_folder, durable=False) as server:
        password = server.password(SUPERUSER)
        async with await server.connect() as connection:
            await connection.execute("SELECT pg_advisory_lock(hashtext('tests'))")  # the workers do this at once
            await connection.execute(f"ALTER ROLE {SUPERUSER} SET scram_iterations = 1")
            await connection.execute("SET scram_iterations = 1")
            await connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(SUPERUSER), password))
        yield server


@pytest.fixture(scope="session")
def migrated(postgres: EmbeddedPostgres) -> Callable[[str], Awaitable[str]]:
    """The URL of the database that tests of a service package clone, migrated once in this process."""
    urls: dict[str, str] = {}

    async def url(package: str) -> str:
        if package not in urls:
            made = await ensure_database(postgres, package or "hardpoint_empty")
            if package:
                await migrate(made, package)
            urls[package] = made
        return urls[package]

    return url


async def _newest(url: str, package: str) -> None:
    """Stands in for the migration of a database that was copied from one that is migrated."""


@pytest.fixture(scope="session")
def used() -> list[sql.Identifier]:
    """Databases of tests that have ended, to be dropped by the next: a server process may still be leaving them.

    PostgreSQL waits a tenth of a second for each that has somebody in it.
    """
    return []


async def _drop(connection: psycopg.AsyncConnection[Any], database: sql.Identifier) -> None:
    """Drop a database, for which every server process must answer.

    One that waits for a password does not, for a minute. Whoever would have sent it was cancelled, and is garbage that
    holds a connection.
    """
    for patience in "1s", "10s", "0":
        await connection.execute(sql.SQL("SET statement_timeout = {}").format(patience))
        with suppress(psycopg.errors.QueryCanceled):
            await connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(database))
            break
        gc.collect()
    await connection.execute("RESET statement_timeout")


@pytest.fixture
async def database_url(
    postgres: EmbeddedPostgres,
    migrated: Callable[[str], Awaitable[str]],
    used: list[sql.Identifier],
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Callable[..., Awaitable[str]]]:
    """`await database_url("hardpoint_registry")` is the URL of a fresh database with that package's tables.

    Its role is the service's own: it owns the database and is bound by row level security. A service that is started
    on it does not look for migrations again. Without a package the database is empty.
    """
    made: list[sql.Identifier] = []

    async with await postgres.connect() as connection:

        async def url(package: str = "") -> str:
            template = make_url(await migrated(package))
            if package.startswith("hardpoint_"):
                monkeypatch.setattr(f"{package}.server.migrate", _newest)
            fresh = f"test_{secrets.token_hex(6)}"
            made.append(sql.Identifier(fresh))
            names = made[-1], sql.Identifier(str(template.database)), sql.Identifier(str(template.username))
            copied = sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {} STRATEGY file_copy").format(*names)
            await connection.execute(copied)
            await connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(made[-1]))
            return template.set(database=fresh).render_as_string(hide_password=False)

        while used:
            await _drop(connection, used.pop())
        yield url
        used.extend(made)


@pytest.fixture(scope="session")
def jail_roots(state_folder: Path) -> None:
    """What jails are made of is on this machine: the first process that needs it builds it, and the others wait.

    Each executor would begin to build all of it, hundreds of megabytes, where several start for the first time.
    """
    from hardpoint_executor.jail.layers import build_layers
    from hardpoint_executor.jail.rootfs import RootfsError, build_rootfs, default_folder

    with (state_folder / "jail-roots").open("w") as lock, suppress(RootfsError):  # whoever starts jails says it again
        fcntl.flock(lock, fcntl.LOCK_EX)
        layers = build_layers(None, None, default_folder())
        build_rootfs("python", default_folder(), layers.system, layers.folder)
        build_rootfs("javascript", default_folder())


@pytest.fixture(scope="session")
async def shared_jails(jail_roots: None) -> "AsyncIterator[SharedJails]":
    """The jails of each tier, for tests of every folder."""
    from jail.shared import SharedJails  # what needs no jail does not wait for it

    shared = SharedJails()
    yield shared
    await shared.stop()


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> DevKeys:
    """The issuer of the tests' tokens."""
    return DevKeys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
async def cleanup() -> AsyncIterator[AsyncExitStack]:
    """What is to be undone after the test."""
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def serve(keys: DevKeys, cleanup: AsyncExitStack) -> Serve:
    """`await serve(unit)` is a running server of it, stopped after the test."""

    async def serve(unit: Unit) -> Server:
        options = Options(listen="127.0.0.1:0")
        setup("tests", options)
        server = Server(options, [unit], Verifier(keys.jwks(), issuer="hardpoint"))
        await server.start()
        cleanup.push_async_callback(server.stop, 0)
        return server

    return serve
