"""Owns the use cases of the marketplace: offering a capability, finding one, counting installations."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass, replace
from datetime import datetime

from hardpoint_kit.audit import record
from hardpoint_kit.caller import ANY_ORG, SYSTEM, Caller
from hardpoint_kit.clock import Clock
from hardpoint_kit.errors import AlreadyExists, DeadlineExceeded, NotFound, Unavailable
from hardpoint_kit.idempotency import once
from hardpoint_kit.masks import check_etag
from hardpoint_kit.names import PRODUCT_ORG, CapabilityName, InstallationName, ListingName, ReleaseName
from hardpoint_kit.paging import Page, PageToken, page_size
from hardpoint_marketplace.domain import Capability, Details, Listing, ListingQuery, Position
from hardpoint_marketplace.peers import Capabilities, Releases
from hardpoint_marketplace.store import Store, Transaction
from hardpoint_standard import Shipped

BUILT_IN = "built-in"
"""The tag of what is shipped with the product."""
MOST_SEARCHES = 5
"""How often a page is filled up in place of listings that are not public any more."""


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
                    raise AlreadyExists(
                        f'listing "{listing.name}" already exists', fix="update it", resource=listing.name
                    )
                await record(tx.connection, caller, "listing.create", listing.name)
                return listing

            return await once(tx.connection, caller, "CreateListing", fingerprint, Listing, create)

    async def list_standard(self, shipped: Iterable[Shipped]) -> None:
        """List what is shipped with the product, as its manifests say it, with the tag `built-in`."""
        caller = SYSTEM(PRODUCT_ORG)
        for manifest in [one.manifest for one in shipped]:
            name = ListingName(PRODUCT_ORG, manifest.id)
            capability = Capability(name.capability_name, is_public=True, latest_version=manifest.version)
            page = Details.of_release(
                display_name=manifest.name,
                icon=manifest.icon,
                summary=manifest.description,
                license=manifest.license,
                documentation_url=manifest.documentation_url,
                support_url=manifest.support_url,
                repository_url=manifest.repository_url,
                category=manifest.category,
                tags=(BUILT_IN, *manifest.tags),
            )
            listing = Listing.new(capability, page, at=self.clock.now())
            async with self.store.transaction(PRODUCT_ORG) as tx:
                if await tx.add(listing):
                    await record(tx.connection, caller, "listing.create", name)
                    continue
                known = await _existing(tx, name, lock=True)
                if known.details != page:
                    await tx.save(replace(known, details=page, update_time=listing.update_time))
                    await record(tx.connection, caller, "listing.update", name)

    async def get_listing(self, caller: Caller, name: ListingName) -> Listing:
        """Return a listing, with the version of now; raises NotFound, Unavailable.

        One that is hidden, or whose capability is not public, is shown to its own org only. That org is shown it also
        while the registry cannot be asked, with the version of when it was made.
        """
        async with self.store.transaction(caller.org) as tx:
            listing = await _existing(tx, name)
        try:
            capability = await self.capabilities.get(name.capability_name)
        except NotFound as error:
            if caller.org != name.org:
                raise NotFound("listing", name) from error
            return listing
        except (Unavailable, DeadlineExceeded):
            if caller.org != name.org:
                raise
            return listing
        return replace(listing, latest_version=capability.latest_version)

    async def search_listings(
        self, caller: Caller, query: ListingQuery, size: int, token: str, fingerprint: str
    ) -> Page[Listing]:
        """Return one page of what is listed and public: by rank of the words, else featured first; then by installs.

        What is public is the registry's word of now, never ours of before. A page that lacks listings for it is
        filled up from those that follow, a few times over, and is then short. Raises Unavailable.
        """
        size = page_size(size)
        cursor = PageToken.decode(token, fingerprint, int, int, str, str)
        after = Position(*cursor) if cursor else None
        listings: list[Listing] = []
        for _ in range(MOST_SEARCHES):
            wanted = size - len(listings)
            async with self.store.transaction(caller.org) as tx:
                found = await tx.search(query, after, wanted + 1)
            listings += await self._public([one.listing for one in found[:wanted]])
            if len(found) <= wanted:
                return Page(tuple(listings), "")
            after = found[wanted - 1].position
            if len(listings) == size:
                break
        assert after is not None
        return Page(tuple(listings), PageToken.encode(fingerprint, astuple(after)))

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

    async def _public(self, listings: Sequence[Listing]) -> list[Listing]:
        """Return the listings of public capabilities, with their versions of now."""
        if not listings:
            return []
        known = await self.capabilities.get_all([listing.name.capability_name for listing in listings])
        capabilities = [(listing, known.get(listing.name.capability_name)) for listing in listings]
        return [
            replace(listing, latest_version=of.latest_version) for listing, of in capabilities if of and of.is_public
        ]

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
