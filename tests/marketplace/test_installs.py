"""What `install_count` counts: distinct installations, whoever says them, in whatever order and however often."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hardpoint_kit.database import Database
from hardpoint_kit.errors import NotFound, PermissionDenied
from hardpoint_kit.names import InstallationName, ListingName
from hardpoint_marketplace.store import Store
from marketplace.calls import WEATHER, hide, install, offer, read, search
from marketplace.conftest import Dial
from marketplace.fakes import Registry

SAID = st.tuples(st.sampled_from(["acme", "other", "third"]), st.sampled_from(["one", "two", "three"]))


@pytest.fixture
async def listing(builder: Any, registry: Registry) -> Any:
    return await offer(builder, registry, "weather-lookup")


async def test_an_installation_counts_once_for_everybody(listing: Any, dial: Dial) -> None:
    for _ in range(3):
        await install(dial("other", "service"), org="other")
    await install(dial("third", "service"), org="third")
    await install(dial("third", "service"), "second", org="third")
    assert (await read(dial("fourth"))).install_count == 3


async def test_said_many_times_at_once_it_counts_once(listing: Any, dial: Dial) -> None:
    units = [dial("other", "service") for _ in range(4)]
    await asyncio.gather(*(install(unit, f"i{number}", org="other") for unit in units for number in range(5)))
    assert (await read(units[0])).install_count == 5


async def test_a_capability_without_a_listing_is_no_error(dial: Dial, builder: Any, registry: Registry) -> None:
    unit = dial("other", "service")
    await install(unit, org="other")
    await offer(builder, registry, "weather-lookup")
    assert (await read(unit)).install_count == 0
    await install(unit, org="other")
    assert (await read(unit)).install_count == 1


async def test_a_hidden_listing_still_counts(listing: Any, builder: Any, dial: Dial) -> None:
    await hide(builder)
    await install(dial("other", "service"), org="other")
    assert (await read(builder)).install_count == 1


async def test_listings_count_apart_and_search_puts_the_most_installed_first(
    listing: Any, builder: Any, dial: Dial, registry: Registry
) -> None:
    await offer(builder, registry, "translator")
    unit = dial("other", "service")
    for installation in ("one", "two"):
        await install(unit, installation, org="other", capability="orgs/acme/capabilities/translator")
    await install(unit, "one", org="other", capability=WEATHER)
    assert await search(unit) == ["translator", "weather-lookup"]
    assert (await read(unit)).install_count == 1


async def test_only_units_of_ours_count_and_only_for_whom_they_act(listing: Any, builder: Any, dial: Dial) -> None:
    with pytest.raises(PermissionDenied):
        await install(builder)
    with pytest.raises(NotFound):
        await install(dial("acme", "service"), org="other")
    assert (await read(builder)).install_count == 0


@given(said=st.lists(SAID, max_size=20))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_the_count_is_the_number_of_distinct_installations(
    said: list[tuple[str, str]], database: Database, fresh_listing: Callable[[], Awaitable[ListingName]]
) -> None:
    store, name = Store(database), await fresh_listing()

    async def say(org: str, installation: str) -> bool:
        async with store.transaction("*") as tx:
            return await tx.count(name, InstallationName(org, installation))

    half = len(said) // 2
    counted = [await say(*one) for one in said[:half]] + await asyncio.gather(*(say(*one) for one in said[half:]))
    async with store.transaction("any") as tx:
        listing = await tx.listing(name)
    assert listing is not None
    assert listing.install_count == sum(counted) == len(set(said))


@pytest.fixture
def fresh_listing(builder: Any, registry: Registry) -> Callable[[], Awaitable[ListingName]]:
    """`await fresh_listing()` is the name of one more listing, not installed yet."""
    made: list[ListingName] = []

    async def fresh() -> ListingName:
        listing = await offer(builder, registry, f"c{len(made)}")
        made.append(ListingName.parse(listing.name))
        return made[-1]

    return fresh
