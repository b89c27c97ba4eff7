"""`hardpoint call --record`: the answer and its cassette, the answer without one, a failure with one."""

from pathlib import Path

import pytest

from cli.conftest import Run
from cli.fakes import World
from hardpoint.runtime.v1 import agent_pb2, run_pb2
from hardpoint_kit.errors import Conflict

CALL = ("call", "helper", "get-weather", "location=Rome")
FILE = Path("cassettes/rome.json")


def test_the_cassette_of_a_call_is_beside_the_tests(cli: Run, attached: World) -> None:
    attached.recorded.cassette = b"a cassette"
    said = cli(*CALL, "--record", str(FILE), "--json")
    assert said.code == 0, said.err
    assert FILE.read_bytes() == b"a cassette"
    assert said.json["output"] == attached.output
    assert "cassette" not in said.json
    assert f"recorded in {FILE}" in said.err
    assert not cli(*CALL).err.count("recorded")
    assert [request.record for request in attached.asked["CallAction"]] == [True, False]


def test_what_was_not_recorded_is_answered_and_says_why(cli: Run, attached: World) -> None:
    why = agent_pb2.Unrecorded(reason="CASSETTE_LIMIT", message="it is too much", fix="fetch less")
    attached.recorded.unrecorded.CopyFrom(why)
    said = cli(*CALL, "--record", str(FILE), "--json")
    assert (said.code, said.json["output"], said.json["unrecorded"]["reason"]) == (0, attached.output, why.reason)
    assert said.err.splitlines()[:2] == ["not recorded: it is too much  [CASSETTE_LIMIT]", "  fix:   fetch less"]
    assert not FILE.exists()


def test_a_failure_is_recorded_and_said_as_one(cli: Run, attached: World) -> None:
    run = run_pb2.Run(name="orgs/acme/runs/run-1", reason="UPSTREAM_ERROR", message="no", place="a.py:7", fix="ask")
    run.facts["status"] = "500"
    attached.runs[run.name] = run
    attached.recorded.MergeFrom(
        agent_pb2.CallActionResponse(state=run_pb2.RUN_STATE_FAILED, reason="UPSTREAM_ERROR", cassette=b"x")
    )
    said = cli(*CALL, "--record", str(FILE), "--json")
    assert said.code == 1
    error = said.json["error"]
    assert (error["reason"], error["place"], error["fix"]) == ("UPSTREAM_ERROR", "a.py:7", "ask")
    assert error["metadata"] == {"status": "500", "run": run.name}
    assert FILE.read_bytes() == b"x"


@pytest.mark.parametrize("path", ["none/none/rome.json", "taken/rome.json", "folder"])
def test_nothing_is_called_where_no_cassette_can_be_written(cli: Run, attached: World, path: str) -> None:
    Path("taken").write_text("a file")
    Path("folder").mkdir()
    assert cli(*CALL, "--record", path).code == 2
    assert not attached.asked["CallAction"]


def test_a_refusal_to_record_is_said_as_it_is(cli: Run, attached: World) -> None:
    attached.errors["CallAction"] = Conflict("it goes on", reason="NO_RECORDING", fix="record its steps")
    said = cli(*CALL, "--record", str(FILE))
    assert (said.code, "NO_RECORDING" in said.err, "record its steps" in said.err) == (1, True, True)
    assert not FILE.exists()
