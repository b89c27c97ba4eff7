"""What holds for every command: help, JSON, errors, exit codes, and what reaches the terminal."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from typer.main import get_command

from cli import fakes
from cli.conftest import Run
from cli.fakes import World
from cli.serving import Serving
from hardpoint.runtime.v1 import agent_pb2
from hardpoint_cli.main import app
from hardpoint_kit.auth import DevKeys
from hardpoint_kit.errors import HardpointError, InvalidArgument, ResourceExhausted, Unauthenticated
from hardpoint_kit.rpc.status import from_rpc_error

HEAVY = {"grpc", "google.protobuf", "pydantic", "hardpoint_client", "hardpoint_manifest", "hardpoint_kit"}
COMMANDS = {
    ("new", "http", "x"): {"file", "kind", "id"},
    ("engines",): {"engines", "libraries"},
    ("installed",): {"installations"},
    ("grants", "weather-lookup"): {"installation", "unused", "next"},
    ("search",): {"listings"},
    ("search", "--mine"): {"capabilities"},
    ("show", "weather-lookup"): {"capability", "release", "releases", "listing"},
    ("offer", "weather-lookup"): {"listing"},
    ("publish", "weather-lookup@1.0.0"): {"release"},
    ("yank", "weather-lookup@1.0.0"): {"release"},
    ("deprecate", "weather-lookup"): {"capability"},
    ("install", "weather-lookup", "--grant-all", "--as", "other"): {"installation", "next"},
    ("install", "weather-lookup", "--dry-run"): {"dry_run", "installation", "asked"},
    ("disable", "weather-lookup"): {"installation"},
    ("enable", "weather-lookup"): {"installation"},
    ("secret", "list"): {"secrets"},
    ("setting", "set", "weather-lookup", "TIMEOUT=1"): {"settings"},
    ("setting", "list", "weather-lookup"): {"settings"},
    ("setting", "unset", "weather-lookup", "TIMEOUT"): {"settings"},
    ("agent", "create", "other"): {"agent"},
    ("agent", "list"): {"agents"},
    ("agent", "pause", "helper"): {"agent"},
    ("agent", "resume", "helper"): {"agent"},
    ("attach", "helper", "weather-lookup"): {"attachment"},
    ("detach", "helper", "weather-lookup"): {"agent", "installation"},
    ("tools", "helper"): {"tools"},
    ("policy",): {"policy"},
    ("policy", "set", "--single-use"): {"policy"},
    ("call", "helper", "get-weather", "location=Rome"): {
        "output",
        "output_in_file",
        "run",
        "release",
        "usage",
        "used",
        "state",
        "reason",
        "message",
        "effects_left",
    },
    ("file", "list"): {"files"},
    ("runs",): {"runs"},
    ("events", "registry"): {"unit", "events"},
    ("doctor",): {"ok", "checks"},
}


def commands(group: Any = None, path: tuple[str, ...] = ()) -> Iterator[Any]:
    for name, found in (group or get_command(app)).commands.items():
        if hasattr(found, "commands"):
            yield from commands(found, (*path, name))
        else:
            yield pytest.param((*path, name), found, id=" ".join((*path, name)))


@pytest.mark.parametrize(("arguments", "expected"), COMMANDS.items(), ids=map(" ".join, COMMANDS))
def test_json_is_one_document_of_this_shape(arguments: Any, expected: set[str], cli: Run, attached: World) -> None:
    if arguments[0] == "attach":
        cli("detach", *arguments[1:])
    if arguments[1:2] == ("unset",):
        cli("setting", "set", "weather-lookup", "TIMEOUT=1")
    said = cli(*arguments, "--json")
    assert said.code == 0, said.out + said.err
    assert set(said.json) == expected


@pytest.mark.parametrize(
    ("command", "listing"),
    [
        ("attach nobody weather-lookup", "agent list"),
        ("attach helper wether-lookup", "installed"),
        ("detach helper other", "attachment list helper"),
        ("show other", "search --mine"),
        ("publish weather-lookup@9.9.9", "show weather-lookup"),
        ("secret delete other", "secret list"),
        ("run other", "runs"),
        ("trigger show helper other", "trigger list helper"),
        ("file get other", "file list"),
    ],
)
def test_what_is_not_there_is_told_with_the_command_that_lists_what_is(
    command: str, listing: str, cli: Run, attached: World
) -> None:
    said = cli(*command.split())
    assert "not found" in said.err
    assert f"fix:   `hardpoint {listing}` shows which there are" in said.err


def test_what_others_do_not_show_is_looked_for_in_the_marketplace(cli: Run, world: World) -> None:
    assert "fix:   `hardpoint search` shows what others offer" in cli("show", "globex/weather").err


@pytest.mark.parametrize(("path", "command"), [*commands()])
def test_every_command_teaches(path: tuple[str, ...], command: Any, run: Run) -> None:
    assert "--json" in {option for parameter in command.params for option in parameter.opts}
    said = run(*path, "--help")
    assert said.code == 0
    assert f"$ hardpoint {' '.join(path)}" in said.out


def test_the_commands_stand_in_groups(run: Run) -> None:
    said = run("--help").out
    titles = ["Write and publish", "Find and install", "Give it settings", "Let agents use it", "See what happens"]
    assert sorted(titles, key=said.index) == titles


def test_help_loads_nothing_heavy() -> None:
    program = "import sys, hardpoint_cli.main; print(*sys.modules)"
    out = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=_path()
    ).stdout
    assert not HEAVY & set(out.split())


def test_it_says_its_version(run: Run) -> None:
    assert run("--version").out == f"hardpoint {version('hardpoint')}\n"


@pytest.mark.parametrize(
    "arguments",
    [["agents"], ["attach", "helper"], ["runs", "--limit", "0"], ["events", "moon"], ["check"], ["tools", "--x"]],
)
def test_wrong_usage_ends_with_2(arguments: list[str], run: Run) -> None:
    said = run(*arguments)
    assert (said.code, said.out) == (2, "")
    assert "Value error" not in said.err
    assert "Usage: " in said.err
    document = run(*arguments, "--json").json
    assert document["error"]["reason"] == "INVALID_ARGUMENT"
    assert document["error"]["message"]


def test_an_error_has_the_same_keys_wherever_it_comes_from(cli: Run, run: Run, world: World) -> None:
    keys = {"reason", "message", "place", "fix", "metadata", "violations", "retry_after"}
    world.errors["ListAgents"] = ResourceExhausted("too many", retry_after=1.5, limit="10")
    from_server = cli("agent", "list", "--json")
    assert from_server.json["error"] == {
        "reason": "RESOURCE_EXHAUSTED",
        "message": "too many",
        "place": "",
        "fix": "",
        "metadata": {"limit": "10"},
        "violations": {},
        "retry_after": 1.5,
    }
    assert set(run("agent", "list", "--json").json["error"]) == keys
    assert set(run("agent", "--json").json["error"]) == keys
    assert set(run("new", "http", "A", "--json").json["error"]) == keys


def test_several_problems_are_told_one_by_one(cli: Run, world: World) -> None:
    world.errors["ListAgents"] = InvalidArgument({"a": "is wrong", "b.c": "is missing"}, fix="put it right")
    assert cli("agent", "list").err.splitlines() == [
        "error: 2 problems  [INVALID_ARGUMENT]",
        "  a: is wrong",
        "  b.c: is missing",
        "  fix:   put it right",
    ]


def test_nobody_answers(run: Run, keys: DevKeys) -> None:
    environment = {"HARDPOINT_ADDRESS": "127.0.0.1:1", "HARDPOINT_TOKEN": keys.mint("ada", "acme", ["admin"])}
    said = run("agent", "list", env=environment)
    assert said.code == 1
    assert said.err.splitlines()[0] == "error: no server answers at 127.0.0.1:1  [UNAVAILABLE]"
    assert "make up" in said.err


def test_a_server_that_dies_in_a_call_may_have_done_it(
    cli: Run, attached: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dies(*_: Any, **__: Any) -> Any:
        code = grpc.StatusCode.UNAVAILABLE
        raise from_rpc_error(grpc.aio.AioRpcError(code, None, None, "Stream removed (Socket closed)"))  # type: ignore[arg-type]

    monkeypatch.setattr("hardpoint_client.Hardpoint.call", dies)
    said = cli("call", "helper", "weather-lookup.get-weather", "location=Rome")
    assert said.err.splitlines() == [
        "error: the server was lost during the call  [UNAVAILABLE]",
        "  fix:   it may have been done all the same: when the server is back, look before you repeat it",
    ]


async def test_a_server_of_something_else(run: Run, keys: DevKeys) -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    environment = {"HARDPOINT_ADDRESS": f"127.0.0.1:{port}", "HARDPOINT_TOKEN": keys.mint("a", "acme", ["admin"])}
    async with server:
        said = await asyncio.to_thread(run, "agent", "list", env=environment)
    assert said.code == 1
    assert "error: no server answers at 127.0.0.1:" in said.err


def test_a_wrong_token_is_refused_and_not_repeated(run: Run, serving: Serving) -> None:
    token = "e30.eyJvcmciOiJhY21lIn0.e30"
    said = run("agent", "list", env={"HARDPOINT_ADDRESS": f"127.0.0.1:{serving.port}", "HARDPOINT_TOKEN": token})
    assert said.code == 1
    assert "[UNAUTHENTICATED]" in said.err
    assert token not in said.err


def test_a_defect_of_ours_is_no_traceback(cli: Run, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardpoint_cli.documents.document", lambda message: 1 / 0)
    world.agents["orgs/acme/agents/a"] = agent_pb2.Agent(name="orgs/acme/agents/a")
    said = cli("agent", "list")
    assert said.code == 1
    assert "error: ZeroDivisionError: division by zero  [INTERNAL]" in said.err
    assert "this is a defect of the CLI" in said.err
    assert "Traceback" not in said.err


def test_a_place_that_cannot_be_used_is_no_defect(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "hello.yaml").mkdir()
    said = cli("new", "http", "hello", "--force")
    assert said.code == 1
    assert "hello.yaml: Is a directory" in said.err
    assert "another place" in said.err


@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_an_answer_that_cannot_be_written_is_said_so(as_json: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hardpoint_cli.main", "new", "http", "hello", "--force", *as_json]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=_path(), cwd=tmp_path)
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: where the answer goes: No space left on device")
    assert "Traceback" not in ended.stderr
    assert "defect" not in ended.stderr


def test_texts_of_others_cannot_drive_the_terminal(cli: Run, world: World) -> None:
    name = "orgs/acme/agents/a"
    evil = "\x1b]0;owned\x07\x1b[2J[red]red[/red] :bomb: \u202egnp.exe\x9b31m"
    world.agents[name] = agent_pb2.Agent(name=name, display_name=evil)
    said = cli("agent", "list").out
    assert "]0;owned[2J[red]red[/red] :bomb: gnp.exe31m" in said
    assert not set("\x1b\x07\x9b\u202e") & set(said)
    said = cli("agent", "list", "--json")
    assert not set("\x1b\x07\x9b\u202e") & set(said.out)
    assert said.json["agents"][0]["display_name"] == evil
    world.errors["ListAgents"] = Unauthenticated(evil, fix=evil)
    assert not set("\x1b\x07\x9b\u202e") & set(cli("agent", "list").err)


def test_piped_output_is_not_wrapped(cli: Run, world: World) -> None:
    name = "orgs/acme/agents/a"
    world.agents[name] = agent_pb2.Agent(name=name, description="word " * 150 + "end")
    assert len(cli("agent", "list").out.splitlines()) == 2


def test_a_reader_that_goes_away_is_no_defect(serving: Serving, keys: DevKeys, world: World) -> None:
    for number in range(2000):
        name = f"orgs/acme/agents/a{number}"
        world.agents[name] = agent_pb2.Agent(name=name, description="long " * 20)
    program = f"{sys.executable} -m hardpoint_cli.main agent list | head -1"
    environment = _path() | {
        "HARDPOINT_ADDRESS": f"127.0.0.1:{serving.port}",
        "HARDPOINT_TOKEN": keys.mint("ada", "acme", ["admin"]),
    }
    ended = subprocess.run(program, shell=True, capture_output=True, text=True, env=environment, check=True)
    assert ended.stdout.split()[0] == "agent"
    assert ended.stderr == ""


@pytest.mark.parametrize(
    "fake", [one for one in vars(fakes).values() if isinstance(one, type) and issubclass(one, fakes.Fake)]
)
def test_the_stand_ins_keep_to_the_contracts(fake: type) -> None:
    mine = {name for name in vars(fake) if name[0].isupper()}
    contract = {name for base in fake.__mro__ if base.__name__.endswith("Servicer") for name in vars(base)}
    assert mine <= contract


def _path() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "libs")}


def test_errors_of_every_kind_survive_the_way_to_json(cli: Run, world: World) -> None:
    for kind in HardpointError.__subclasses__():
        error = HardpointError.__new__(kind)
        HardpointError.__init__(error, "what", reason="", fix="how", place="where")
        world.errors["ListAgents"] = error
        said = cli("agent", "list", "--json")
        assert said.code == 1
        assert json.loads(said.out)["error"]["message"] == "what", kind


def test_a_token_that_is_refused_is_told_with_the_way_to_another(run: Run, serving: Serving, keys: DevKeys) -> None:
    token = keys.mint("ada", "acme", ["admin"])[:-6] + "AAAAAA"
    said = run("agent", "list", env={"HARDPOINT_ADDRESS": f"127.0.0.1:{serving.port}", "HARDPOINT_TOKEN": token})
    assert said.code == 1
    assert "[UNAUTHENTICATED]" in said.err
    assert "fix:   set HARDPOINT_TOKEN to a new one" in said.err


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_without_our_letters_is_written_to_all_the_same(encoding: str, tmp_path: Path) -> None:
    def hardpoint(*arguments: str, **options: Any) -> Any:
        command = [sys.executable, "-m", "hardpoint_cli.main", *arguments]
        environment = {**_path(), "PYTHONIOENCODING": encoding}
        return subprocess.run(command, capture_output=True, cwd=tmp_path, env=environment, check=False, **options)

    made = hardpoint("new", "http", "weather")
    assert (made.returncode, b"wrote weather.yaml" in made.stdout) == (0, True), made.stderr
    file = tmp_path / "weather.yaml"
    file.write_text(f"{file.read_text()}  größe: ✓\n", encoding="utf-8")
    checked = json.loads(hardpoint("check", "weather.yaml", "--json").stdout.decode(encoding))
    assert "größe" in checked["findings"][0]["message"]


def test_where_nothing_can_be_written_nothing_is(tmp_path: Path) -> None:
    command = f"{sys.executable} -m hardpoint_cli.main new http weather --json >&- 2>&-"
    assert subprocess.run(["sh", "-c", command], cwd=tmp_path, env=_path(), check=False).returncode == 0
    assert (tmp_path / "weather.yaml").exists()


@pytest.mark.parametrize("module", ["typer", "hardpoint_cli.commands"])
def test_ctrl_c_while_it_loads_shows_no_stack(module: str) -> None:
    program = f"""
import os, signal, sys

class Interrupts:
    def find_spec(self, name, *rest):
        if name == "{module}":
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Interrupts())
from hardpoint_cli.__main__ import main
main()
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=30)
    assert (said.returncode, said.stdout, said.stderr) == (-signal.SIGINT, "", "")
