"""The calls that tests of the marketplace make, with the arguments they mostly have."""

from typing import Any

from hardpoint.marketplace.v1 import marketplace_pb2
from marketplace.fakes import Registry

WEATHER = "orgs/acme/capabilities/weather-lookup"
LISTING = "listings/acme.weather-lookup"


async def create(stub: Any, capability: str = WEATHER, request_id: str = "", **listing: Any) -> Any:
    request = marketplace_pb2.CreateListingRequest(
        listing=marketplace_pb2.Listing(capability=capability, **listing), request_id=request_id
    )
    return await stub.CreateListing(request)


async def offer(stub: Any, registry: Registry, capability: str, listing: Any = None, **manifest: Any) -> Any:
    """Publish a capability of acme and list it."""
    name = f"orgs/acme/capabilities/{capability}"
    registry.publish(name, manifest=manifest)
    return await create(stub, name, **(listing or {}))


async def read(stub: Any, name: str = LISTING) -> Any:
    return await stub.GetListing(marketplace_pb2.GetListingRequest(name=name))


async def update(stub: Any, *paths: str, request_id: str = "", name: str = LISTING, **listing: Any) -> Any:
    request = marketplace_pb2.UpdateListingRequest(
        listing=marketplace_pb2.Listing(name=name, **listing), request_id=request_id
    )
    request.update_mask.paths.extend(paths)
    return await stub.UpdateListing(request)


async def hide(stub: Any, name: str = LISTING, request_id: str = "") -> Any:
    return await stub.HideListing(marketplace_pb2.HideListingRequest(name=name, request_id=request_id))


async def show(stub: Any, name: str = LISTING, request_id: str = "") -> Any:
    return await stub.ShowListing(marketplace_pb2.ShowListingRequest(name=name, request_id=request_id))


async def search(stub: Any, query: str = "", **asked: Any) -> list[str]:
    """The ids of the capabilities on the first page."""
    answer = await stub.SearchListings(marketplace_pb2.SearchListingsRequest(query=query, **asked))
    return [listing.name.partition(".")[2] for listing in answer.listings]


async def install(stub: Any, installation: str = "mine", org: str = "acme", capability: str = WEATHER) -> None:
    """Say that an installation was made; `stub` is a unit's that acts for that org."""
    name = f"orgs/{org}/installations/{installation}"
    await stub.RecordInstallation(marketplace_pb2.RecordInstallationRequest(installation=name, capability=capability))
