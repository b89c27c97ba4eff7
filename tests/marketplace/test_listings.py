"""Listings over the wire: made from the registry's word, changed, hidden, seen by whom they should be."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import text

from hardpoint.marketplace.v1 import marketplace_pb2
from hardpoint_kit.database import Database
from hardpoint_kit.errors import (
    AlreadyExists,
    Conflict,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    StaleEtag,
    Unavailable,
)
from marketplace.calls import LISTING, WEATHER, create, hide, install, read, search, show, update
from marketplace.conftest import Dial
from marketplace.fakes import Registry
from serving import SetClock

MANIFEST = {
    "name": "Weather Lookup",
    "icon": "🌤️",
    "description": "Get current weather for any location",
    "license": "MIT",
    "documentation_url": "https://acme.test/docs",
    "support_url": "mailto:help@acme.test",
    "repository_url": "https://acme.test/git",
    "category": "data",
    "tags": ["weather", "api"],
}
PRICE = marketplace_pb2.Price(amount="9.00", currency="USD", period=marketplace_pb2.PERIOD_MONTH)


@pytest.fixture
async def listing(builder: Any, registry: Registry) -> Any:
    registry.publish(WEATHER, "1.2.0", manifest=MANIFEST)
    return await create(builder)


async def test_empty_texts_come_from_the_latest_release(listing: Any, clock: SetClock) -> None:
    assert (listing.name, listing.capability) == (LISTING, WEATHER)
    assert listing.state == marketplace_pb2.LISTING_STATE_LISTED
    assert (listing.display_name, listing.icon, listing.summary) == ("Weather Lookup", "🌤️", MANIFEST["description"])
    assert (listing.license, listing.support_url) == ("MIT", "mailto:help@acme.test")
    assert (list(listing.categories), list(listing.tags)) == (["data"], ["weather", "api"])
    assert (listing.latest_version, listing.install_count, listing.featured) == ("1.2.0", 0, False)
    assert not listing.HasField("price")
    assert listing.create_time.ToNanoseconds() == int(clock.time.timestamp() * 1e6) * 1000


async def test_given_texts_and_price_are_kept(builder: Any, registry: Registry) -> None:
    registry.publish(WEATHER, manifest=MANIFEST)
    made = await create(builder, summary="Our words", tags=["rain"], price=PRICE, license="Commercial", featured=True)
    assert (made.summary, list(made.tags), made.license) == ("Our words", ["rain"], "Commercial")
    assert made.price == PRICE
    assert not made.featured
    assert await read(builder) == made


async def test_every_org_reads_a_listing_and_search_finds_it(listing: Any, dial: Dial) -> None:
    other = dial("other", "viewer")
    assert await read(other) == listing
    assert await search(other, "weather") == ["weather-lookup"]


@pytest.mark.parametrize("published", [{"public": False}, {"version": ""}])
async def test_what_is_private_or_unpublished_is_not_listed(builder: Any, registry: Registry, published: Any) -> None:
    registry.publish(WEATHER, **published)
    with pytest.raises(Conflict):
        await create(builder)
    assert await search(builder) == []


async def test_a_capability_that_is_not_there_is_not_found(builder: Any) -> None:
    with pytest.raises(NotFound):
        await create(builder)


async def test_another_orgs_capability_is_not_ours_to_list(dial: Dial, registry: Registry) -> None:
    registry.publish(WEATHER)
    with pytest.raises(NotFound):
        await create(dial("other"))


async def test_a_capability_has_one_listing(listing: Any, builder: Any) -> None:
    with pytest.raises(AlreadyExists):
        await create(builder)


CANNOT_BE_SHOWN: list[dict[str, Any]] = [
    {"price": marketplace_pb2.Price(amount="9.00", currency="usd", period=marketplace_pb2.PERIOD_MONTH)},
    {"price": marketplace_pb2.Price(amount="-1", currency="USD", period=marketplace_pb2.PERIOD_MONTH)},
    {"price": marketplace_pb2.Price(amount="9.00", currency="USD")},
    {"documentation_url": "javascript:alert(1)"},
    {"repository_url": "git@acme.test:weather"},
    {"support_url": "tel:1"},
    {"tags": [""]},
    {"display_name": "x" * 101},
    {"summary": "a\0b"},
]


async def test_what_cannot_be_shown_is_refused(listing: Any, builder: Any) -> None:
    for given in CANNOT_BE_SHOWN:
        with pytest.raises(InvalidArgument) as refused:
            await update(builder, next(iter(given)), **given)
        assert "regex" not in refused.value.message
    assert await read(builder) == listing


async def test_an_update_changes_what_the_mask_names(listing: Any, builder: Any, clock: SetClock) -> None:
    clock.move(hours=1)
    after = await update(builder, "price", "tags", price=PRICE, tags=["sun"], summary="ignored", etag=listing.etag)
    assert (after.price, list(after.tags), after.summary) == (PRICE, ["sun"], listing.summary)
    assert after.update_time.ToNanoseconds() - after.create_time.ToNanoseconds() == 3600 * 10**9
    assert await read(builder) == after
    assert not (await update(builder, "price")).HasField("price")


async def test_a_price_of_nothing_is_no_price(listing: Any, builder: Any) -> None:
    free = marketplace_pb2.Price(amount="0.00", currency="USD", period=marketplace_pb2.PERIOD_MONTH)
    assert not (await update(builder, "price", price=free)).HasField("price")
    assert await search(builder, free_only=True) == ["weather-lookup"]


async def test_an_old_etag_is_refused_but_installs_do_not_age_one(listing: Any, builder: Any, dial: Dial) -> None:
    await install(dial(role="service"))
    after = await update(builder, "summary", summary="one", etag=listing.etag)
    with pytest.raises(StaleEtag):
        await update(builder, "summary", summary="two", etag=listing.etag)
    assert await read(builder) == after


async def test_only_the_owners_fields_are_updated(listing: Any, builder: Any) -> None:
    for path in ("featured", "state", "install_count", "nonsense"):
        with pytest.raises(InvalidArgument):
            await update(builder, path, featured=True)


async def test_a_hidden_listing_is_seen_by_its_own_org_only_and_not_found(
    listing: Any, builder: Any, dial: Dial
) -> None:
    assert (await hide(builder)).state == marketplace_pb2.LISTING_STATE_HIDDEN
    other = dial("other")
    with pytest.raises(NotFound):
        await read(other)
    assert (await read(builder)).state == marketplace_pb2.LISTING_STATE_HIDDEN
    for stub in (builder, other):
        assert await search(stub) == await search(stub, "weather") == []
    with pytest.raises(Conflict):
        await hide(builder)
    assert (await show(builder)).state == marketplace_pb2.LISTING_STATE_LISTED
    with pytest.raises(Conflict):
        await show(builder)
    assert await search(other) == ["weather-lookup"]


async def test_nobody_else_changes_a_listing(listing: Any, builder: Any, dial: Dial) -> None:
    for call in (hide, show, update):
        with pytest.raises(NotFound):
            await call(dial("other"))
        with pytest.raises(PermissionDenied):
            await call(dial(role="viewer"))
    assert await read(builder) == listing


async def test_a_repeated_request_is_answered_and_not_done_again(builder: Any, registry: Registry) -> None:
    registry.publish(WEATHER, manifest=MANIFEST)
    made = await create(builder, request_id="c1", price=PRICE)
    registry.down = True
    assert await create(builder, request_id="c1", price=PRICE) == made
    hidden = await hide(builder, request_id="h1")
    await show(builder)
    assert await hide(builder, request_id="h1") == hidden
    assert (await read(builder)).state == marketplace_pb2.LISTING_STATE_LISTED


async def test_a_listing_tells_the_version_of_now(listing: Any, dial: Dial, registry: Registry) -> None:
    other = dial("other")
    registry.publish(WEATHER, "1.3.0")
    assert (await read(other)).latest_version == "1.3.0"
    (found,) = (await other.SearchListings(marketplace_pb2.SearchListingsRequest())).listings
    assert found.latest_version == "1.3.0"


async def test_a_capability_that_is_private_again_is_seen_in_the_marketplace_by_its_own_org_only(
    listing: Any, builder: Any, dial: Dial, registry: Registry
) -> None:
    other = dial("other")
    registry.publish(WEATHER, "1.2.0", public=False)
    with pytest.raises(NotFound) as unseen:
        await read(other)
    assert unseen.value.message == f'listing "{LISTING}" not found'
    for stub in (builder, other):
        assert await search(stub) == await search(stub, "weather") == []
    assert (await read(builder)).name == LISTING
    registry.publish(WEATHER, "1.2.0")
    assert (await read(other)).name == LISTING
    assert await search(other) == ["weather-lookup"]


async def test_what_the_registry_cannot_vouch_for_is_not_shown(
    listing: Any, builder: Any, dial: Dial, registry: Registry
) -> None:
    other = dial("other")
    registry.down = True
    for ask in (read, search):
        with pytest.raises(Unavailable):
            await ask(other)
    assert (await read(builder)).latest_version == "1.2.0"


async def test_another_orgs_rows_stay_invisible_to_a_raw_query(
    listing: Any, builder: Any, dial: Dial, database: Database
) -> None:
    await install(dial("other", "service"), org="other")

    async def seen(table: str) -> dict[str, int]:
        found = {}
        for org in ("acme", "other", "third", "", "*"):
            async with database.transaction(org) as connection:
                found[org] = await connection.scalar(text(f"SELECT count(*) FROM {table}"))
        return found

    everybody = {"acme": 1, "other": 1, "third": 1, "": 1, "*": 1}
    assert await seen("listings") == await seen("install_counts") == everybody
    assert await seen("installations") == {**everybody, "acme": 0, "third": 0, "": 0}
    await hide(builder)
    assert await seen("listings") == await seen("install_counts") == {**everybody, "other": 0, "third": 0, "": 0}


async def test_another_orgs_rows_are_not_written_by_a_raw_query(listing: Any, dial: Dial, database: Database) -> None:
    await install(dial("other", "service"), org="other")
    async with database.transaction("third") as connection:
        for write in (
            "UPDATE listings SET featured = true",
            "UPDATE install_counts SET counted = 99",
            "DELETE FROM installations",
            "DELETE FROM install_counts",
            "DELETE FROM listings",
        ):
            assert (await connection.execute(text(write))).rowcount == 0


async def test_every_write_leaves_an_event(
    listing: Any, builder: Any, dial: Dial, audit: Callable[..., Awaitable[Any]]
) -> None:
    await update(builder, "summary", summary="new")
    await hide(builder)
    await show(builder)
    for _ in range(2):
        await install(dial("other", "service"), org="other")
    events = await audit()
    assert [event.action for event in events] == ["listing.show", "listing.hide", "listing.update", "listing.create"]
    assert {event.resource for event in events} == {LISTING}
    (counted,) = await audit("other")
    assert (counted.action, dict(counted.facts)) == ("installation.count", {"listing": LISTING})


async def test_of_many_creating_at_once_one_does(builder: Any, registry: Registry) -> None:
    registry.publish(WEATHER)
    answers = await asyncio.gather(*(create(builder) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(answer, AlreadyExists) for answer in answers) == 4
