"""Fixtures for tests of the chassis: an issuer, and a real server around the echo service."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from hardpoint_kit.auth import DevKeys, Verifier
from hardpoint_kit.options import Options
from hardpoint_kit.rpc.client import channel
from hardpoint_kit.rpc.server import Server
from hardpoint_kit.telemetry import Telemetry, setup
from kit.echo import EchoServicer, echo_unit


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> DevKeys:
    return DevKeys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def verifier(keys: DevKeys) -> Verifier:
    return Verifier(keys.jwks(), issuer="hardpoint")


@pytest.fixture(scope="session")
def telemetry() -> Telemetry:
    return setup("tests", Options())


@pytest.fixture
def spans(telemetry: Telemetry) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    telemetry.add_span_processor(SimpleSpanProcessor(exporter))
    return exporter


@pytest.fixture
async def cleanup() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def serve(verifier: Verifier, telemetry: Telemetry, cleanup: AsyncExitStack) -> Callable[..., Any]:
    """`await serve(unit, ...)` is a running server of these units, stopped after the test."""

    async def serve(*units: Any, listen: str = "127.0.0.1:0") -> Server:
        server = Server(Options(listen=listen), units, verifier)
        await server.start()
        cleanup.push_async_callback(server.stop, 0)
        return server

    return serve


@pytest.fixture
def dial(keys: DevKeys, cleanup: AsyncExitStack) -> Callable[..., grpc.aio.Channel]:
    """`dial(server, org="acme", roles=("admin",))` is a channel to it, closed after the test."""

    def dial(server: Server, org: str = "acme", roles: tuple[str, ...] = ("admin",), **options: Any) -> Any:
        options.setdefault("token", keys.mint("ada", org, roles))
        opened = channel(f"127.0.0.1:{server.port}", **options)
        cleanup.push_async_callback(opened.close)
        return opened

    return dial


@pytest.fixture
def servicer() -> EchoServicer:
    return EchoServicer()


@pytest.fixture
async def server(servicer: EchoServicer, serve: Callable[..., Any]) -> Server:
    """A server of the echo service."""
    served: Server = await serve(echo_unit(servicer))
    return served


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"
