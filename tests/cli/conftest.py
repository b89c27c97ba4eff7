"""The command line against a server of stand-ins: real gRPC, real authorization, real field rules."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli import fakes
from cli.serving import Serving
from hardpoint.registry.v1 import registry_pb2
from hardpoint_cli.main import app
from hardpoint_kit.auth import DevKeys


@dataclass
class Said:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str
    error: BaseException | None

    @property
    def table(self) -> str:
        """Stdout with one bar between columns, however wide they are."""
        return "\n".join(re.sub(" {2,}", " | ", line.strip()) for line in self.out.splitlines())

    @property
    def json(self) -> Any:
        """The one document on stdout."""
        return json.loads(self.out)


Run = Callable[..., Said]


@pytest.fixture(scope="session")
def serving(keys: DevKeys) -> Iterator[Serving]:
    serving = Serving(keys)
    serving.start()
    yield serving
    serving.stop()


@pytest.fixture
def world(serving: Serving) -> fakes.World:
    """What the stand-ins know: nothing, at the start of a test."""
    serving.world.__init__()
    serving.not_ready.clear()
    return serving.world


@pytest.fixture
def published(world: fakes.World) -> fakes.World:
    """The weather capability, published in the own org."""
    name = fakes.WEATHER
    world.capabilities[name] = registry_pb2.Capability(
        name=name, display_name="Weather", latest_version="1.0.0", visibility=registry_pb2.VISIBILITY_ORGANIZATION
    )
    world.releases[f"{name}/releases/1.0.0"] = fakes.release()
    return world


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run("new", "http", "weather")` is what the command said; it runs in a fresh folder, logged in nowhere."""
    monkeypatch.chdir(tmp_path)
    environment = {"HARDPOINT_STATE": str(tmp_path / "state"), "HARDPOINT_ADDRESS": None, "HARDPOINT_TOKEN": None}

    def run(*arguments: str, stdin: str | bytes | None = None, env: dict[str, str] | None = None) -> Said:
        ended = CliRunner().invoke(app, arguments, input=stdin, env={**environment, **(env or {})})
        return Said(ended.exit_code, ended.stdout, ended.stderr, ended.exception)

    return run


@pytest.fixture
def cli(run: Run, serving: Serving, keys: DevKeys, world: fakes.World) -> Run:
    """`cli("agent", "list")` is what the command said, logged in as an admin of acme."""

    def cli(*arguments: str, stdin: str | bytes | None = None, roles: tuple[str, ...] = ("admin",)) -> Said:
        token = keys.mint("ada", "acme", roles)
        said = run(
            *arguments,
            stdin=stdin,
            env={"HARDPOINT_ADDRESS": f"127.0.0.1:{serving.port}", "HARDPOINT_TOKEN": token},
        )
        assert token not in said.out + said.err
        return said

    return cli


@pytest.fixture
def attached(cli: Run, published: fakes.World) -> fakes.World:
    """An agent `helper` that can use the weather capability."""
    for command in ("install weather-lookup --grant-all", "agent create helper", "attach helper weather-lookup"):
        assert cli(*command.split()).code == 0
    published.asked.clear()
    return published
