"""Fixtures for tests of the marketplace: the unit served on a port, over its own database, with a registry to ask."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from hardpoint.audit.v1.audit_pb2 import ListEventsRequest
from hardpoint.audit.v1.audit_pb2_grpc import AuditServiceStub
from hardpoint.marketplace.v1.marketplace_pb2_grpc import MarketplaceServiceStub
from hardpoint_kit.auth import DevKeys
from hardpoint_kit.database import Database
from hardpoint_kit.platform import Platform
from hardpoint_kit.rpc.client import channel
from hardpoint_kit.rpc.server import Server
from hardpoint_kit.unit import Unit
from hardpoint_marketplace.server import Options, build
from marketplace.fakes import Registry
from serving import SetClock


@pytest.fixture
async def url(database_url: Callable[[str], Awaitable[str]]) -> str:
    """A fresh database of the marketplace."""
    return await database_url("hardpoint_marketplace")


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = Database(url)
    yield database
    await database.close()


@pytest.fixture
def registry() -> Registry:
    return Registry()  # type: ignore[abstract]


@pytest.fixture
async def server(
    url: str,
    clock: SetClock,
    keys: DevKeys,
    tmp_path: Path,
    registry: Registry,
    serve: Callable[[Unit], Awaitable[Server]],
    cleanup: AsyncExitStack,
) -> Server:
    """A running marketplace that lists nothing by itself."""
    port = (await serve(registry.unit())).port
    token = keys.mint("marketplace", "hardpoint", {"service"})
    to_registry = channel(f"127.0.0.1:{port}", token=token, act_for=True)
    cleanup.push_async_callback(to_registry.close)
    platform = Platform(clock=clock, channel={"registry": to_registry}.__getitem__, state=tmp_path)
    return await serve(build(Options(marketplace_database_url=url), platform, tuple))


Dial = Callable[..., Any]


@pytest.fixture
def dial(server: Server, keys: DevKeys, cleanup: AsyncExitStack) -> Dial:
    """`dial("acme", "builder")` is a stub for a caller of that org and role."""

    def dial(org: str = "acme", role: str = "builder", stub: Any = MarketplaceServiceStub) -> Any:
        opened = channel(f"127.0.0.1:{server.port}", token=keys.mint("ada", org, {role}))
        cleanup.push_async_callback(opened.close)
        return stub(opened)

    return dial


@pytest.fixture
async def builder(dial: Dial) -> Any:
    """The marketplace as a builder of acme calls it."""
    return dial()


@pytest.fixture
async def audit(dial: Dial) -> Callable[[str], Awaitable[Any]]:
    """`await audit("acme")` lists the events of an org, newest first."""

    async def events(org: str = "acme") -> Any:
        stub = dial(org, "admin", AuditServiceStub)
        return (await stub.ListEvents(ListEventsRequest(parent=f"orgs/{org}"))).events

    return events
