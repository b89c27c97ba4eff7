"""Standard capabilities in the marketplace: listed by its start as built-in, with the words of this version."""

from dataclasses import replace
from typing import Any

from hardpoint.marketplace.v1 import marketplace_pb2
from hardpoint_kit.clock import Clock
from hardpoint_kit.database import Database
from hardpoint_marketplace.peers import Capabilities, Releases
from hardpoint_marketplace.service import MarketplaceService
from hardpoint_marketplace.store import Store
from hardpoint_standard import shipped
from marketplace.calls import read, search
from marketplace.fakes import Registry

NEVER: Any = None
"""A peer that listing does not ask."""


async def test_what_is_shipped_is_found_as_built_in_once_and_as_this_version_says_it(
    builder: Any, registry: Registry, database: Database, clock: Clock
) -> None:
    capabilities: Capabilities = NEVER
    releases: Releases = NEVER
    service = MarketplaceService(Store(database), capabilities, releases, clock)
    for one in shipped():
        registry.publish(f"orgs/hardpoint/capabilities/{one.manifest.id}")
    for _ in range(2):  # two starts
        await service.list_standard(shipped())
    names = sorted(one.manifest.id for one in shipped())
    assert sorted(await search(builder)) == names
    assert sorted(await search(builder, tag="built-in")) == names
    listing = await read(builder, "listings/hardpoint.ocr")
    assert (listing.display_name, listing.state) == ("Text of documents", marketplace_pb2.LISTING_STATE_LISTED)

    ocr = next(one for one in shipped() if one.filename == "ocr.py")
    await service.list_standard([replace(ocr, header={**ocr.header, "name": "Reading papers"})])
    assert (await read(builder, "listings/hardpoint.ocr")).display_name == "Reading papers"
    assert await search(builder, "papers") == ["ocr"]
