"""Fixtures for tests of config: the unit served on a port, over a database of its own and a clock that is set."""

import base64
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from hardpoint.audit.v1.audit_pb2 import ListEventsRequest
from hardpoint.audit.v1.audit_pb2_grpc import AuditServiceStub
from hardpoint.config.v1.config_pb2_grpc import ConfigServiceStub
from hardpoint_config.server import Options, build
from hardpoint_kit.auth import DevKeys
from hardpoint_kit.platform import Platform
from hardpoint_kit.rpc.client import channel
from hardpoint_kit.rpc.server import Server
from hardpoint_kit.unit import Unit
from serving import Serve, SetClock

KEYS = f"k1:{base64.b64encode(bytes(range(32))).decode()}"


def no_peer(name: str) -> Any:
    raise AssertionError(f"config calls no peer, and not {name}")


@pytest.fixture
async def url(database_url: Callable[[str], Awaitable[str]]) -> str:
    """A fresh database of config."""
    return await database_url("hardpoint_config")


MakeUnit = Callable[..., Unit]


@pytest.fixture
def make_unit(url: str, clock: SetClock, tmp_path: Path) -> MakeUnit:
    """`make_unit(config_...=...)` is one more config, not started; all share the database."""

    def make_unit(**changed: Any) -> Unit:
        told: dict[str, Any] = {"config_database_url": url, "config_keys": KEYS, **changed}
        return build(Options(**told), Platform(clock=clock, channel=no_peer, state=tmp_path))

    return make_unit


@pytest.fixture
async def server(make_unit: MakeUnit, serve: Serve) -> Server:
    return await serve(make_unit())


Dial = Callable[..., Any]


@pytest.fixture
def dial(keys: DevKeys, cleanup: AsyncExitStack) -> Dial:
    """`dial(server, "acme", "operator")` is a stub for a caller of that org and role; no role, no token."""

    def dial(server: Server, org: str = "acme", role: str = "operator", stub: Any = ConfigServiceStub) -> Any:
        opened = channel(f"127.0.0.1:{server.port}", token=keys.mint("ada", org, {role}) if role else None)
        cleanup.push_async_callback(opened.close)
        return stub(opened)

    return dial


@pytest.fixture
async def config(server: Server, dial: Dial) -> Any:
    """Config as an operator of acme calls it."""
    return dial(server)


@pytest.fixture
async def runtime(server: Server, dial: Dial) -> Any:
    """Config as the runtime calls it for acme."""
    return dial(server, role="service")


@pytest.fixture
async def audit(server: Server, dial: Dial) -> Callable[[], Awaitable[Any]]:
    """`await audit()` lists the events of acme, newest first."""

    async def events() -> Any:
        stub = dial(server, role="admin", stub=AuditServiceStub)
        return (await stub.ListEvents(ListEventsRequest(parent="orgs/acme"))).events

    return events
