"""A variable that nothing reads ends the start: a misspelt limit would be none."""

import pytest
from typer.testing import CliRunner

from hardpoint_kit.errors import InvalidArgument
from hardpointd.__main__ import app
from hardpointd.catalog import UNITS
from hardpointd.environment import check_environment


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("HARDPOINT_EXECUTOR_REQUIRE_CGROUP", "HARDPOINT_EXECUTOR_REQUIRE_CGROUPS"),
        ("HARDPOINT_EXCUTOR_WALL_SECONDS", "HARDPOINT_EXECUTOR_WALL_SECONDS"),
        ("HARDPOINT_STAET", "HARDPOINT_STATE"),
        ("HARDPOINT_JWSK", "HARDPOINT_JWKS"),
        ("HARDPOINT_DOOR_LISTENS", "HARDPOINT_DOOR_LISTEN"),
        ("hardpoint_audit_day", "HARDPOINT_AUDIT_DAYS"),
    ],
)
def test_a_misspelt_variable_is_refused_with_the_name_that_was_meant(name: str, meant: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        check_environment(UNITS, {name: "hush"})
    assert refused.value.violations == {name: f"is no option; did you mean {meant}?"}
    assert refused.value.fix
    assert "hush" not in refused.value.message


@pytest.mark.parametrize("name", ["HARDPOINT_EXECUTOR_SINGLE_USE_ORGS", "HARDPOINT_PORT", "HARDPOINT_"])
def test_so_is_one_that_is_near_nothing(name: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        check_environment(UNITS, {name: "8000"})
    assert refused.value.violations == {name: "is no option"}


@pytest.mark.parametrize("name", ["HARDPOINT_ADDRESS", "HARDPOINT_TOKEN", "HARDPOINT_STATE", "HARDPOINT_FILES_ADDRESS"])
def test_what_clients_read_in_the_same_shell_is_let_pass(name: str) -> None:
    check_environment(UNITS, {name: "x", "HOME": "/", "HARDPOINTS": "1"})


def test_a_variable_of_a_unit_is_for_the_process_that_serves_it() -> None:
    misspelt = {"HARDPOINT_EXECUTOR_REQUIRE_CGROUP": "true"}
    check_environment(("config",), misspelt)
    with pytest.raises(InvalidArgument):
        check_environment(("executor",), misspelt)


def test_what_kubernetes_says_of_its_services_is_let_pass() -> None:
    links = {
        "HARDPOINT_EXECUTOR_SERVICE_HOST": "10.0.0.7",
        "HARDPOINT_EXECUTOR_SERVICE_PORT": "7700",
        "HARDPOINT_EXECUTOR_SERVICE_PORT_GRPC": "7700",
        "HARDPOINT_EXECUTOR_PORT": "tcp://10.0.0.7:7700",
        "HARDPOINT_EXECUTOR_PORT_7700_TCP": "tcp://10.0.0.7:7700",
        "HARDPOINT_EXECUTOR_PORT_7700_TCP_ADDR": "10.0.0.7",
    }
    check_environment(UNITS, links)


@pytest.mark.parametrize("command", ["serve", "token", "jwks"])
def test_no_command_goes_on_with_it(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARDPOINT_STAET", "/nowhere")
    said = CliRunner().invoke(app, [command])
    assert (said.exit_code, type(said.exception)) == (1, SystemExit)
    assert "HARDPOINT_STAET: is no option; did you mean HARDPOINT_STATE?" in said.output.replace("\n", " ")
