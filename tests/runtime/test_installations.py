"""Installations as operators see them: a pinned release, grants, settings that are missing, and the marketplace."""

from dataclasses import replace
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from hardpoint.manifest.v1.manifest_pb2 import Authority
from hardpoint.runtime.v1 import agent_pb2, installation_pb2
from hardpoint_kit.errors import AlreadyExists, Conflict, InvalidArgument, NotFound, StaleEtag, Unavailable
from hardpoint_kit.names import ReleaseName
from hardpoint_manifest.authority import Authority as Asked
from hardpoint_runtime.domain.releases import OAuth2, Release
from runtime.conftest import INSTALLATION, Another, Client, Fakes, Query, eventually
from runtime.factories import API_KEY, UNITS, release

WEATHER = "orgs/acme/capabilities/weather"


async def get(client: Client) -> installation_pb2.Installation:
    return await client.installations.GetInstallation(installation_pb2.GetInstallationRequest(name=INSTALLATION))


async def update(client: Client, *paths: str, **fields: Any) -> installation_pb2.Installation:
    return await client.installations.UpdateInstallation(
        installation_pb2.UpdateInstallationRequest(
            installation=installation_pb2.Installation(name=INSTALLATION, **fields), update_mask=FieldMask(paths=paths)
        )
    )


async def test_nothing_is_granted_by_itself(client: Client, weather: Release) -> None:
    made = await client.install()
    assert (made.name, made.capability, made.release) == (INSTALLATION, WEATHER, str(weather.name))
    assert made.state == installation_pb2.INSTALLATION_STATE_ACTIVE
    assert made.grants == Authority()
    assert list(made.ungranted.permissions) == ["compute.light", "network.http.get"]
    assert list(made.ungranted.hosts) == ["api.weather.com"]
    assert await get(client) == made
    assert await client.events() == [f"installation.create {INSTALLATION}"]


async def test_what_is_granted_is_kept_and_the_rest_is_shown(client: Client, weather: Release) -> None:
    made = await client.install(grants=Authority(permissions=["network.http.get"], hosts=["API.weather.com:443"]))
    assert made.grants == Authority(permissions=["network.http.get"], hosts=["api.weather.com"])
    assert made.ungranted == Authority(permissions=["compute.light"])


async def test_a_grant_that_is_not_asked_for_is_named(client: Client, weather: Release) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await client.install(
            grants=Authority(permissions=["network.http.post", "network.http.get"], hosts=["evil.test"])
        )
    assert refused.value.reason == "GRANT_NOT_ASKED"
    assert refused.value.metadata["grants"] == "network.http.post,evil.test"
    with pytest.raises(InvalidArgument) as malformed:
        await client.install(grants=Authority(hosts=["http://api.weather.com/"]))
    assert malformed.value.place == "grants.hosts"


async def test_the_registry_is_asked_as_the_caller(client: Client, fakes: Fakes) -> None:
    fakes.registry.add(release(org="publisher"))
    made = await client.install("orgs/publisher/capabilities/weather", constraint="^1", installation_id="mine")
    assert made.name == "orgs/acme/installations/mine"
    assert made.release == "orgs/publisher/capabilities/weather/releases/1.0.0"
    assert fakes.registry.asked == ["resolve orgs/publisher/capabilities/weather ^1"]
    assert fakes.registry.asked_by == ["acme"]
    with pytest.raises(NotFound):
        await client.install("orgs/publisher/capabilities/nothing")


async def test_required_settings_without_value_or_default_are_missing(client: Client, fakes: Fakes) -> None:
    fakes.registry.add(release(requirements=(API_KEY, UNITS)))
    made = await client.install()
    assert [missing.key for missing in made.missing_settings] == ["API_KEY"]
    assert made.missing_settings[0].label == "Weather API key"
    fakes.config.keys["orgs/acme/settings/weather"] = {"API_KEY"}
    assert list((await get(client)).missing_settings) == []


async def test_validate_only_stores_nothing(client: Client, weather: Release) -> None:
    shown = await client.install(validate_only=True)
    assert shown.release == str(weather.name)
    with pytest.raises(NotFound):
        await get(client)
    await client.install()
    for validate_only in (True, False):
        with pytest.raises(AlreadyExists):
            await client.install(validate_only=validate_only)


async def test_the_same_request_id_gives_the_first_installation(client: Client, weather: Release, fakes: Fakes) -> None:
    grants = Authority(permissions=["network.http.get", "compute.light"], hosts=["api.weather.com"])
    first = await client.install(request_id="one", grants=grants)
    fakes.registry.add(release(version="2.0.0"))
    assert await client.install(request_id="one", grants=grants) == first


async def test_the_marketplace_is_told_once_it_can_hear(
    client: Client, weather: Release, fakes: Fakes, query: Query
) -> None:
    fakes.marketplace.failing = True
    await client.install()

    async def tried() -> bool:
        return fakes.marketplace.attempts > 0

    await eventually(tried)
    assert await query("SELECT installation FROM announcements") == [("weather",)]
    fakes.marketplace.failing = False
    await client.install(installation_id="second")

    async def told() -> bool:
        return await query("SELECT 1 FROM announcements") == []

    await eventually(told)
    assert fakes.marketplace.recorded == [
        (INSTALLATION, WEATHER),
        ("orgs/acme/installations/second", WEATHER),
    ]


async def test_what_a_killed_process_left_unsaid_is_said_at_the_next_start(
    client: Client, weather: Release, fakes: Fakes, another: Another
) -> None:
    fakes.marketplace.failing = True
    await client.install()

    async def tried() -> bool:
        return fakes.marketplace.attempts > 0

    await eventually(tried)
    fakes.marketplace.failing = False
    await another()

    async def told() -> bool:
        return (INSTALLATION, WEATHER) in fakes.marketplace.recorded

    await eventually(told)


async def test_grants_change_under_an_etag(client: Client, weather: Release) -> None:
    made = await client.install()
    wider = Authority(permissions=["network.http.get"])
    changed = await update(client, "grants", grants=wider, etag=made.etag)
    assert changed.grants == wider
    assert changed.ungranted == Authority(permissions=["compute.light"], hosts=["api.weather.com"])
    with pytest.raises(StaleEtag):
        await update(client, "grants", grants=Authority(), etag=made.etag)
    with pytest.raises(InvalidArgument) as refused:
        await update(client, "grants", grants=Authority(permissions=["data.read"]))
    assert refused.value.reason == "GRANT_NOT_ASKED"


async def test_a_new_pin_keeps_the_grants_so_it_reaches_no_further(client: Client, fakes: Fakes) -> None:
    fakes.registry.add(release())
    grants = Authority(permissions=["network.http.get"], hosts=["api.weather.com"])
    await client.install(grants=grants)
    asks = Asked(frozenset({"network.http.get", "network.http.post"}), frozenset({"api.weather.com", "evil.test"}))
    fakes.registry.add(release(version="1.1.0", asks=asks))
    changed = await update(client, "constraint", constraint="^1.1")
    assert changed.release.endswith("/releases/1.1.0")
    assert (changed.constraint, changed.grants) == ("^1.1", grants)
    assert changed.ungranted == Authority(permissions=["network.http.post"], hosts=["evil.test"])


async def test_a_new_pin_never_breaks_an_agent_silently(attached: Client, fakes: Fakes) -> None:
    fakes.registry.add(release(version="1.1.0", requirements=(API_KEY,)))
    with pytest.raises(Conflict) as refused:
        await update(attached, "constraint", constraint="^1.1")
    assert refused.value.reason == "SETTINGS_MISSING"
    assert (await get(attached)).release.endswith("/releases/1.0.0")
    fakes.config.keys["orgs/acme/settings/weather"] = {"API_KEY"}
    assert (await update(attached, "constraint", constraint="^1.1")).release.endswith("/releases/1.1.0")
    assert (await attached.call()).release == str(ReleaseName("acme", "weather", "1.1.0"))


async def test_an_installation_in_use_is_not_deleted(attached: Client) -> None:
    remove = installation_pb2.DeleteInstallationRequest(name=INSTALLATION)
    with pytest.raises(Conflict) as refused:
        await attached.installations.DeleteInstallation(remove)
    assert refused.value.metadata["agents"] == "helper"
    await attached.detach()
    await attached.installations.DeleteInstallation(remove)
    with pytest.raises(NotFound):
        await attached.installations.DeleteInstallation(remove)


async def test_the_settings_of_an_installation_go_with_it(client: Client, fakes: Fakes, weather: Release) -> None:
    await client.install()
    settings = INSTALLATION.replace("installations", "settings")
    fakes.config.keys[settings] = {"API_KEY"}
    remove = installation_pb2.DeleteInstallationRequest(name=INSTALLATION, request_id="r1")
    fakes.config.away = True
    with pytest.raises(Unavailable):
        await client.installations.DeleteInstallation(remove)
    assert (await get(client)).name == INSTALLATION
    fakes.config.away = False
    await client.installations.DeleteInstallation(remove)
    assert fakes.config.deleted == [settings]
    await client.install()
    await client.installations.DeleteInstallation(remove)
    assert fakes.config.deleted == [settings], "a repeated request is answered and deletes no other's settings"


async def test_an_installation_in_use_keeps_its_settings(attached: Client, fakes: Fakes) -> None:
    with pytest.raises(Conflict):
        await attached.installations.DeleteInstallation(installation_pb2.DeleteInstallationRequest(name=INSTALLATION))
    assert fakes.config.deleted == []


async def test_a_deleted_agent_frees_its_installations(attached: Client) -> None:
    await attached.agents.DeleteAgent(agent_pb2.DeleteAgentRequest(name="orgs/acme/agents/helper"))
    await attached.installations.DeleteInstallation(installation_pb2.DeleteInstallationRequest(name=INSTALLATION))


async def test_installations_are_listed_by_name_in_pages(client: Client, weather: Release) -> None:
    for name in ("b", "c", "a"):
        await client.install(installation_id=name)
    request = installation_pb2.ListInstallationsRequest(parent="orgs/acme", page_size=2)
    first = await client.installations.ListInstallations(request)
    request.page_token = first.next_page_token
    last = await client.installations.ListInstallations(request)
    names = [shown.name for shown in (*first.installations, *last.installations)]
    assert names == [f"orgs/acme/installations/{name}" for name in "abc"]
    assert last.next_page_token == ""


SIGN_IN = OAuth2(
    "API_KEY", "authorization_code", "https://id.example.com/ok", "https://id.example.com/token", ("read",)
)


async def test_where_one_signs_in_is_what_the_pinned_release_declares(client: Client, fakes: Fakes) -> None:
    fakes.registry.add(replace(release(requirements=(API_KEY,)), oauth2=SIGN_IN))
    await client.install()
    request = installation_pb2.OfferConnectionRequest(name=INSTALLATION)
    offered = await client.installations.OfferConnection(request)
    assert offered.connection == "orgs/acme/connections/weather"
    assert (offered.oauth2.token_url, list(offered.oauth2.scopes)) == (SIGN_IN.token_url, ["read"])
    assert fakes.config.offered == [(offered.connection, SIGN_IN)]


@pytest.mark.parametrize(
    "declared", [None, replace(SIGN_IN, token_url=""), replace(SIGN_IN, authorization_url="")], ids=str
)
async def test_a_sign_in_that_is_not_declared_whole_is_not_offered(
    client: Client, fakes: Fakes, declared: OAuth2 | None
) -> None:
    fakes.registry.add(replace(release(requirements=(API_KEY,)), oauth2=declared))
    await client.install()
    with pytest.raises(Conflict) as refused:
        await client.installations.OfferConnection(installation_pb2.OfferConnectionRequest(name=INSTALLATION))
    assert refused.value.reason == "CONNECTION_NOT_OFFERED"
    assert fakes.config.offered == []


async def test_what_lacks_a_token_says_that_one_can_sign_in(client: Client, fakes: Fakes) -> None:
    fakes.registry.add(replace(release(requirements=(API_KEY,)), oauth2=SIGN_IN))
    await client.create_agent()
    await client.install()
    with pytest.raises(Conflict) as refused:
        await client.attach()
    assert refused.value.reason == "SETTINGS_MISSING"
    assert refused.value.fix.startswith("hardpoint connect weather (or hardpoint secret set")
