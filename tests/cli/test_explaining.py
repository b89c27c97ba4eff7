"""`hardpoint explain`, against a server of stand-ins."""

import hashlib
import json

import pytest

from cli.conftest import Run
from cli.fakes import WEATHER, World, release
from hardpoint.manifest.v1.manifest_pb2 import Usage
from hardpoint.runtime.v1 import run_pb2
from hardpoint_cli.origin import line_of
from hardpoint_kit.errors import NotFound

RELEASE = f"{WEATHER}/releases/1.0.0"
MANIFEST = b"""capability:
  id: weather-lookup
  version: 1.0.0
  hosts:
    - api.weather.com
  actions:
    - id: get-weather
      integration:
        endpoint: https://api.weather.com/x
        response_mapping:
          temperature: data.temp
"""
PATCH = [{"op": "add", "path": "/capability/hosts", "value": ["api.weather.com", "evil.test"]}]


@pytest.fixture
def ended(published: World) -> World:
    """A run of a release whose file is kept: refused a host."""
    digest = f"sha256:{hashlib.sha256(MANIFEST).hexdigest()}"
    published.uploaded[digest] = MANIFEST
    artifact = published.releases[RELEASE].artifact
    artifact.digest, artifact.filename = digest, "weather.yaml"
    name = "orgs/acme/runs/run-1"
    published.runs[name] = run_pb2.Run(
        name=name,
        state=run_pb2.RUN_STATE_FAILED,
        action="weather-lookup.get-weather",
        release=RELEASE,
        reason="HOST_NOT_GRANTED",
        message="host evil.test is not granted",
        fix="the author has to declare it",
        facts={
            "host": "evil.test",
            "path": "capability.hosts",
            "author": "write it",
            "patch": json.dumps(PATCH),
        },
    )
    return published


def test_a_refusal_is_explained_with_its_line_and_its_patch(cli: Run, ended: World) -> None:
    said = cli("explain", "run-1")
    assert said.code == 0
    for line in (
        "weather-lookup.get-weather: a host that is not granted | [HOST_NOT_GRANTED]",
        "message | host evil.test is not granted",
        "host | evil.test",
        "decided by | weather.yaml:4:3 (capability.hosts)",
        "caller | the author has to declare it",
        "author | write it",
        'patch | add /capability/hosts ["api.weather.com", "evil.test"]',
    ):
        assert line in said.table
    told = cli("explain", "run-1", "--json").json
    assert set(told) == {"run", "succeeded", "explanation"}
    assert told["explanation"]["patch"] == PATCH
    assert told["explanation"]["manifest_place"] == "weather.yaml:4:3"
    assert told["explanation"]["named"] == {"host": "evil.test"}


def test_a_place_within_an_action_is_found_in_the_file(cli: Run, ended: World) -> None:
    run = ended.runs["orgs/acme/runs/run-1"]
    run.reason, run.place, run.fix = "MAPPING_MISSING", "response_mapping.temperature", "correct the path"
    run.facts.clear()
    run.facts["path"] = "data.temp"
    said = cli("explain", "run-1").table
    assert "decided by | weather.yaml:11:11" in said
    assert "looked for | data.temp" in said
    assert "author | correct the path" in said


@pytest.mark.parametrize("refused", ["GetRelease", "CreateArtifactTicket"])
def test_without_the_file_the_path_alone_is_told(refused: str, cli: Run, ended: World) -> None:
    ended.errors[refused] = NotFound("release", RELEASE)
    said = cli("explain", "run-1")
    assert said.code == 0
    assert "decided by | capability.hosts" in said.table


@pytest.mark.parametrize(
    ("filename", "source", "path", "line"),
    [
        ("w.yaml", MANIFEST, "capability.permissions", ""),
        ("w.yaml", MANIFEST, "capability.actions[0].description", "w.yaml:7:7"),
        ("w.py", b'capability(id="x",\n    config={"API_KEY": {}},\n)', "config.API_KEY.hosts", "w.py:2:13"),
        ("w.py", b'capability(id="x")', "hosts", ""),
    ],
)
def test_the_nearest_part_of_the_file_decides(filename: str, source: bytes, path: str, line: str) -> None:
    made = release()
    made.artifact.filename = filename
    assert line_of(source, made, path, "get-weather", "") == line


def test_what_the_org_can_grant_is_told_as_the_command_that_grants_it(cli: Run, ended: World) -> None:
    for command in ("install weather-lookup --grant network.http.get", "agent create helper"):
        assert cli(*command.split()).code == 0
    assert cli("attach", "helper", "weather-lookup").code == 0
    run = ended.runs["orgs/acme/runs/run-1"]
    run.agent = "orgs/acme/agents/helper"
    run.facts.clear()
    run.facts.update({"host": "api.weather.com", "path": "capability.hosts", "author": "nothing"})
    command = (
        "hardpoint install weather-lookup@1.0.0 --as weather-lookup --grant network.http.get --grant api.weather.com"
    )
    said = cli("explain", "run-1")
    assert command in said.out
    assert cli("explain", "run-1", "--json").json["explanation"]["next"] == [command]
    assert cli(*command.split()[1:]).code == 0
    cli("install", "weather-lookup", "--as", "mine", "--grant", "network.http.get")
    cli("attach", "helper", "mine")
    cli("install", "weather-lookup", "--grant", "network.http.get")
    assert cli("explain", "run-1", "--json").json["explanation"]["next"] == [command], "that one was not called"
    ended.installations.clear()
    assert cli("explain", "run-1", "--json").json["explanation"]["next"] == []


def test_a_code_file_is_told_the_line_to_write(cli: Run, ended: World) -> None:
    ended.releases[RELEASE].artifact.filename = "weather.py"
    assert 'or write | hosts=["api.weather.com", "evil.test"],' in cli("explain", "run-1").table


def test_a_run_that_succeeded_is_told_so_with_its_usage(cli: Run, ended: World) -> None:
    run = ended.runs["orgs/acme/runs/run-1"]
    run.state, run.duration_ms = run_pb2.RUN_STATE_SUCCEEDED, 12
    run.usage.CopyFrom(Usage(broker_calls=2))
    said = cli("explain", "run-1")
    assert said.out.strip() == "✓ weather-lookup.get-weather succeeded in 12 ms, using 2 requests"
    assert cli("explain", "run-1", "--json").json["succeeded"] is True


def test_a_run_that_was_cancelled(cli: Run, ended: World) -> None:
    run = ended.runs["orgs/acme/runs/run-1"]
    run.state, run.reason, run.message = run_pb2.RUN_STATE_CANCELLED, "", ""
    run.facts.clear()
    assert "the caller gave up before it ended  [CANCELLED]" in cli("explain", "run-1").out


def test_without_an_id_the_last_run_that_failed_is_explained(cli: Run, ended: World) -> None:
    assert cli("explain", "--json").json["run"]["name"] == "orgs/acme/runs/run-1"
    assert ended.asked["ListRuns"][0].state == run_pb2.RUN_STATE_FAILED
    ended.runs.clear()
    assert "no run of your org has failed" in cli("explain").err


def test_a_run_that_is_none(cli: Run, world: World) -> None:
    said = cli("explain", "nope")
    assert said.code == 1
    assert "[NOT_FOUND]" in said.err


def test_a_file_that_claims_to_be_another_is_no_reason_to_fail(cli: Run, ended: World) -> None:
    digest = ended.releases[RELEASE].artifact.digest
    ended.uploaded[digest] = b"\xff\xfe"
    assert "decided by | capability.hosts" in cli("explain", "run-1").table
