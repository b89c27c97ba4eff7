"""Owns MarketplaceService's edge: unpack, call, pack."""

from decimal import Decimal
from typing import Any

import grpc

from hardpoint.marketplace.v1 import marketplace_pb2, marketplace_pb2_grpc
from hardpoint_kit.caller import caller
from hardpoint_kit.idempotency import request_fingerprint
from hardpoint_kit.names import CapabilityName, InstallationName, ListingName
from hardpoint_kit.paging import query_fingerprint
from hardpoint_marketplace.domain import Details, Listing, ListingQuery, Period, Price
from hardpoint_marketplace.service import MarketplaceService

Context = grpc.aio.ServicerContext[Any, Any]


class MarketplaceRpc(marketplace_pb2_grpc.MarketplaceServiceServicer):
    """Serves hardpoint.marketplace.v1.MarketplaceService."""

    def __init__(self, service: MarketplaceService) -> None:
        self._service = service

    async def CreateListing(
        self, request: marketplace_pb2.CreateListingRequest, context: Context
    ) -> marketplace_pb2.Listing:
        listing = await self._service.create_listing(
            caller(context),
            CapabilityName.parse(request.listing.capability, "listing.capability"),
            details_from_proto(request.listing),
            request_fingerprint(request),
        )
        return listing_to_proto(listing)

    async def GetListing(self, request: marketplace_pb2.GetListingRequest, context: Context) -> marketplace_pb2.Listing:
        return listing_to_proto(await self._service.get_listing(caller(context), ListingName.parse(request.name)))

    async def SearchListings(
        self, request: marketplace_pb2.SearchListingsRequest, context: Context
    ) -> marketplace_pb2.SearchListingsResponse:
        page = await self._service.search_listings(
            caller(context),
            ListingQuery(request.query, request.category, request.tag, request.featured_only, request.free_only),
            request.page_size,
            request.page_token,
            query_fingerprint(request),
        )
        return marketplace_pb2.SearchListingsResponse(
            listings=map(listing_to_proto, page.items), next_page_token=page.next_page_token
        )

    async def UpdateListing(
        self, request: marketplace_pb2.UpdateListingRequest, context: Context
    ) -> marketplace_pb2.Listing:
        listing = await self._service.update_listing(
            caller(context),
            ListingName.parse(request.listing.name, "listing.name"),
            details_from_proto(request.listing),
            tuple(request.update_mask.paths),
            request.listing.etag,
            request_fingerprint(request),
        )
        return listing_to_proto(listing)

    async def HideListing(
        self, request: marketplace_pb2.HideListingRequest, context: Context
    ) -> marketplace_pb2.Listing:
        listing = await self._service.hide_listing(
            caller(context), ListingName.parse(request.name), request_fingerprint(request)
        )
        return listing_to_proto(listing)

    async def ShowListing(
        self, request: marketplace_pb2.ShowListingRequest, context: Context
    ) -> marketplace_pb2.Listing:
        listing = await self._service.show_listing(
            caller(context), ListingName.parse(request.name), request_fingerprint(request)
        )
        return listing_to_proto(listing)

    async def RecordInstallation(
        self, request: marketplace_pb2.RecordInstallationRequest, context: Context
    ) -> marketplace_pb2.RecordInstallationResponse:
        await self._service.record_installation(
            caller(context),
            InstallationName.parse(request.installation, "installation"),
            CapabilityName.parse(request.capability, "capability"),
        )
        return marketplace_pb2.RecordInstallationResponse()


def details_from_proto(listing: marketplace_pb2.Listing) -> Details:
    """Read what an owner writes."""
    return Details(
        display_name=listing.display_name,
        icon=listing.icon,
        summary=listing.summary,
        price=price_from_proto(listing.price) if listing.HasField("price") else None,
        license=listing.license,
        documentation_url=listing.documentation_url,
        support_url=listing.support_url,
        repository_url=listing.repository_url,
        categories=tuple(listing.categories),
        tags=tuple(listing.tags),
    )


def price_from_proto(price: marketplace_pb2.Price) -> Price | None:
    """Read a price, None for one of nothing."""
    period = marketplace_pb2.Period.Name(price.period).removeprefix("PERIOD_")
    return Price.of(Decimal(price.amount), price.currency, Period(period))


def price_to_proto(price: Price) -> marketplace_pb2.Price:
    """Write a price."""
    return marketplace_pb2.Price(amount=f"{price.amount:f}", currency=price.currency, period=f"PERIOD_{price.period}")


def listing_to_proto(listing: Listing) -> marketplace_pb2.Listing:
    """Write a listing."""
    details = listing.details
    return marketplace_pb2.Listing(
        name=str(listing.name),
        capability=str(listing.name.capability_name),
        state=f"LISTING_STATE_{listing.state}",
        display_name=details.display_name,
        icon=details.icon,
        summary=details.summary,
        featured=listing.featured,
        price=price_to_proto(details.price) if details.price else None,
        license=details.license,
        documentation_url=details.documentation_url,
        support_url=details.support_url,
        repository_url=details.repository_url,
        categories=details.categories,
        tags=details.tags,
        install_count=listing.install_count,
        latest_version=listing.latest_version,
        create_time=listing.create_time,
        update_time=listing.update_time,
        etag=listing.etag,
    )
