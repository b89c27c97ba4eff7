"""Where secrets and codes go: to the public host that the runtime named, and nowhere that somebody else says."""

from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import text

from config.calls import lease, leased
from config.conftest import Dial, MakeUnit
from config.connections.conftest import CONNECTION, HOST, Parties, refused
from hardpoint.config.v1 import config_pb2
from hardpoint_kit.database import Database
from hardpoint_kit.errors import HardpointError, InvalidArgument, NotFound, PermissionDenied, Unavailable
from hardpoint_kit.rpc.server import Server
from providers import CLIENT_ID
from serving import Serve, SetClock


@pytest.mark.parametrize(
    "place",
    [
        f"http://{HOST}/token",
        "https://127.0.0.1/token",
        "https://[::1]/token",
        "https://2130706433/token",
        "https://0x7f.1/token",
        "https://localhost/token",
        f"https://{HOST}@evil.example.com/token",
        f"https://{HOST}/token#x",
        f"https://{HOST}:99999/token",
        "https://id.example.com\\@evil.example.com/",
    ],
)
async def test_a_place_that_is_no_public_host_is_not_offered(parties: Parties, place: str) -> None:
    await refused(parties.offer(token_url=place), "INVALID_ARGUMENT", InvalidArgument)


async def test_an_author_does_not_choose_where_codes_go(parties: Parties) -> None:
    url = f"https://{HOST}/authorize?redirect_uri=https://evil.example.com"
    await refused(parties.offer(authorization_url=url), "INVALID_ARGUMENT", InvalidArgument)


async def test_only_the_runtime_says_where_one_signs_in(parties: Parties, server: Server, dial: Dial) -> None:
    for role in ("admin", "operator", "agent"):
        with pytest.raises(PermissionDenied):
            await parties.offer(runtime=dial(server, role=role))


async def test_nobody_without_the_role_connects(parties: Parties, server: Server, dial: Dial) -> None:
    await parties.offer()
    for role in ("builder", "agent", "viewer"):
        with pytest.raises(PermissionDenied):
            await parties.begin(dial(server, role=role))
    other = dial(server, "other")
    await refused(parties.begin(other), "NOT_FOUND", NotFound)


async def test_another_provider_gets_nothing_of_the_one_before(parties: Parties, url: str) -> None:
    await parties.connect()
    answer = await parties.consent(await parties.begin())
    moved = await parties.offer(token_url="https://elsewhere.example.com/token")
    assert (moved.state, moved.client_id) == (config_pb2.CONNECTION_STATE_PENDING, "")
    assert await leased(parties.runtime) == {}
    await refused(parties.complete(**answer), "SIGN_IN_INVALID")
    await refused(parties.begin(client_id="", client_secret=b""), "INVALID_ARGUMENT", InvalidArgument)
    database = Database(url)
    async with database.transaction("*") as connection:
        sealed = "SELECT count(ciphertext) + (SELECT count(*) FROM sign_ins) FROM connections"
        assert await connection.scalar(text(sealed)) == 0, "nothing is left to open"
    await database.close()


async def test_an_altered_row_sends_nothing_elsewhere(parties: Parties, url: str, clock: SetClock) -> None:
    """Who can write the table and not the keys: what is sealed opens only for the token endpoint it was sealed for."""
    await parties.connect()
    database = Database(url)
    async with database.transaction("*") as connection:
        await connection.execute(
            text("UPDATE connections SET provider = replace(provider::text, '/token', '/other')::json")
        )
    await database.close()
    clock.move(hours=1)
    asked = len(parties.provider.server.asked)
    with pytest.raises(HardpointError):
        await lease(parties.runtime)
    assert len(parties.provider.server.asked) == asked


async def test_a_token_endpoint_inside_is_not_dialled(
    parties: Parties, make_unit: MakeUnit, serve: Serve, dial: Dial
) -> None:
    """A public name for a private address, without an alias: `localtest.example.com` stands for what DNS says."""
    from hardpoint_config import oauth

    async def inside(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(oauth, "Resolver", lambda: _Resolves(inside))
        unit = await serve(make_unit())
    config = dial(unit)
    runtime = dial(unit, role="service")
    port = parties.provider.server.address.rpartition(":")[2]
    await parties.offer(
        runtime=runtime, grant="client_credentials", token_url=f"https://rebound.example.com:{port}/token"
    )
    request = config_pb2.ConnectClientRequest(name=CONNECTION, client_id=CLIENT_ID, client_secret=b"s")
    error = await refused(config.ConnectClient(request), "UNAVAILABLE", Unavailable)
    assert "not public" in error.message
    assert parties.provider.server.asked == []


class _Resolves:
    def __init__(self, resolve: Callable[[str, int], Awaitable[list[str]]]) -> None:
        self._resolve = resolve

    async def __call__(self, host: str, port: int) -> list[str]:
        return await self._resolve(host, port)

    def close(self) -> None:
        pass
