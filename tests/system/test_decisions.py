"""Decisions about the design document that only the whole shows: D8 (tables), D9 (the loader's cache), D15 (price)."""

import pytest

from hardpoint.marketplace.v1 import marketplace_pb2
from hardpoint.registry.v1 import registry_pb2
from hardpoint.runtime.v1 import installation_pb2
from hardpoint_client.client import new_request_id
from hardpoint_kit.documents import from_struct
from hardpoint_kit.errors import InvalidArgument

from .conftest import EXAMPLES, add_file, eventually

FILE = "weather-capability.yaml"


def version(number: str) -> bytes:
    return (EXAMPLES / FILE).read_bytes().replace(b'version: "1.0.0"', f'version: "{number}"'.encode())


async def test_d08_every_version_stays_as_it_was_published(client):
    published = [await client.publish((await client.push(version(n), FILE)).release.name) for n in ("1.0.0", "1.1.0")]
    for before in published:
        now = await client.registry.GetRelease(registry_pb2.GetReleaseRequest(name=before.name))
        assert now == before
    assert len({release.artifact.digest for release in published}) == 2
    capability = await client.registry.GetCapability(
        registry_pb2.GetCapabilityRequest(name=f"{client.org}/capabilities/weather-lookup")
    )
    assert capability.latest_version == "1.1.0"


async def test_d08_grants_settings_and_secrets_are_kept_apart(client, add):
    installation_id = await add(FILE, secrets={"API_KEY": "kept-apart"})
    installation = await client.installations.GetInstallation(
        installation_pb2.GetInstallationRequest(name=f"{client.org}/installations/{installation_id}")
    )
    settings = await client.set_settings(installation_id, {})
    assert list(installation.grants.permissions) == ["network.http.get"]
    assert dict(settings.secrets) == {"API_KEY": f"{client.org}/secrets/weather-lookup-api-key"}
    assert from_struct(settings.values) == {}
    assert "kept-apart" not in f"{installation} {settings}"


async def test_d09_a_running_agent_follows_a_new_pin_and_removal_leaves_nothing(system, client, agent, add):
    url = system.upstream.serve((200, {"ok": True}))

    def manifest(number: str, action: str) -> bytes:
        return (
            f'{{"capability": {{"id": "pinned", "name": "Pinned", "version": "{number}", "description": "x",'
            f' "actions": [{{"id": "{action}", "name": "Get"}}],'
            f' "integration": {{"type": "api", "endpoint": "{url}", "method": "GET"}},'
            f' "permissions": ["network.http.get"]}}}}'
        ).encode()

    await add_file(client, agent, manifest("1.0.0", "old"), "pinned.json")
    assert (await agent.execute("pinned.old")).error is None

    pushed = await client.push(manifest("1.1.0", "new"), "pinned.json")
    await client.publish(pushed.release.name)
    assert (await agent.execute("pinned.old")).error is None, "a publication alone changes no agent"

    name = f"{client.org}/installations/pinned"
    await client.installations.UpdateInstallation(
        installation_pb2.UpdateInstallationRequest(
            installation=installation_pb2.Installation(name=name, constraint="1.1.0"),
            update_mask={"paths": ["constraint"]},
            request_id=new_request_id(),
        )
    )
    assert (await agent.execute("pinned.new")).error is None
    assert (await agent.execute("pinned.old")).error.reason == "ACTION_NOT_ATTACHED"

    await agent.remove_capability("pinned")
    assert (await agent.execute("pinned.new")).error.reason == "ACTION_NOT_ATTACHED"
    assert list(await agent.tools()) == []


async def test_d15_a_price_has_a_currency_and_a_period(client):
    pushed = await client.push(version("1.0.0"), FILE, visibility=registry_pb2.VISIBILITY_PUBLIC)
    await client.publish(pushed.release.name)
    capability = f"{client.org}/capabilities/weather-lookup"

    def listing(**price) -> marketplace_pb2.CreateListingRequest:
        return marketplace_pb2.CreateListingRequest(
            listing=marketplace_pb2.Listing(capability=capability, price=marketplace_pb2.Price(**price)),
            request_id=new_request_id(),
        )

    with pytest.raises(InvalidArgument) as refused:
        await client.marketplace.CreateListing(listing(amount="9.00", currency="USD"))
    assert "listing.price.period" in refused.value.violations
    made = await client.marketplace.CreateListing(
        listing(amount="9.00", currency="USD", period=marketplace_pb2.PERIOD_MONTH)
    )
    assert (made.price.amount, made.price.currency, made.price.period) == ("9.00", "USD", marketplace_pb2.PERIOD_MONTH)


async def test_an_installation_is_counted_once_for_its_listing(system, client, org):
    pushed = await client.push(version("1.0.0"), FILE, visibility=registry_pb2.VISIBILITY_PUBLIC)
    await client.publish(pushed.release.name)
    capability = f"{client.org}/capabilities/weather-lookup"
    await client.marketplace.CreateListing(
        marketplace_pb2.CreateListingRequest(listing=marketplace_pb2.Listing(capability=capability))
    )
    other = system.client(f"{org}-2")
    await other.install(capability)
    await other.install(capability, installation_id="again")

    async def counted() -> bool:
        name = f"listings/{org}.weather-lookup"
        listing = await client.marketplace.GetListing(marketplace_pb2.GetListingRequest(name=name))
        return listing.install_count == 2

    await eventually(counted)
