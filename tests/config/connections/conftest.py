"""Config with an operator and the runtime, and a provider on loopback that checks PKCE, the client, redirect URIs
and rotation.
"""

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from threading import Event
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from config.conftest import MakeUnit
from hardpoint.config.v1 import config_pb2
from hardpoint.config.v1.config_pb2_grpc import ConfigServiceStub
from hardpoint_kit.auth import DevKeys
from hardpoint_kit.errors import Conflict, HardpointError
from hardpoint_kit.rpc.client import channel
from hardpoint_kit.rpc.server import Server
from providers import CLIENT_ID, CLIENT_SECRET, Provider, provider
from serving import Serve

CONNECTION = "orgs/acme/connections/weather"
HOST = "id.example.com"
As = Any


@dataclass
class Parties:
    """Config with an operator, the runtime, and the provider at id.example.com."""

    config: Any
    runtime: Any
    provider: Provider

    async def offer(self, name: str = CONNECTION, runtime: Any = None, **changed: Any) -> Any:
        told: dict[str, Any] = {
            "setting": "ACCESS_TOKEN",
            "grant": "authorization_code",
            "authorization_url": f"https://{HOST}/authorize",
            "token_url": f"https://{HOST}/token",
            "scopes": ["chat:write", "channels:read"],
            **changed,
        }
        request = config_pb2.OfferConnectionRequest(name=name, provider=config_pb2.Provider(**told))
        return await (runtime or self.runtime).OfferConnection(request)

    async def begin(self, config: Any = None, **changed: Any) -> str:
        told: dict[str, Any] = {
            "name": CONNECTION,
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET.encode(),
            "redirect_uri": self.provider.redirect_uri,
            **changed,
        }
        begun = await (config or self.config).BeginConnection(config_pb2.BeginConnectionRequest(**told))
        return str(begun.authorization_url)

    async def consent(self, url: str) -> dict[str, str]:
        """What the provider sends back through the browser of a person who consents."""
        parts = urlsplit(url)
        assert (parts.scheme, parts.hostname) == ("https", HOST)
        async with httpx.AsyncClient(trust_env=False) as browser:
            answer = await browser.get(f"http://{self.provider.server.address}{parts.path}?{parts.query}")
        assert answer.status_code == 302, answer.text
        back = urlsplit(answer.headers["location"])
        assert answer.headers["location"].startswith(self.provider.redirect_uri)
        return {key: values[0] for key, values in parse_qs(back.query).items()}

    async def complete(self, config: Any = None, name: str = CONNECTION, **answer: str) -> Any:
        request = config_pb2.CompleteConnectionRequest(name=name, **answer)
        return await (config or self.config).CompleteConnection(request)

    async def connect(self) -> Any:
        await self.offer()
        return await self.complete(**await self.consent(await self.begin()))

    async def get(self) -> Any:
        return await self.config.GetConnection(config_pb2.GetConnectionRequest(name=CONNECTION))


@pytest.fixture
def given() -> Iterator[Provider]:
    with provider() as made:
        yield made


@pytest.fixture
def server_options(given: Provider) -> dict[str, Any]:
    return {"config_host_aliases": {HOST: given.server.address}}


@pytest.fixture
async def server(make_unit: MakeUnit, serve: Serve, server_options: dict[str, Any]) -> Server:
    return await serve(make_unit(**server_options))


@pytest.fixture
async def parties(config: Any, runtime: Any, given: Provider) -> Parties:
    return Parties(config, runtime, given)


@pytest.fixture
def as_subject(server: Server, keys: DevKeys, cleanup: AsyncExitStack) -> As:
    """`as_subject("bob")` is config as that person calls it, with the least of all roles."""

    def as_subject(subject: str, role: str = "viewer", org: str = "acme") -> Any:
        opened = channel(f"127.0.0.1:{server.port}", token=keys.mint(subject, org, {role}))
        cleanup.push_async_callback(opened.close)
        return ConfigServiceStub(opened)

    return as_subject


async def refused(call: Awaitable[Any], reason: str, kind: type[HardpointError] = Conflict) -> HardpointError:
    with pytest.raises(kind) as raised:
        await call
    assert raised.value.reason == reason
    return raised.value


class Held:
    """A provider that answers one kind of grant when `end` is set, at the latest after four seconds."""

    def __init__(self, given: Provider, grant: bytes) -> None:
        self.end, self._asked = Event(), Event()

        def slow(request: Any) -> Any:
            if grant in request.body:
                self._asked.set()
                self.end.wait(4)
            return given.token(request)

        given.instead = slow

    async def asked(self) -> None:
        assert await asyncio.to_thread(self._asked.wait, 5)
