"""Fixtures for tests of the registry: the unit served on a port, over a database of its own and a clock that is set."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from hardpoint_kit.auth import DevKeys
from hardpoint_kit.database import Database
from hardpoint_kit.platform import Platform
from hardpoint_kit.rpc.client import channel
from hardpoint_kit.rpc.server import Server
from hardpoint_kit.unit import Unit
from hardpoint_registry.server import Options, build
from hardpoint_registry.store import Store
from registry.client import Client
from serving import Serve, SetClock


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


MakeUnit = Callable[..., Unit]


@pytest.fixture
def make_unit(url: str, clock: SetClock, tmp_path: Path) -> MakeUnit:
    """`make_unit()` is one more registry, not started, that ships nothing; all share the database."""
    platform = Platform(clock=clock, channel=no_peer, state=tmp_path)
    return lambda standard=tuple: build(Options(registry_database_url=url), platform, standard)


Dial = Callable[..., Client]


@pytest.fixture
async def server(make_unit: MakeUnit, serve: Serve) -> Server:
    return await serve(make_unit())


@pytest.fixture
def dial(server: Server, keys: DevKeys, cleanup: AsyncExitStack) -> Dial:
    """`dial(org, *roles)` is a caller of the registry."""

    def dial(org: str = "acme", *roles: str, to: Server = server) -> Client:
        opened = channel(f"127.0.0.1:{to.port}", token=keys.mint("ada", org, roles or ("builder",)))
        cleanup.push_async_callback(opened.close)
        return Client(opened, org)

    return dial


@pytest.fixture
async def builder(dial: Dial) -> Client:
    """A builder of the org acme."""
    return dial()
