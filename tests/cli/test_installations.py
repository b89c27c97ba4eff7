"""Installing: nothing is granted that nobody allowed."""

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from cli.conftest import Run
from cli.fakes import WEATHER, World, release
from hardpoint.manifest.v1.manifest_pb2 import Authority, OAuth2
from hardpoint.registry.v1 import registry_pb2
from hardpoint.runtime.v1.installation_pb2 import GrantUse
from hardpoint_cli.documents import moment


def granted(world: World) -> Authority:
    return world.installations["orgs/acme/installations/weather-lookup"].grants


def test_without_a_terminal_somebody_must_say_what_it_may_do(cli: Run, published: World) -> None:
    said = cli("install", "weather-lookup")
    assert said.code == 2
    assert "Make HTTP GET requests" in said.err
    assert "host api.weather.com" in said.err
    assert "--grant-all" in said.err
    assert not published.asked["CreateInstallation"]


def test_who_decides_sees_what_a_token_must_allow(cli: Run, published: World) -> None:
    manifest = published.releases[f"{WEATHER}/releases/1.0.0"].manifest
    manifest.oauth2.CopyFrom(
        OAuth2(setting="ACCESS_TOKEN", scopes=["chat:write", "channels:read"], token_url="https://a.test/t")
    )
    said = cli("install", "weather-lookup")
    assert "What ACCESS_TOKEN must allow: chat:write, channels:read" in said.err
    assert "Codes and the secret of your OAuth app go to a.test" in said.err


def test_everything_can_be_granted(cli: Run, published: World) -> None:
    said = cli("install", "weather-lookup", "--grant-all")
    assert granted(published) == Authority(permissions=["network.http.get"], hosts=["api.weather.com"])
    assert said.out.splitlines() == [
        "✓ weather-lookup@1.0.0 is installed, as weather-lookup",
        "It needs:",
        "  $ hardpoint secret set weather-lookup API_KEY",
        "  $ hardpoint attach AGENT weather-lookup",
    ]


def test_a_part_can_be_granted(cli: Run, published: World) -> None:
    said = cli("install", "weather-lookup", "--grant", "network.http.get")
    assert granted(published) == Authority(permissions=["network.http.get"])
    assert "not granted: api.weather.com" in said.err


def test_a_host_within_what_is_asked_for_can_be_granted(cli: Run, published: World) -> None:
    published.releases[f"{WEATHER}/releases/1.0.0"].manifest.authority.hosts[:] = ["*.weather.com"]
    assert cli("install", "weather-lookup", "--grant", "api.weather.com").code == 0
    assert granted(published) == Authority(hosts=["api.weather.com"])


@pytest.mark.parametrize(
    ("grant", "hint"),
    [
        ("network.http.gets", "did you mean network.http.get?"),
        ("evil.test", "it asks for network.http.get, api.weather.com"),
        ("*.com", "is not asked for"),
        ("data.write", "is not asked for"),
    ],
)
def test_what_is_not_asked_for_cannot_be_granted(grant: str, hint: str, cli: Run, published: World) -> None:
    said = cli("install", "weather-lookup", "--grant", grant, "--json")
    assert said.code == 2
    assert hint in said.json["error"]["message"]
    assert not published.asked["CreateInstallation"]


def test_what_asks_for_nothing_is_installed_without_a_word(cli: Run, published: World) -> None:
    published.releases[f"{WEATHER}/releases/1.0.0"].manifest.ClearField("authority")
    assert cli("install", "weather-lookup").code == 0


def test_a_dry_run_installs_nothing(cli: Run, published: World) -> None:
    said = cli("install", "weather-lookup", "--grant", "network.http.get", "--dry-run")
    assert "network.http.get | Make HTTP GET requests | ✓" in said.table
    assert "host api.weather.com | Reach this host | no" in said.table
    assert "would be installed as weather-lookup. Nothing was done." in said.out
    assert not published.installations
    assert cli("install", "weather-lookup", "--dry-run", "--json").json["dry_run"] is True


def test_a_constraint_and_another_id(cli: Run, published: World) -> None:
    said = cli("install", "weather-lookup@^1.0", "--id", "weather", "--grant-all", "--json")
    assert published.asked["ResolveRelease"][0].constraint == "^1.0"
    assert said.json["installation"]["name"] == "orgs/acme/installations/weather"
    assert said.json["installation"]["constraint"] == "^1.0"
    assert said.json["next"] == ["hardpoint secret set weather API_KEY"]
    assert said.json["installation"]["own_name"] is False


def test_a_name_of_its_own(cli: Run, published: World) -> None:
    assert "would be installed as mine: its actions are called mine.*." in cli(
        "install", "weather-lookup", "--as", "mine", "--grant-all", "--dry-run"
    ).out.replace("\n", " ")
    said = cli("install", "weather-lookup", "--as", "mine", "--grant-all")
    assert "weather-lookup@1.0.0 is installed, as mine: its actions are called mine.*" in said.out
    made = published.installations["orgs/acme/installations/mine"]
    assert made.own_name
    cli("install", "weather-lookup", "--as", "weather-lookup", "--grant-all")
    assert not published.installations["orgs/acme/installations/weather-lookup"].own_name, "that is no name of its own"
    shown = cli("installed").table
    assert "mine | mine.* | weather-lookup@1.0.0 | active" in shown
    assert "weather-lookup | weather-lookup.* | weather-lookup@1.0.0 | active" in shown
    cli("agent", "create", "helper")
    cli("attach", "helper", "weather-lookup")
    assert "helper can use mine: mine.get-weather\n" in cli("attach", "helper", "mine").out


def test_installing_again_renames_nothing(cli: Run, published: World) -> None:
    cli("install", "weather-lookup", "--as", "mine", "--grant-all")
    cli("install", "weather-lookup", "--id", "plain", "--grant-all")
    for option, other, called in (("--id", "mine", "mine"), ("--as", "plain", "weather-lookup")):
        said = cli("install", "weather-lookup", option, other, "--grant-all")
        assert said.code == 1
        assert f"{other} is installed already, and its actions are called {called}.*" in said.err.replace("\n", " ")
    assert not published.asked["UpdateInstallation"]
    assert cli("install", "weather-lookup", "--as", "mine", "--grant", "network.http.get").code == 0
    assert cli("install", "weather-lookup", "--as", "a", "--id", "b").code == 2
    unused = published.installations["orgs/acme/installations/plain"]
    unused.counters.execution_count = 1
    unused.grant_uses.extend([GrantUse(grant="network.http.get", execution_count=1), GrantUse(grant="api.weather.com")])
    assert "hardpoint install weather-lookup@1.0.0 --id plain --grant network.http.get" in cli("grants", "plain").table


def test_installing_again_changes_version_and_grants(cli: Run, published: World) -> None:
    cli("install", "weather-lookup", "--grant", "network.http.get")
    said = cli("install", "weather-lookup@^1.0", "--grant-all")
    assert "✓ weather-lookup is weather-lookup@1.0.0 now, with the grants you gave" in said.out
    request = published.asked["UpdateInstallation"][0]
    assert list(request.update_mask.paths) == ["constraint", "grants"]
    assert granted(published).hosts == ["api.weather.com"]


def test_an_id_that_is_taken_by_another_capability(cli: Run, published: World) -> None:
    name = "orgs/globex/capabilities/weather-lookup"
    published.capabilities[name] = registry_pb2.Capability(name=name, latest_version="2.0.0")
    published.releases[f"{name}/releases/2.0.0"] = release(name, "2.0.0")
    cli("install", "weather-lookup", "--grant-all")
    said = cli("install", "globex/weather-lookup", "--grant-all")
    assert said.code == 1
    assert "give this one another name with --as" in said.err
    assert not published.asked["UpdateInstallation"]
    assert cli("install", "globex/weather-lookup", "--as", "other", "--grant-all").code == 0


def test_what_is_installed(cli: Run, attached: World) -> None:
    said = cli("installed")
    assert (
        "weather-lookup.* | weather-lookup@1.0.0 | active | network.http.get, api.weather.com | 0 | never" in said.table
    )
    assert len(cli("installed", "--json").json["installations"]) == 1


def test_an_installation_is_switched_off_for_all_agents_and_on_again(cli: Run, attached: World) -> None:
    assert "no agent can call weather-lookup for now" in cli("disable", "weather-lookup").out
    assert "weather-lookup@1.0.0 | disabled |" in cli("installed").table
    assert cli("enable", "weather-lookup", "--json").json["installation"]["state"] == "INSTALLATION_STATE_ACTIVE"
    assert cli("disable", "wether").code == 1


def test_uninstalling(cli: Run, attached: World) -> None:
    said = cli("uninstall", "weather-lookup")
    assert said.code == 1
    assert "fix:   detach it first" in said.err
    cli("detach", "helper", "weather-lookup")
    assert cli("uninstall", "weather-lookup", "--json").json == {
        "installation": "orgs/acme/installations/weather-lookup"
    }


def test_grants_tell_what_was_used_and_what_never_was(cli: Run, attached: World) -> None:
    found = attached.installations["orgs/acme/installations/weather-lookup"]
    found.counters.execution_count = 3
    used = GrantUse(grant="network.http.get", execution_count=3, last_used=Timestamp(seconds=1_770_000_000))
    found.grant_uses.extend([used, GrantUse(grant="api.weather.com")])
    found.grant_time.FromSeconds(1_760_000_000)
    since, last = moment(found.grant_time), moment(used.last_used)
    said = cli("grants", "weather-lookup").table
    assert f"network.http.get | 3 | {last}" in said
    assert f"api.weather.com | 0 | never, since {since}" in said
    assert "hardpoint install weather-lookup@1.0.0 --as weather-lookup --grant network.http.get" in said
    assert cli("grants", "weather-lookup", "--json").json["unused"] == ["api.weather.com"]
    assert cli("installed").table.splitlines()[1].endswith("| api.weather.com")


def test_without_a_call_nothing_is_called_unused(cli: Run, attached: World) -> None:
    found = attached.installations["orgs/acme/installations/weather-lookup"]
    found.grant_uses.add(grant="api.weather.com")
    told = cli("grants", "weather-lookup", "--json").json
    assert (told["unused"], told["next"]) == ([], [])
    assert "To take back" not in cli("grants", "weather-lookup").out


def test_an_id_that_is_none_is_told_in_words(cli: Run, published: World) -> None:
    said = cli("install", "weather-lookup", "--grant-all", "--as", "My weather")
    assert "installation_id: must be 1 to 63 lower case letters" in said.err
