"""Fixtures for tests of the registry: the unit served on a port, over a database of its own and a clock that is set."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hardpoint_kit.auth import DevKeys, Verifier
from hardpoint_kit.database import Database
from hardpoint_kit.platform import Platform
from hardpoint_kit.rpc.client import channel
from hardpoint_kit.rpc.server import Server
from hardpoint_kit.telemetry import setup
from hardpoint_kit.unit import Unit
from hardpoint_registry.server import Options, build
from hardpoint_registry.store import Store
from registry.client import Client


@dataclass
class SetClock:
    """A clock that stands still until it is moved."""

    time: datetime = field(default_factory=lambda: datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC))

    def now(self) -> datetime:
        return self.time

    def move(self, **by: float) -> None:
        self.time += timedelta(**by)


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> DevKeys:
    return DevKeys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
async def cleanup() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
async def url(database_url: Callable[[str], Awaitable[str]]) -> str:
    """A fresh database of the registry."""
    return await database_url("hardpoint_registry")


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = Database(url)
    yield database
    await database.close()


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database)


def no_peer(name: str) -> Any:
    raise AssertionError(f"the registry calls no peer, and not {name}")


@pytest.fixture
def make_unit(url: str, clock: SetClock, tmp_path: Path) -> Callable[[], Unit]:
    """`make_unit()` is one more registry, not started; all share the database."""
    return lambda: build(Options(registry_database_url=url), Platform(clock=clock, channel=no_peer, state=tmp_path))


Serve = Callable[[], Awaitable[Server]]
Dial = Callable[..., Client]


@pytest.fixture
def serve(make_unit: Callable[[], Unit], keys: DevKeys, cleanup: AsyncExitStack) -> Serve:
    """`await serve()` is the server of one more registry."""

    async def serve() -> Server:
        options = Options(listen="127.0.0.1:0")
        verifier = Verifier(keys.jwks(), issuer="hardpoint")
        server = Server(options, [make_unit()], verifier, setup("tests", options))
        await server.start()
        cleanup.push_async_callback(server.stop, 0)
        return server

    return serve


@pytest.fixture
async def server(serve: Serve) -> Server:
    return await serve()


@pytest.fixture
def dial(server: Server, keys: DevKeys, cleanup: AsyncExitStack) -> Dial:
    """`dial(org, *roles)` is a caller of the registry."""

    def dial(org: str = "acme", *roles: str, to: Server = server) -> Client:
        opened = channel(f"127.0.0.1:{to.port}", token=keys.mint("ada", org, roles or ("builder",)))
        cleanup.push_async_callback(opened.close)
        return Client(opened, org)

    return dial


@pytest.fixture
def builder(dial: Dial) -> Client:
    """A builder of the org acme."""
    return dial()
