"""A client of a server of stand-ins."""

from collections.abc import AsyncIterator, Iterator

import pytest

from cli.fakes import WEATHER, World, release
from cli.serving import Serving
from hardpoint.registry.v1 import registry_pb2
from hardpoint_client import Hardpoint, Login
from hardpoint_kit.auth import DevKeys


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> DevKeys:
    return DevKeys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="session")
def serving(keys: DevKeys) -> Iterator[Serving]:
    serving = Serving(keys)
    serving.start()
    yield serving
    serving.stop()


@pytest.fixture
def world(serving: Serving) -> World:
    """What the stand-ins know: the weather capability, published."""
    world = serving.world
    world.__init__()
    world.capabilities[WEATHER] = registry_pb2.Capability(name=WEATHER, latest_version="1.0.0")
    world.releases[f"{WEATHER}/releases/1.0.0"] = release()
    return world


@pytest.fixture
async def client(serving: Serving, keys: DevKeys, world: World) -> AsyncIterator[Hardpoint]:
    """An admin of acme."""
    async with Hardpoint(Login(f"127.0.0.1:{serving.port}", keys.mint("ada", "acme", ["admin"]))) as client:
        yield client
