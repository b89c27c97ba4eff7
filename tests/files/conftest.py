"""Fixtures for tests of stored files: the unit served on a port, over a database of its own and a clock that is set."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from files.client import Client
from hardpoint_files.server import Options, build
from hardpoint_kit.auth import DevKeys
from hardpoint_kit.database import Database
from hardpoint_kit.platform import Platform
from hardpoint_kit.rpc.client import channel
from hardpoint_kit.rpc.server import Server
from hardpoint_kit.unit import Unit
from serving import Serve, SetClock

QUOTA = {"files_quota_bytes": 40 * 1024 * 1024, "files_quota_files": 60}


@pytest.fixture
async def url(database_url: Callable[[str], Awaitable[str]]) -> str:
    """A fresh database of the unit."""
    return await database_url("hardpoint_files")


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = Database(url)
    yield database
    await database.close()


def no_peer(name: str) -> Any:
    raise AssertionError(f"files call no peer, and not {name}")


MakeUnit = Callable[..., Unit]


@pytest.fixture
def make_unit(url: str, clock: SetClock, tmp_path: Path) -> MakeUnit:
    """`make_unit(**options)` is one more unit, not started; all share the database."""
    return lambda **options: build(
        Options(files_database_url=url, **QUOTA, **options), Platform(clock=clock, channel=no_peer, state=tmp_path)
    )


Dial = Callable[..., Client]


@pytest.fixture
async def server(make_unit: MakeUnit, serve: Serve) -> Server:
    return await serve(make_unit())


@pytest.fixture
def dial(server: Server, keys: DevKeys, cleanup: AsyncExitStack) -> Dial:
    """`dial(org, *roles)` is a caller; the role is `operator` when none is given."""

    def dial(org: str = "acme", *roles: str, to: Server = server, subject: str = "ada") -> Client:
        opened = channel(f"127.0.0.1:{to.port}", token=keys.mint(subject, org, roles or ("operator",)))
        cleanup.push_async_callback(opened.close)
        return Client(opened, org)

    return dial


@pytest.fixture
async def operator(dial: Dial) -> Client:
    return dial()


@pytest.fixture
async def runtime(dial: Dial) -> Client:
    """A unit of ours that acts in acme."""
    return dial("acme", "service", subject="units/runtime")
