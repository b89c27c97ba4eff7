"""An agent of a program: its own actions, and capabilities that come and go."""

from typing import Any

import pytest

from cli.fakes import WEATHER, World, release
from hardpoint.manifest.v1.manifest_pb2 import Authority
from hardpoint.registry.v1 import registry_pb2
from hardpoint_client import Agent, Hardpoint
from hardpoint_kit.errors import ActionFailed, AlreadyExists, InvalidArgument, NotFound


class ActionNotAttached(NotFound):
    """What a runtime answers for an action that an agent does not have."""

    def __init__(self) -> None:
        super().__init__("action", "x.y")
        self.reason = "ACTION_NOT_ATTACHED"


@pytest.fixture
def agent(client: Hardpoint) -> Agent:
    return Agent(client, "helper")


async def test_a_capability_is_added_called_and_removed(agent: Agent, world: World) -> None:
    grants = Authority(permissions=["network.http.get"], hosts=["api.weather.com"])
    await agent.add_capability("weather-lookup", config={"TIMEOUT": 5}, secrets={"API_KEY": "k"}, grants=grants)
    assert world.installations["orgs/acme/installations/weather-lookup"].grants == grants
    assert [tool.name for tool in await agent.tools()] == ["weather-lookup.get-weather"]
    answer = await agent.execute("weather-lookup.get-weather", {"location": "Rome"})
    assert (answer.success, answer.data["condition"], answer.run) == (True, "Sunny", "orgs/acme/runs/run-1")
    await agent.remove_capability("weather-lookup")
    assert not await agent.tools()


async def test_the_agent_is_made_when_it_gets_its_first_capability(agent: Agent, world: World) -> None:
    await agent.add_capability(WEATHER)
    assert list(world.agents) == ["orgs/acme/agents/helper"]


async def test_an_installation_keeps_its_grants(agent: Agent, world: World) -> None:
    await agent.add_capability(WEATHER)
    with pytest.raises(AlreadyExists):
        await agent.add_capability(WEATHER, grants=Authority(permissions=["network.http.get"]))
    await agent.add_capability(WEATHER)


async def test_what_is_attached_is_added_again_by_a_program_that_starts_again(agent: Agent, world: World) -> None:
    first = await agent.add_capability(WEATHER)
    assert await agent.add_capability(WEATHER) == first


async def test_a_capability_of_the_same_id_gets_neither_the_agent_nor_the_secrets(agent: Agent, world: World) -> None:
    await agent.add_capability(WEATHER)
    await agent.remove_capability(WEATHER)
    other = "orgs/globex/capabilities/weather-lookup"
    world.capabilities[other] = registry_pb2.Capability(name=other, latest_version="1.0.0")
    world.releases[f"{other}/releases/1.0.0"] = release(other)
    with pytest.raises(AlreadyExists, match="another capability, orgs/acme"):
        await agent.add_capability(other, secrets={"API_KEY": "of globex's"})
    assert not world.secret_values
    assert not await agent.tools()


async def test_making_an_agent_twice_is_making_it_once(agent: Agent, world: World) -> None:
    await agent.create("Helper")
    await agent.create("Helper")
    assert world.agents["orgs/acme/agents/helper"].display_name == "Helper"


async def test_own_actions_plain_and_async(agent: Agent) -> None:
    async def slow(text: str) -> str:
        return text.upper()

    agent.register_action("shout", slow)
    agent.register_action("add", lambda a, b: a + b)
    assert (await agent.execute("shout", {"text": "hi"})).data == "HI"
    assert (await agent.execute("add", {"a": 1, "b": 2})).data == 3


async def test_an_own_action_may_have_a_dot_in_its_name(agent: Agent, world: World) -> None:
    world.errors["CallAction"] = ActionNotAttached()
    agent.register_action("own.greet", lambda: "hello")
    assert (await agent.execute("own.greet")).data == "hello"
    answer = await agent.execute("own.other")
    assert answer.error is not None
    assert answer.error.reason == "ACTION_NOT_ATTACHED"


async def test_an_own_action_may_have_any_name(agent: Agent, world: World) -> None:
    world.errors["CallAction"] = InvalidArgument({"action": "is no name"}, reason="ACTION_NAME_INVALID")
    agent.register_action("own.v2.greet", lambda: "hello")
    assert (await agent.execute("own.v2.greet")).data == "hello"


async def test_own_actions_need_no_agent_on_the_server(agent: Agent, world: World) -> None:
    world.errors["CallAction"] = NotFound("agent", agent.name)
    agent.register_action("own.greet", lambda: "hello")
    assert (await agent.execute("own.greet")).data == "hello"
    world.errors["CallAction"] = NotFound("file", "orgs/acme/files/x")
    assert (await agent.execute("own.greet")).error is not None


async def test_an_error_is_an_answer(agent: Agent, world: World) -> None:
    world.errors["CallAction"] = ActionFailed("no", reason="UPSTREAM_ERROR", fix="ask", run="orgs/acme/runs/r")
    answer = await agent.execute("weather-lookup.get-weather")
    assert not answer.success
    assert isinstance(answer.error, ActionFailed)
    assert (answer.error.reason, answer.error.fix, answer.run) == ("UPSTREAM_ERROR", "ask", "orgs/acme/runs/r")


@pytest.mark.parametrize("params", [{}, {"wrong": 1}])
async def test_an_error_of_an_own_action_is_an_answer_too(params: Any, agent: Agent) -> None:
    def broken() -> None:
        raise KeyError("x")

    agent.register_action("broken", broken)
    answer = await agent.execute("broken", params)
    assert answer.error is not None
    assert answer.error.reason == "USER_ERROR"
    assert isinstance(answer.error.__cause__, TypeError if params else KeyError)


async def test_an_action_that_nobody_has(agent: Agent) -> None:
    answer = await agent.execute("nothing")
    assert answer.error is not None
    assert answer.error.reason == "NOT_FOUND"


@pytest.mark.parametrize("value", [float("nan"), "\ud800", {1: 2}, 10**400, b"x", object()], ids=type)
async def test_what_no_json_holds_is_an_answer_that_a_model_can_read(value: Any, agent: Agent, world: World) -> None:
    answer = await agent.execute("weather-lookup.get-weather", {"location": value})
    assert isinstance(answer.error, InvalidArgument)
    assert (answer.error.reason, bool(answer.error.fix)) == ("INPUT_INVALID", True)
    assert not world.asked["CallAction"]
