"""What Tab offers: names from the server, or silence."""

from types import SimpleNamespace

import pytest

from cli.conftest import Run
from cli.fakes import World
from cli.serving import Serving
from hardpoint.runtime.v1 import agent_pb2
from hardpoint_cli import completion
from hardpoint_kit.auth import DevKeys
from hardpoint_kit.errors import Internal


@pytest.fixture
def logged_in(serving: Serving, keys: DevKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARDPOINT_ADDRESS", f"127.0.0.1:{serving.port}")
    monkeypatch.setenv("HARDPOINT_TOKEN", keys.mint("ada", "acme", ["admin"]))


def test_names_are_offered(logged_in: None, attached: World) -> None:
    assert completion.agents("he") == ["helper"]
    assert completion.agents("x") == []
    assert completion.installations("") == ["weather-lookup"]
    assert completion.capabilities("wea") == ["weather-lookup"]
    context = SimpleNamespace(params={"agent": "helper"})
    assert completion.actions(context, "weather-lookup.") == ["weather-lookup.get-weather"]  # type: ignore[arg-type]


def test_names_beyond_the_first_page_are_offered_too(logged_in: None, world: World) -> None:
    names = [f"orgs/acme/agents/a{number:04}" for number in range(410)]
    world.agents.update({name: agent_pb2.Agent(name=name) for name in names})
    assert completion.agents("a040") == [f"a040{digit}" for digit in range(10)]


def test_whatever_goes_wrong_nothing_is_said(
    logged_in: None, world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world.errors["ListAgents"] = Internal("broken")
    assert completion.agents("") == []
    monkeypatch.setenv("HARDPOINT_ADDRESS", "127.0.0.1:1")
    assert completion.agents("") == []
    monkeypatch.delenv("HARDPOINT_TOKEN")
    assert completion.agents("") == []
    assert capsys.readouterr() == ("", "")


def test_the_shell_gets_them(run: Run, serving: Serving, keys: DevKeys, attached: World) -> None:
    said = run(
        env={
            "HARDPOINT_ADDRESS": f"127.0.0.1:{serving.port}",
            "HARDPOINT_TOKEN": keys.mint("ada", "acme", ["admin"]),
            "_ROOT_COMPLETE": "complete_bash",
            "COMP_WORDS": "root call helper weather",
            "COMP_CWORD": "3",
        },
    )
    assert "weather-lookup.get-weather" in said.out


@pytest.mark.parametrize("command", ["show", "install", "publish", "offer", "deprecate"])
def test_capabilities_are_offered_where_one_is_named(
    command: str, run: Run, serving: Serving, keys: DevKeys, attached: World
) -> None:
    said = run(
        env={
            "HARDPOINT_ADDRESS": f"127.0.0.1:{serving.port}",
            "HARDPOINT_TOKEN": keys.mint("ada", "acme", ["admin"]),
            "_ROOT_COMPLETE": "complete_bash",
            "COMP_WORDS": f"root {command} wea",
            "COMP_CWORD": "2",
        },
    )
    assert "weather-lookup" in said.out
