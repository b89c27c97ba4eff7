"""The daemon's own decisions: which units, whose peers, whose tokens."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hardpoint_kit.errors import InvalidArgument
from hardpointd.__main__ import app
from hardpointd.catalog import PEERS, UNITS, chosen, server_module
from hardpointd.daemon import Daemon
from hardpointd.defaults import Laptop, key_encryption_key
from hardpointd.options import DaemonOptions


def options(state: Path, **more: object) -> DaemonOptions:
    return DaemonOptions(state=state, listen="127.0.0.1:0", **more)  # type: ignore[arg-type]


def test_units_start_after_those_they_call():
    for place, unit in enumerate(UNITS):
        assert set(PEERS[unit]) <= set(UNITS[:place])


def test_no_name_means_all_and_a_wrong_name_is_refused():
    assert chosen([]) == UNITS
    assert chosen(["runtime", "config"]) == ("config", "runtime")
    with pytest.raises(InvalidArgument, match="no unit is called registri"):
        chosen(["registri"])


@pytest.mark.parametrize("name", ["registri", "[/red]", "[bold]"])
def test_what_is_wrong_is_printed_as_it_stands(name):
    said = CliRunner().invoke(app, ["serve", name])
    assert said.exit_code == 1
    assert f"no unit is called {name}" in said.output
    assert "fix: choose from config" in said.output


@pytest.mark.parametrize(
    ("unit", "variable", "value", "problem"),
    [
        ("config", "LOG_LEVEL", "verbose", "Input should be 'debug', 'info', 'warning' or 'error'"),
        ("files", "AUDIT_DAYS", "0", "Input should be greater than 0"),
        ("executor", "EXECUTOR_HOST_ALIASES", "upstream=hush", "must be JSON"),
    ],
)
def test_a_variable_that_cannot_be_read_is_named(unit, variable, value, problem, monkeypatch):
    monkeypatch.setenv(f"HARDPOINT_{variable}", value)
    with pytest.raises(InvalidArgument) as refused:
        server_module(unit).Options()
    assert refused.value.violations == {f"HARDPOINT_{variable}": problem}
    assert refused.value.fix
    assert refused.value.__cause__ is None


@pytest.mark.parametrize("command", ["serve", "token", "jwks"])
def test_and_it_is_told_in_words(command, monkeypatch):
    monkeypatch.setenv("HARDPOINT_LOG_LEVEL", "verbose")
    said = CliRunner().invoke(app, [command])
    assert (said.exit_code, type(said.exception)) == (1, SystemExit)
    assert "error: HARDPOINT_LOG_LEVEL: Input should be 'debug'" in said.output


@pytest.mark.parametrize("url", ["hush", "mysql://hush@host/x", "postgresql://u:hush@host:port/x"])
async def test_a_database_that_has_no_address_is_named_before_anything_starts(url, tmp_path):
    given = server_module("config").Options(config_database_url=url)
    with pytest.raises(InvalidArgument, match="HARDPOINT_CONFIG_DATABASE_URL: is no address") as refused:
        await Laptop(options(tmp_path)).start({"config": given})
    assert "hush" not in f"{refused.value.message} {refused.value.fix}"


async def test_a_peer_that_is_nowhere_is_named_before_anything_starts(tmp_path):
    with pytest.raises(InvalidArgument, match="marketplace calls registry") as refused:
        await Daemon(("marketplace",), options(tmp_path)).start()
    assert "HARDPOINT_REGISTRY_ADDRESS" in refused.value.fix
    assert not (tmp_path / "postgres").exists()


def test_with_another_issuer_a_service_token_is_required(tmp_path):
    laptop = Laptop(options(tmp_path, jwks=str(tmp_path / "jwks.json")))
    with pytest.raises(InvalidArgument, match="no token that they would believe"):
        laptop.service_token("units/runtime")
    assert not (tmp_path / "keys").exists(), "no key is made that nobody believes"


def test_a_service_token_file_is_read_again_for_every_call(tmp_path):
    file = tmp_path / "token"
    file.write_text("one\n")
    token = Laptop(options(tmp_path, service_token_file=file)).service_token("units/runtime")
    assert token() == "one"
    file.write_text("two\n")
    assert token() == "two"


async def test_a_laptop_token_is_minted_once_and_believed(tmp_path):
    laptop = Laptop(options(tmp_path))
    token = laptop.service_token("units/runtime")
    assert token() == token()
    caller = await laptop.verifier().verify(token())
    assert (caller.subject, caller.roles) == ("units/runtime", {"service"})


def test_the_encryption_key_is_made_once_and_private(tmp_path):
    first = key_encryption_key(tmp_path).read_text()
    assert key_encryption_key(tmp_path).read_text() == first
    assert key_encryption_key(tmp_path).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("hours", ["0", "-1", "nan", "1e300"])
def test_a_token_is_good_for_some_time(hours, tmp_path, monkeypatch):
    monkeypatch.setenv("HARDPOINT_STATE", str(tmp_path))
    assert CliRunner().invoke(app, ["token", "--hours", hours]).exit_code == 2


@pytest.mark.parametrize(
    ("option", "value", "problem"),
    [
        ("--org", "", "org"),
        ("--org", "A B", "org"),
        ("--org", "Ünï", "org"),
        ("--subject", "", "subject"),
        ("--role", "vieweer", "no role is called vieweer; did you mean viewer?"),
        ("--role", "", "no role"),
    ],
)
def test_a_token_that_nobody_would_believe_is_not_minted(option, value, problem, tmp_path, monkeypatch):
    monkeypatch.setenv("HARDPOINT_STATE", str(tmp_path / "state"))
    said = CliRunner().invoke(app, ["token", option, value])
    assert said.exit_code == 1
    assert problem in " ".join(said.output.split())
    assert "fix:" in said.output
    assert not (tmp_path / "state").exists()


async def test_the_printed_keys_verify_the_tokens_of_this_machine_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("HARDPOINT_STATE", str(tmp_path))
    printed = CliRunner().invoke(app, ["jwks"])
    assert printed.exit_code == 0
    elsewhere = tmp_path / "jwks.json"
    elsewhere.write_text(printed.stdout)
    peer = Laptop(options(tmp_path / "peer", jwks=str(elsewhere)))
    token = Laptop(options(tmp_path)).dev_keys().mint("ada", "acme", ["viewer"])
    assert (await peer.verifier().verify(token)).subject == "ada"
    assert "d" not in json.loads(printed.stdout)["keys"][0], "the private half stays"
