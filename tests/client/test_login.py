"""Where the server is and as whom to ask it."""

import json
from pathlib import Path

import pytest

from hardpoint_client import Login
from hardpoint_client.login import UNITS
from hardpoint_kit.auth import DevKeys
from hardpoint_kit.errors import Unauthenticated

OWN = "127.0.0.1:7700"


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine's own server has left an address and a token; nothing else is set."""
    nothing(tmp_path, monkeypatch)
    (tmp_path / "login.json").write_text(json.dumps({"address": OWN, "token": "own-token"}))


def nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARDPOINT_STATE", str(folder))
    for name in ("ADDRESS", "TOKEN", *(f"{unit.upper()}_ADDRESS" for unit in UNITS)):
        monkeypatch.delenv(f"HARDPOINT_{name}", raising=False)


def test_the_machines_own_server_needs_no_words(own: None) -> None:
    assert Login.find() == Login(OWN, "own-token")


def test_what_is_given_comes_first_then_the_environment(own: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARDPOINT_ADDRESS", "env:1")
    monkeypatch.setenv("HARDPOINT_TOKEN", "env-token")
    assert Login.find() == Login("env:1", "env-token")
    assert Login.find("given:1", "given-token") == Login("given:1", "given-token")


def test_the_own_token_is_shown_to_the_own_server_only(own: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARDPOINT_ADDRESS", "elsewhere:7700")
    with pytest.raises(Unauthenticated, match="no token for elsewhere:7700"):
        Login.find()
    monkeypatch.delenv("HARDPOINT_ADDRESS")
    monkeypatch.setenv("HARDPOINT_CONFIG_ADDRESS", "elsewhere:7700")
    with pytest.raises(Unauthenticated):
        Login.find()
    monkeypatch.setenv("HARDPOINT_CONFIG_ADDRESS", OWN)
    assert Login.find().token == "own-token"


def test_single_units_have_addresses_of_their_own(own: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARDPOINT_TOKEN", "t")
    monkeypatch.setenv("HARDPOINT_EXECUTOR_ADDRESS", "executor:1")
    login = Login.find("all:1")
    assert login.address_of("executor") == "executor:1"
    assert login.address_of("runtime") == "all:1"


def test_five_addresses_are_as_good_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing(tmp_path, monkeypatch)
    for unit in UNITS:
        monkeypatch.setenv(f"HARDPOINT_{unit.upper()}_ADDRESS", f"{unit}:1")
    assert Login.find(token="t").address_of("registry") == "registry:1"


@pytest.mark.parametrize("left", [None, "{", "[]", "{}"])
def test_without_a_server_the_way_to_one_is_told(
    left: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing(tmp_path, monkeypatch)
    if left is not None:
        (tmp_path / "login.json").write_text(left)
    with pytest.raises(Unauthenticated) as raised:
        Login.find()
    assert "make up" in raised.value.fix


def test_a_token_tells_its_org(tmp_path: Path) -> None:
    token = DevKeys(tmp_path).mint("ada", "acme", ["viewer"])
    login = Login("a:1", token)
    assert (login.org, login.claims["sub"], login.claims["roles"]) == ("acme", "ada", ["viewer"])
    assert token not in repr(login)


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "e30.e30.e30", "e30.W10.e30", "e30.bnVsbA.e30", "é.é.é"])
def test_what_is_no_token(token: str) -> None:
    with pytest.raises(Unauthenticated):
        _ = Login("a:1", token).org


def test_a_token_is_taken_without_the_line_break_of_its_file(own: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARDPOINT_TOKEN", "env-token\n")
    assert Login.find().token == "env-token"
    monkeypatch.setenv("HARDPOINT_TOKEN", "env\ntoken-\u00e9")
    with pytest.raises(Unauthenticated) as raised:
        Login.find()
    assert "HARDPOINT_TOKEN" in raised.value.fix
    assert "env" not in raised.value.message


@pytest.mark.parametrize("left", ["[1]", "1", "{", "null"])
def test_what_no_server_left_is_no_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: str) -> None:
    nothing(tmp_path, monkeypatch)
    (tmp_path / "login.json").write_text(left)
    with pytest.raises(Unauthenticated):
        Login.find()
