"""What happened, from the command line."""

import pytest

from cli.conftest import Run
from cli.fakes import WEATHER, World
from hardpoint.manifest.v1.manifest_pb2 import Usage
from hardpoint.runtime.v1 import run_pb2


@pytest.fixture
def failed(world: World) -> World:
    """Two runs, of which one failed."""
    for id, state in (("run-1", run_pb2.RUN_STATE_SUCCEEDED), ("run-2", run_pb2.RUN_STATE_FAILED)):
        name = f"orgs/acme/runs/{id}"
        world.runs[name] = run_pb2.Run(
            name=name, state=state, action="weather-lookup.get-weather", release=f"{WEATHER}/releases/1.0.0"
        )
    bad = world.runs["orgs/acme/runs/run-2"]
    bad.agent, bad.subject, bad.duration_ms = "orgs/acme/agents/helper", "ada", 1234
    bad.reason, bad.message, bad.place, bad.fix = "MAPPING_MISSING", "data.temp is missing", "outputs.t", "correct it"
    bad.facts["not_reverted"] = "store, mail/3"
    bad.usage.CopyFrom(Usage(cpu_ms=3, peak_memory_bytes=2 * 1024 * 1024, broker_calls=2, bytes_out=10, bytes_in=2048))
    return world


def test_runs_are_listed_with_why_they_failed(cli: Run, failed: World) -> None:
    failed.runs["orgs/acme/runs/run-1"].recorded = True
    said = cli("runs").table
    assert "run-1 | succeeded (recorded) | weather-lookup.get-weather | test | 0 ms" in said
    assert "run-2 | failed | weather-lookup.get-weather | helper | 1.2 s | MAPPING_MISSING" in said


def test_runs_can_be_narrowed(cli: Run, failed: World) -> None:
    said = cli("runs", "--failed", "--agent", "helper", "--json")
    assert [one["name"] for one in said.json["runs"]] == ["orgs/acme/runs/run-2"]
    assert failed.asked["ListRuns"][0].agent == "orgs/acme/agents/helper"
    assert len(cli("runs", "--limit", "1", "--json").json["runs"]) == 1


def test_a_run_tells_its_steps_its_usage_and_why_it_failed(cli: Run, failed: World) -> None:
    said = cli("run", "run-2").table
    for line in (
        "state | failed",
        "release | weather-lookup@1.0.0",
        "called by | ada",
        "used | 3 ms CPU, 2.0 MiB memory, 2 requests, 10 B out, 2.0 KiB in",
        "reason | MAPPING_MISSING",
        "message | data.temp is missing",
        "at | outputs.t",
        "fix | correct it",
        "not reverted | store, mail/3",
        "2 | succeeded | a.b | 0 ms",
    ):
        assert line in said
    document = cli("run", "orgs/acme/runs/run-2", "--json").json
    assert set(document) == {"run", "steps"}
    assert document["run"]["place"] == "outputs.t"


def test_a_run_tells_what_its_code_logged(cli: Run, failed: World) -> None:
    assert "It logged nothing." in cli("logs", "run-2").out
    failed.logs = [
        run_pb2.LogLine(level="info", message="[bold]read\x1b[2J"),
        run_pb2.LogLine(step="store", level="warning", message="it is there"),
    ]
    said = cli("logs", "run-2")
    assert [line.split() for line in said.out.splitlines()] == [
        ["info", "[bold]read[2J"],
        ["store", "warning", "it", "is", "there"],
    ]
    assert failed.asked["GetRunLogs"][-1].name == "orgs/acme/runs/run-2"
    assert [line["message"] for line in cli("logs", "run-2", "--json").json["lines"]] == [
        "[bold]read\x1b[2J",
        "it is there",
    ]


def test_a_run_that_is_none(cli: Run, failed: World) -> None:
    said = cli("run", "nope", "--json")
    assert said.code == 1
    assert said.json["error"]["reason"] == "NOT_FOUND"


@pytest.mark.parametrize("unit", ["config", "registry", "marketplace", "runtime"])
def test_events_come_from_the_unit_that_is_asked(unit: str, cli: Run, world: World) -> None:
    said = cli("events", unit, "--resource", WEATHER)
    assert f"ada | {unit}.something | weather-lookup | version=1.0.0" in said.table
    assert world.asked["ListEvents"][0].resource == WEATHER
    assert cli("events", unit, "--json").json["unit"] == unit


def test_a_unit_without_a_database_has_no_events(cli: Run, world: World) -> None:
    assert cli("events", "executor").code == 2
