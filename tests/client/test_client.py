"""The walks of the client."""

import hashlib

import pytest

from cli.fakes import WEATHER, World
from hardpoint.manifest.v1.manifest_pb2 import Authority
from hardpoint.registry.v1 import registry_pb2
from hardpoint_client import Hardpoint, Login
from hardpoint_client.client import CHUNK_BYTES, output_of
from hardpoint_kit.documents import from_struct, to_struct
from hardpoint_kit.errors import AlreadyExists, InvalidArgument, NotFound, Unavailable

YAML = b"capability: {id: thing, version: 1.0.0}"


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
async def test_bytes_arrive_whole(size: int, client: Hardpoint, world: World) -> None:
    data = bytes(index % 251 for index in range(size))
    artifact = await client.upload(data)
    assert artifact.digest == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert world.uploaded[artifact.digest] == data


async def test_pushing_makes_a_draft(client: Hardpoint, world: World) -> None:
    pushed = await client.push(YAML, "thing.yaml", visibility=registry_pb2.VISIBILITY_PUBLIC)
    assert pushed.created
    assert pushed.release.name == "orgs/acme/capabilities/thing/releases/1.0.0"
    assert not world.asked["ReadHeader"]
    published = await client.publish(pushed.release.name)
    assert published.state == registry_pb2.RELEASE_STATE_PUBLISHED


async def test_the_header_of_code_is_read_once(client: Hardpoint, world: World) -> None:
    world.header = {"id": "thing", "version": "1.0.0"}
    pushed = await client.push(b"# code", "thing.PY")
    assert pushed.release.name == "orgs/acme/capabilities/thing/releases/1.0.0"
    await client.push(b"# code", "thing.py", header=to_struct(world.header))
    assert len(world.asked["ReadHeader"]) == 1


async def test_a_version_with_other_bytes_is_an_error(client: Hardpoint, world: World) -> None:
    await client.push(YAML, "thing.yaml")
    with pytest.raises(AlreadyExists):
        await client.push(YAML + b"\n", "thing.yaml")


async def test_installing_grants_what_is_given_and_nothing_else(client: Hardpoint, world: World) -> None:
    made = await client.install(WEATHER)
    assert not made.grants.permissions
    grants = Authority(permissions=["network.http.get"])
    assert not made.own_name
    made = await client.install(WEATHER, installation_id="second", own_name=True, constraint="^1", grants=grants)
    assert (made.grants, made.constraint, made.own_name) == (grants, "^1", True)
    await client.install(WEATHER, installation_id="third", validate_only=True)
    assert sorted(world.installations) == ["orgs/acme/installations/second", "orgs/acme/installations/weather-lookup"]


async def test_a_secret_is_stored_and_bound(client: Hardpoint, world: World) -> None:
    await client.set_secret("weather", "API_KEY", "one")
    name = "orgs/acme/secrets/weather-api-key"
    assert world.secret_values == {name: b"one"}
    assert dict(world.settings["orgs/acme/settings/weather"].secrets) == {"API_KEY": name}
    await client.set_secret("orgs/acme/settings/weather", "API_KEY", "two")
    assert world.secret_values == {name: b"two"}
    assert world.secrets[name].version == 2


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("weather", "PRO_API_KEY"), ("weather-pro", "API_KEY")),
        (("weather", "API_KEY"), ("weather", "api_key")),
        (("w" * 63, "A" * 60 + "X"), ("w" * 63, "A" * 60 + "Y")),
    ],
)
async def test_two_keys_never_share_a_secret(
    first: tuple[str, str], second: tuple[str, str], client: Hardpoint, world: World
) -> None:
    await client.set_secret(*first, "one")
    await client.set_secret(*second, "two")
    bound = [world.settings[f"orgs/acme/settings/{id}"].secrets[key] for id, key in (first, second)]
    assert [world.secret_values[name] for name in bound] == [b"one", b"two"]


async def test_a_secret_that_was_made_but_not_bound_is_taken_over(client: Hardpoint, world: World) -> None:
    await client.set_secret("weather", "PRO_API_KEY", "another's")
    world.errors["UpdateSettings"] = Unavailable("gone", retry_after=60)
    with pytest.raises(Unavailable):
        await client.set_secret("weather-pro", "API_KEY", "one")
    world.errors.clear()
    await client.set_secret("weather-pro", "API_KEY", "two")
    name = world.settings["orgs/acme/settings/weather-pro"].secrets["API_KEY"]
    assert world.secret_values[name] == b"two"
    assert len(world.secrets) == 2


@pytest.mark.parametrize("key", ["API-KEY", "1KEY", "KEY\n", "", "K" * 65, "KÉY", "TIMEOUT"])
async def test_a_key_that_cannot_have_a_secret_leaves_none(key: str, client: Hardpoint, world: World) -> None:
    await client.set_settings("weather", {"TIMEOUT": 5})
    with pytest.raises(InvalidArgument) as refused:
        await client.set_secret("weather", key, "hush-hush")
    assert refused.value.fix
    assert "hush" not in refused.value.message
    assert not world.asked["CreateSecret"]


async def test_a_binding_that_the_server_refuses_leaves_no_secret(client: Hardpoint, world: World) -> None:
    world.errors["UpdateSettings"] = InvalidArgument({"settings.secrets": "has more than 100 keys"})
    with pytest.raises(InvalidArgument, match="more than 100 keys"):
        await client.set_secret("weather", "API_KEY", "hush-hush")
    assert not world.secrets


async def test_settings(client: Hardpoint, world: World) -> None:
    await client.set_settings("weather", {"TIMEOUT": 5})
    changed = await client.set_settings("weather", {"UNITS": "metric"})
    assert from_struct(changed.values) == {"TIMEOUT": 5, "UNITS": "metric"}


@pytest.mark.parametrize("agent", ["helper", "orgs/acme/agents/helper"])
async def test_ids_and_names_are_as_good_as_each_other(agent: str, client: Hardpoint, world: World) -> None:
    world.agents["orgs/acme/agents/helper"] = await _agent(client)
    await client.install(WEATHER)
    attached = await client.attach(
        agent, "orgs/acme/installations/weather-lookup", priority=2, require_approval=["get-weather"]
    )
    assert list(attached.require_approval) == ["get-weather"]
    assert attached.name == "orgs/acme/agents/helper/attachments/weather-lookup"
    assert [tool.name for tool in await client.tools(agent)] == ["weather-lookup.get-weather"]
    called = await client.call(agent, "weather-lookup.get-weather", {"location": "Rome"})
    assert output_of(called) == {"temperature": 72, "condition": "Sunny"}
    await client.detach(agent, "orgs/acme/installations/weather-lookup")
    assert not await client.tools(agent)


async def test_another_orgs_name_is_not_turned_into_ones_own(client: Hardpoint) -> None:
    with pytest.raises(NotFound):
        await client.tools("orgs/globex/agents/helper")


async def test_trying_a_draft(client: Hardpoint, world: World) -> None:
    release = f"{WEATHER}/releases/1.0.0"
    tried = await client.test(release, "get-weather", {"location": "Rome"}, settings="trial")
    assert output_of(tried)["temperature"] == 72
    assert world.asked["TestAction"][0].settings == "orgs/acme/settings/trial"
    await client.test(release, "get-weather")
    assert world.asked["TestAction"][1].settings == ""


async def test_events_of_each_unit(client: Hardpoint) -> None:
    for unit in ("config", "registry", "marketplace", "files", "runtime"):
        assert [event.action for event in (await client.events(unit)).events] == [f"{unit}.something"]


async def test_an_address_that_does_not_answer_is_told_from_one_that_does(client: Hardpoint) -> None:
    addresses = {"config": "127.0.0.1:1"}
    async with Hardpoint(Login(client.login.address, client.login.token, addresses)) as half:
        await half.events("registry")
        assert half.unreachable() == ()
        with pytest.raises(Unavailable):
            await half.set_settings("weather", {})
        assert half.unreachable() == ("127.0.0.1:1",)


async def _agent(client: Hardpoint):
    from hardpoint.runtime.v1.agent_pb2 import CreateAgentRequest

    return await client.agents.CreateAgent(CreateAgentRequest(parent=client.org, agent_id="helper"))
