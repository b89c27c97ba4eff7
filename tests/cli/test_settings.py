"""Secrets go in and never come out; settings are what the capability declares."""

import pytest

from cli.conftest import Run
from cli.fakes import World
from hardpoint_kit.documents import from_struct

CANARY = "sk-canary-7f3a91"


@pytest.fixture
def installed(cli: Run, published: World) -> World:
    """The weather capability, installed."""
    cli("install", "weather-lookup", "--grant-all")
    return published


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_secret_is_read_from_what_is_piped(end: str, cli: Run, installed: World) -> None:
    said = cli("secret", "set", "weather-lookup", "API_KEY", stdin=CANARY + end)
    assert said.code == 0, said.err
    assert installed.secret_values == {"orgs/acme/secrets/weather-lookup-api-key": CANARY.encode()}
    bound = installed.settings["orgs/acme/settings/weather-lookup"].secrets
    assert dict(bound) == {"API_KEY": "orgs/acme/secrets/weather-lookup-api-key"}


def test_no_command_ever_prints_a_secret(cli: Run, installed: World) -> None:
    said = [
        cli("secret", "set", "weather-lookup", "API_KEY", "--json", stdin=CANARY),
        cli("secret", "set", "weather-lookup", "API_KEY", stdin=CANARY),
        cli("secret", "set", "weather-lookup", "API_KEY", CANARY),
        cli("secret", "set", "weather-lookup", "API_KEY", f"--{CANARY}"),
        cli("secret", "set", "weather-lookup", f"API_KEY={CANARY}"),
        cli("secret", "set", "weather-lookup", "API_KEY", CANARY, "--json"),
        cli("setting", "set", "weather-lookup", f"API_KEY={CANARY}"),
        cli("setting", "set", "weather-lookup", CANARY),
        cli("setting", "list", "weather-lookup"),
        cli("setting", "list", "weather-lookup", "--json"),
        cli("secret", "list"),
        cli("secret", "list", "--json"),
    ]
    assert not [one for one in said if CANARY in one.out + one.err]
    assert [one.code for one in said] == [0, 0, 2, 2, 2, 2, 1, 2, 0, 0, 0, 0]


def test_a_secret_as_an_argument_is_refused_with_the_reason(cli: Run, installed: World) -> None:
    said = cli("secret", "set", "weather-lookup", "API_KEY", CANARY, "--json")
    assert said.code == 2
    assert "a secret is never an argument" in said.json["error"]["message"]
    assert not installed.secret_values


def test_an_empty_secret_is_refused(cli: Run, installed: World) -> None:
    assert cli("secret", "set", "weather-lookup", "API_KEY", stdin="\n").code == 2
    assert not installed.secret_values


@pytest.mark.parametrize(
    ("arguments", "fix"),
    [
        (["secret", "set", "weather-lookup", "API_KEYS"], "did you mean API_KEY?"),
        (["secret", "set", "weather-lookup", "API-KEY"], "did you mean API_KEY?"),
        (["secret", "set", "weather-lookup", "TIMEOUT"], "hardpoint setting set weather-lookup TIMEOUT=..."),
        (["setting", "set", "weather-lookup", "TIMEOTU=5"], "did you mean TIMEOUT?"),
        (["setting", "set", "weather-lookup", "API_KEY=x"], "hardpoint secret set weather-lookup API_KEY"),
    ],
)
def test_a_key_that_is_not_declared_is_refused(arguments: list[str], fix: str, cli: Run, installed: World) -> None:
    said = cli(*arguments, "--json", stdin="x")
    assert said.code == 1
    assert fix in said.json["error"]["fix"]
    assert not installed.settings


def test_settings_are_read_as_the_declared_type(cli: Run, installed: World) -> None:
    said = cli("setting", "set", "weather-lookup", "TIMEOUT=5", "--json")
    assert said.json["settings"]["values"] == {"TIMEOUT": 5}
    said = cli("setting", "set", "weather-lookup", "TIMEOUT=soon")
    assert said.code == 2
    assert "TIMEOUT must be a number" in said.err


def test_settings_without_an_installation_are_for_tests(cli: Run, world: World) -> None:
    said = cli("setting", "set", "trial", "A=1", "B=text", 'C={"d": true}')
    assert "nothing is installed as trial" in said.err
    assert from_struct(world.settings["orgs/acme/settings/trial"].values) == {"A": 1, "B": "text", "C": {"d": True}}
    assert cli("secret", "set", "trial", "API_KEY", stdin=CANARY).code == 0


def test_the_list_shows_what_is_set_and_what_is_missing(cli: Run, installed: World) -> None:
    said = cli("setting", "list", "weather-lookup").table
    assert "API_KEY | not set | required" in said
    assert "TIMEOUT | not set" in said
    cli("secret", "set", "weather-lookup", "API_KEY", stdin=CANARY)
    cli("setting", "set", "weather-lookup", "TIMEOUT=5")
    said = cli("setting", "list", "weather-lookup").table
    assert "API_KEY | secret weather-lookup-api-key | required" in said
    assert "TIMEOUT | 5" in said


def test_the_list_of_secrets(cli: Run, installed: World) -> None:
    assert "There are no secrets." in cli("secret", "list").out
    cli("secret", "set", "weather-lookup", "API_KEY", stdin=CANARY)
    cli("secret", "set", "weather-lookup", "API_KEY", stdin="another")
    assert "weather-lookup-api-key | API_KEY of weather-lookup | 2" in cli("secret", "list").table


def test_what_is_set_can_be_taken_away(cli: Run, installed: World) -> None:
    cli("secret", "set", "weather-lookup", "API_KEY", stdin=CANARY)
    cli("setting", "set", "weather-lookup", "TIMEOUT=5")
    said = cli("setting", "unset", "weather-lookup", "TIMEUOT", "--json")
    assert (said.code, said.json["error"]["fix"]) == (1, "did you mean TIMEOUT?")
    said = cli("setting", "unset", "weather-lookup", "TIMEOUT", "API_KEY", "--json")
    assert (said.json["settings"]["values"], said.json["settings"]["secrets"]) == ({}, {})
    assert list(installed.asked["UpdateSettings"][-1].update_mask.paths) == ["values.TIMEOUT", "secrets.API_KEY"]
    assert "API_KEY | not set | required" in cli("setting", "list", "weather-lookup").table


def test_a_secret_is_deleted_once_nothing_is_bound_to_it(cli: Run, installed: World) -> None:
    cli("secret", "set", "weather-lookup", "API_KEY", stdin=CANARY)
    assert cli("secret", "delete", "weather-lookup-api-key", "--json").json["error"]["reason"] == "SECRET_IN_USE"
    cli("setting", "unset", "weather-lookup", "API_KEY")
    said = cli("secret", "delete", "weather-lookup-api-key", "--json").json
    assert said == {"secret": "orgs/acme/secrets/weather-lookup-api-key"}
    assert cli("secret", "list", "--json").json == {"secrets": []}
    assert cli("secret", "delete", "weather-lookup-api-key").code == 1
    assert all(request.request_id for request in installed.asked["DeleteSecret"])


def test_a_short_secret_is_set_with_a_warning(cli: Run, installed: World) -> None:
    said = cli("secret", "set", "weather-lookup", "API_KEY", stdin="1234567")
    assert said.code == 0
    assert "fewer than 8 characters" in said.err
    assert "1234567" not in said.out + said.err
    assert "fewer" not in cli("secret", "set", "weather-lookup", "API_KEY", stdin="12345678").err


def test_a_secret_that_is_no_text_is_refused_without_a_part_of_it(cli: Run, world: World) -> None:
    said = cli("secret", "set", "other", "KEY", stdin=b"hush\xff")
    assert said.code == 2
    assert "not text in UTF-8" in said.err
    assert "hush" not in said.err
    assert "0xff" not in said.err
    assert not world.asked["CreateSecret"]


def test_a_key_that_is_none_is_told_in_words(cli: Run, world: World) -> None:
    said = cli("secret", "set", "trial", "API-KEY", "--json", stdin=CANARY)
    assert (said.code, said.json["error"]["reason"]) == (1, "INVALID_ARGUMENT")
    assert "API-KEY" in said.json["error"]["message"]
    assert "at most 64 letters, digits and _" in said.json["error"]["fix"]
    assert not world.secrets
