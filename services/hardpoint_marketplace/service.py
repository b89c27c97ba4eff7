"""Owns the use cases of the marketplace: offering a capability, finding one, counting installations."""

from collections.abc import Callable
from dataclasses import astuple, dataclass, replace
from datetime import datetime

from hardpoint_kit.audit import record
from hardpoint_kit.caller import ANY_ORG, Caller
from hardpoint_kit.clock import Clock
from hardpoint_kit.errors import AlreadyExists, DeadlineExceeded, NotFound, Unavailable
from hardpoint_kit.idempotency import once
from hardpoint_kit.masks import check_etag
from hardpoint_kit.names import CapabilityName, InstallationName, ListingName, ReleaseName
from hardpoint_kit.paging import Page, PageToken, page_size
from hardpoint_marketplace.domain import Details, Listing, ListingQuery, Position
from hardpoint_marketplace.peers import Capabilities, Releases
from hardpoint_marketplace.store import Store, Transaction


@dataclass(frozen=True, slots=True)
class MarketplaceService:
    """What callers can do with listings."""

    store: Store
    capabilities: Capabilities
    releases: Releases
    clock: Clock

    async def create_listing(self, caller: Caller, name: CapabilityName, details: Details, fingerprint: str) -> Listing:
        """Offer a public capability to every org; details left empty are those of its latest release.

        Raises NotFound, Conflict for one that is not public or has nothing published, AlreadyExists.
        """
        async with self.store.transaction(caller.org) as tx:

            async def create() -> Listing:
                # Asked inside the transaction, so that a repeated request gets its first answer whatever the registry
                # says by now.
                capability = await self.capabilities.get(name)
                filled = details
                if capability.latest_version:
                    latest = ReleaseName(name.org, name.capability, capability.latest_version)
                    filled = details.filled_from(await self.releases.details(latest))
                listing = Listing.new(capability, filled, at=self.clock.now())
                if not await tx.add(listing):
                    raise AlreadyExists(f'listing "{listing.name}" already exists', resource=listing.name)
                await record(tx.connection, caller, "listing.create", listing.name)
                return listing

            return await once(tx.connection, caller, "CreateListing", fingerprint, Listing, create)

    async def get_listing(self, caller: Caller, name: ListingName) -> Listing:
        """Return a listing, a hidden one to its own org only; raises NotFound.

        Its version is the registry's of now. While that cannot be asked, and in search, where asking for each of a
        page's listings would cost more than it tells, it is the one from when the listing was made.
        """
        async with self.store.transaction(caller.org) as tx:
            listing = await _existing(tx, name)
        try:
            capability = await self.capabilities.get(name.capability_name)
        except (NotFound, Unavailable, DeadlineExceeded):
            return listing
        return replace(listing, latest_version=capability.latest_version)

    async def search_listings(
        self, caller: Caller, query: ListingQuery, size: int, token: str, fingerprint: str
    ) -> Page[Listing]:
        """Return one page of what is listed: by rank of the words, else featured first; then by installs."""
        size = page_size(size)
        cursor = PageToken.decode(token, fingerprint, int, int, str, str)
        after = Position(*cursor) if cursor else None
        async with self.store.transaction(caller.org) as tx:
            found = await tx.search(query, after, size + 1)
        more = PageToken.encode(fingerprint, astuple(found[size - 1].position)) if len(found) > size else ""
        return Page(tuple(one.listing for one in found[:size]), more)

    async def update_listing(
        self, caller: Caller, name: ListingName, patch: Details, paths: tuple[str, ...], etag: str, fingerprint: str
    ) -> Listing:
        """Change what is written on a listing; raises NotFound, StaleEtag."""

        def update(listing: Listing, at: datetime) -> Listing:
            check_etag(etag, listing.etag)
            return listing.updated(patch, paths, at)

        return await self._change(caller, name, "UpdateListing", "listing.update", fingerprint, update)

    async def hide_listing(self, caller: Caller, name: ListingName, fingerprint: str) -> Listing:
        """Take a listing out of search; raises NotFound, Conflict unless it is listed."""
        return await self._change(caller, name, "HideListing", "listing.hide", fingerprint, Listing.hidden)

    async def show_listing(self, caller: Caller, name: ListingName, fingerprint: str) -> Listing:
        """Put a hidden listing back into search; raises NotFound, Conflict unless it is hidden."""
        return await self._change(caller, name, "ShowListing", "listing.show", fingerprint, Listing.shown)

    async def record_installation(
        self, caller: Caller, installation: InstallationName, capability: CapabilityName
    ) -> None:
        """Count an installation of a listed capability, once however often it is said."""
        listing = ListingName(capability.org, capability.capability)
        # The unit's own work: the installation is one org's and the count another's.
        async with self.store.transaction(ANY_ORG) as tx:
            if await tx.count(listing, installation):
                await record(tx.connection, caller, "installation.count", installation, listing=listing)

    async def _change(
        self,
        caller: Caller,
        name: ListingName,
        method: str,
        action: str,
        fingerprint: str,
        changed: Callable[[Listing, datetime], Listing],
    ) -> Listing:
        async with self.store.transaction(caller.org) as tx:

            async def change() -> Listing:
                listing = changed(await _existing(tx, name, lock=True), self.clock.now())
                await tx.save(listing)
                await record(tx.connection, caller, action, name)
                return listing

            return await once(tx.connection, caller, method, fingerprint, Listing, change)


async def _existing(tx: Transaction, name: ListingName, *, lock: bool = False) -> Listing:
    listing = await tx.listing(name, lock=lock)
    if listing is None:
        raise NotFound("listing", name)
    return listing
