"""A capability that is private again is not found by others, by no way, from that moment on."""

import pytest

from hardpoint.marketplace.v1 import marketplace_pb2
from hardpoint.registry.v1 import registry_pb2
from hardpoint_kit.errors import NotFound

from .conftest import EXAMPLES


async def test_its_listing_is_gone_and_comes_back_with_it(system, client, org):
    data = (EXAMPLES / "weather-capability.yaml").read_bytes()
    pushed = await client.push(data, "weather-capability.yaml", visibility=registry_pb2.VISIBILITY_PUBLIC)
    await client.publish(pushed.release.name)
    capability = f"{client.org}/capabilities/weather-lookup"
    listing = marketplace_pb2.Listing(capability=capability, tags=[org])
    await client.marketplace.CreateListing(marketplace_pb2.CreateListingRequest(listing=listing))
    stranger = system.client(f"{org}-x", subject="stranger")
    name = f"listings/{org}.weather-lookup"

    async def found() -> list[str]:
        asked = marketplace_pb2.SearchListingsRequest(tag=org)
        return [listing.name for listing in (await stranger.marketplace.SearchListings(asked)).listings]

    async def show(visibility: registry_pb2.Visibility) -> None:
        changed = registry_pb2.Capability(name=capability, visibility=visibility)
        await client.registry.UpdateCapability(registry_pb2.UpdateCapabilityRequest(capability=changed))

    assert await found() == [name]
    await show(registry_pb2.VISIBILITY_PRIVATE)
    assert await found() == []
    with pytest.raises(NotFound):
        await stranger.marketplace.GetListing(marketplace_pb2.GetListingRequest(name=name))
    assert (await client.marketplace.GetListing(marketplace_pb2.GetListingRequest(name=name))).name == name
    await show(registry_pb2.VISIBILITY_PUBLIC)
    assert await found() == [name]
