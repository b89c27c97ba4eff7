"""`hardpoint test` with cassettes on the disk, failures that are meant, and inputs that do not fit."""

import json
from pathlib import Path

import pytest

from cli.conftest import Run
from cli.fakes import World
from hardpoint.runtime.v1 import run_pb2
from hardpoint_kit.errors import ActionFailed
from hardpoint_manifest.cassette import Call, Cassette, write

INPUTS = {"name": {"type": "string", "required": True}, "loud": {"type": "boolean"}}
SCHEMA = {
    "properties": {"name": {"type": "string"}, "loud": {"type": "boolean"}},
    "required": ["name"],
    "additionalProperties": False,
}
HEADER = {
    "id": "greeter",
    "name": "Greeter",
    "version": "1.0.0",
    "actions": [{"id": "greet", "async": True, "declared": True, "inputs": INPUTS}],
    "permissions": ["compute.light"],
    "examples": [{"name": "ada", "action": "greet", "input": {"name": "Ada"}}],
}
FILE = Path("cassettes/ada.json")


def cassette(name: str = "Ada", output: object = "Hello") -> bytes:
    call = Call(service="context", method="get", arguments={}, answer={})
    return write(Cassette(action="greet", input={"name": name}, nonce="0" * 32, calls=(call,), output=output))


@pytest.fixture
def greeter(world: World) -> str:
    Path("greeter.py").write_text("# code")
    world.header, world.output, world.input_schema, world.cassette = HEADER, "Hello", SCHEMA, cassette()
    return "greeter.py"


def test_what_was_recorded_is_replayed_without_settings(cli: Run, world: World, greeter: str) -> None:
    said = cli("test", greeter, "--settings", "mine", "--record")
    assert said.code == 0, said.out + said.err
    assert '✓ | ada | {"name": "Ada"} | recorded' in said.table
    assert FILE.read_bytes() == cassette()
    assert world.asked["TestAction"][0].record
    world.asked.clear()
    said = cli("test", greeter)
    assert said.code == 0, said.out + said.err
    assert '✓ | ada | {"name": "Ada"} | replayed' in said.table
    request = world.asked["TestAction"][0]
    assert (request.cassette, request.settings, request.record) == (cassette(), "", False)
    world.asked.clear()
    assert cli("test", greeter, "--observe").code == 0
    assert world.asked["TestAction"][0].cassette == b""


def test_what_an_example_logs_is_shown_with_it(cli: Run, world: World, greeter: str) -> None:
    world.logs = [run_pb2.LogLine(level="info", message="greeting Ada")]
    said = cli("test", greeter)
    assert "› ada logged" in said.out
    assert "info     greeting Ada" in said.out
    assert cli("test", greeter, "--json").json["examples"][0]["logs"] == [{"level": "info", "message": "greeting Ada"}]


def test_an_example_that_expects_nothing_expects_what_was_recorded(cli: Run, world: World, greeter: str) -> None:
    FILE.parent.mkdir()
    FILE.write_bytes(cassette())
    world.output = "Goodbye"
    said = cli("test", greeter)
    assert said.code == 1
    assert "the output is 'Goodbye', not 'Hello'" in said.out


def test_an_example_that_does_not_hold_is_not_recorded(cli: Run, world: World, greeter: str) -> None:
    world.header = {**HEADER, "examples": [{**HEADER["examples"][0], "expected_output": "Other"}]}
    said = cli("test", greeter, "--record")
    assert said.code == 1
    assert not FILE.exists()


def test_a_cassette_of_another_input_or_of_nonsense_says_what_to_do(cli: Run, world: World, greeter: str) -> None:
    FILE.parent.mkdir()
    FILE.write_bytes(cassette("Bob"))
    said = cli("test", greeter)
    assert said.code == 1
    assert "recorded from another input of greet" in said.out
    assert "--record" in said.out
    FILE.write_bytes(b'{\n "cassette": 2\n}')
    said = cli("test", greeter, "--json")
    assert said.code == 1
    error = said.json["examples"][0]["error"]
    assert error["reason"] == "CASSETTE_INVALID"
    assert error["place"] == "cassettes/ada.json:2:2"


@pytest.mark.parametrize("name", ["../ada", "a/b", "/etc/passwd", "..", "a\\b", "a.json", "x" * 65])
def test_the_name_of_an_example_is_no_path(cli: Run, world: World, greeter: str, name: str) -> None:
    world.header = {**HEADER, "examples": [{**HEADER["examples"][0], "name": name}]}
    said = cli("test", greeter, "--record")
    assert said.code == 1
    assert "invalid-id" in said.out
    assert not world.asked["TestAction"]


def test_two_examples_of_one_name_are_an_error(cli: Run, world: World, greeter: str) -> None:
    world.header = {**HEADER, "examples": HEADER["examples"] * 2}
    said = cli("check", greeter)
    assert said.code == 1
    assert "two examples are called ada" in said.out


def test_a_failure_can_be_what_is_expected(cli: Run, world: World, greeter: str) -> None:
    world.header = {**HEADER, "examples": [{**HEADER["examples"][0], "expected_error": "UPSTREAM_ERROR"}]}
    assert cli("test", greeter).code == 1
    said = cli("test", greeter, "--json").json["examples"][0]
    assert said["differences"] == ["it gave an output instead of failing with UPSTREAM_ERROR"]
    world.input_schema = {}
    world.errors["TestAction"] = ActionFailed("no", reason="UPSTREAM_ERROR")
    assert cli("test", greeter, "--json").json["examples"][0]["ok"]


def test_inputs_that_do_not_fit_are_sent_and_have_to_be_refused(cli: Run, world: World, greeter: str) -> None:
    said = cli("test", greeter, "--json")
    assert said.code == 0
    (refused,) = said.json["misfits"]
    assert refused["ok"]
    assert {"loud": True} not in refused["inputs"]
    assert {} in refused["inputs"]
    assert len(refused["inputs"]) == 10
    world.input_schema = {"required": ["name"]}
    said = cli("test", greeter)
    assert said.code == 1
    assert "it took" in said.out
    assert json.dumps({"name": None}) in said.out
