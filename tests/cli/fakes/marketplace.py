"""The marketplace: listings."""

from hardpoint.marketplace.v1 import marketplace_pb2, marketplace_pb2_grpc
from hardpoint_kit.errors import AlreadyExists

from .world import Fake, known


class Marketplace(Fake, marketplace_pb2_grpc.MarketplaceServiceServicer):
    async def HideListing(self, request, context):
        self.world.ask("HideListing", request)
        found = known(self.world.listings, "listing", request.name)
        found.state = marketplace_pb2.LISTING_STATE_HIDDEN
        return found

    async def ShowListing(self, request, context):
        self.world.ask("ShowListing", request)
        found = known(self.world.listings, "listing", request.name)
        found.state = marketplace_pb2.LISTING_STATE_LISTED
        return found

    async def CreateListing(self, request, context):
        self.world.ask("CreateListing", request)
        name = request.listing.capability.replace("orgs/", "listings/").replace("/capabilities/", ".")
        if name in self.world.listings:
            raise AlreadyExists("is listed", resource=name)
        request.listing.name = name
        self.world.listings[name] = request.listing
        return request.listing

    async def GetListing(self, request, context):
        self.world.ask("GetListing", request)
        return known(self.world.listings, "listing", request.name)

    async def SearchListings(self, request, context):
        self.world.ask("SearchListings", request)
        listings = list(self.world.listings.values())
        first = int(request.page_token or 0)
        more = str(first + request.page_size) if len(listings) > first + request.page_size else ""
        page = listings[first : first + request.page_size]
        return marketplace_pb2.SearchListingsResponse(listings=page, next_page_token=more)

    async def UpdateListing(self, request, context):
        self.world.ask("UpdateListing", request)
        found = known(self.world.listings, "listing", request.listing.name)
        request.update_mask.MergeMessage(request.listing, found, replace_message_field=True)
        return found
