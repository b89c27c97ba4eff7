"""Search: what words find, in which order, page by page, and that no text breaks it."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from hardpoint.marketplace.v1 import marketplace_pb2
from hardpoint_kit.database import Database
from hardpoint_kit.errors import InvalidArgument
from hardpoint_kit.paging import PageToken, query_fingerprint
from hardpoint_marketplace.domain import ListingQuery
from hardpoint_marketplace.search import parts
from hardpoint_marketplace.service import MOST_SEARCHES
from hardpoint_marketplace.store import Store
from marketplace.calls import hide, install, offer, search
from marketplace.conftest import Dial
from marketplace.fakes import Registry

Price = marketplace_pb2.Price


@pytest.fixture
async def shop(builder: Any, registry: Registry) -> Any:
    """A marketplace with some listings, as a builder calls it."""

    async def add(capability: str, name: str, description: str, category: str, tags: list[str], **listing: Any) -> None:
        await offer(
            builder, registry, capability, listing, name=name, description=description, category=category, tags=tags
        )

    per_call = Price(amount="0.01", currency="EUR", period=marketplace_pb2.PERIOD_CALL)
    await add("weather-lookup", "Weather Lookup", "Current weather for any location", "data", ["weather", "api"])
    await add("currency-converter", "Currency Converter", "Convert money between currencies", "finance", ["money"])
    await add("slack", "Slack Integration", "Post messages and alerts, such as the weather", "chat", ["slack", "api"])
    await add("umbrella", "Umbrella Alert", "Tells when it will rain", "data", ["weather"], price=per_call)
    await add("cpp", "C++ Runner", "Compiles & runs programs", "data", [])
    return builder


FOUND_BY_WORDS = {
    # Names count more than tags, tags more than summaries.
    "weather": ["weather-lookup", "umbrella", "slack"],
    # The beginning of the last word is enough, of an earlier one it is not.
    "weath": ["weather-lookup", "umbrella", "slack"],
    "currency conv": ["currency-converter"],
    "curr converter": [],
    # Other forms of a word; a word that English would drop, before the middle of a name.
    "converting currencies": ["currency-converter"],
    "the": ["slack", "weather-lookup"],
    # All words, in whatever field; operators of web searches.
    "slack weather": ["slack"],
    "weather -slack -umbrella": ["weather-lookup"],
    "rain or compiles": ["cpp", "umbrella"],
    '"weather lookup"': ["weather-lookup"],
    '"for any location"': ["weather-lookup"],
    '"weather current"': [],
    # The id; the middle of a name; signs.
    "currency-converter": ["currency-converter"],
    "lack integ": ["slack"],
    "++": ["cpp"],
    "c++": ["cpp"],
    "WEATHER LOOKUP": ["weather-lookup"],
    "nothing like it": [],
    "%": [],
    "_": [],
}


async def test_words_find_in_order(shop: Any) -> None:
    assert {query: await search(shop, query) for query in FOUND_BY_WORDS} == FOUND_BY_WORDS


async def test_filters_narrow(shop: Any, database: Database) -> None:
    await feature(database, "currency-converter")
    assert await search(shop, category="data") == ["cpp", "umbrella", "weather-lookup"]
    assert await search(shop, tag="api") == ["slack", "weather-lookup"]
    assert await search(shop, tag="api", category="data") == ["weather-lookup"]
    assert await search(shop, category="data", free_only=True) == ["cpp", "weather-lookup"]
    assert await search(shop, "weather", free_only=True) == ["weather-lookup", "slack"]
    assert await search(shop, featured_only=True) == ["currency-converter"]
    assert await search(shop, category="dat") == []


async def feature(database: Database, capability: str) -> None:
    async with database.transaction("*") as connection:
        await connection.execute(text("UPDATE listings SET featured = true WHERE capability = :it"), {"it": capability})


async def test_without_words_featured_ones_come_first_then_the_most_installed(
    shop: Any, dial: Dial, database: Database
) -> None:
    await feature(database, "umbrella")
    for number in range(2):
        await install(dial("o", "service"), f"i{number}", org="o", capability="orgs/acme/capabilities/slack")
    await install(dial("o", "service"), "i", org="o", capability="orgs/acme/capabilities/cpp")
    assert await search(shop) == ["umbrella", "slack", "cpp", "currency-converter", "weather-lookup"]


async def test_an_updated_page_is_found_by_its_new_words(shop: Any) -> None:
    request = marketplace_pb2.UpdateListingRequest(
        listing=marketplace_pb2.Listing(name="listings/acme.cpp", summary="Barometer readings")
    )
    request.update_mask.paths.append("summary")
    await shop.UpdateListing(request)
    assert await search(shop, "barometer") == ["cpp"]
    assert await search(shop, "compiles") == []


@pytest.mark.parametrize("query", ["", "weather or money or slack or runner"])
async def test_pages_add_up_to_the_whole(shop: Any, dial: Dial, query: str) -> None:
    await install(dial("o", "service"), "i", org="o", capability="orgs/acme/capabilities/slack")
    whole = await search(shop, query)
    assert len(whole) >= 4
    for size in (1, 2, 3):
        paged, token = [], ""
        while True:
            request = marketplace_pb2.SearchListingsRequest(query=query, page_size=size, page_token=token)
            answer = await shop.SearchListings(request)
            assert len(answer.listings) <= size
            paged += [listing.name.partition(".")[2] for listing in answer.listings]
            token = answer.next_page_token
            if not token:
                break
        assert paged == whole


async def test_a_listing_hidden_between_pages_hides_no_other(shop: Any) -> None:
    answer = await shop.SearchListings(marketplace_pb2.SearchListingsRequest(page_size=2))
    await hide(shop, answer.listings[0].name)
    rest = await search(shop, page_token=answer.next_page_token)
    assert rest == ["slack", "umbrella", "weather-lookup"]


async def test_a_page_token_belongs_to_its_query(shop: Any) -> None:
    answer = await shop.SearchListings(marketplace_pb2.SearchListingsRequest(page_size=1))
    for other in ({"query": "weather"}, {"category": "data"}, {"free_only": True}):
        with pytest.raises(InvalidArgument) as refused:
            await search(shop, page_token=answer.next_page_token, **other)
        assert refused.value.reason == "PAGE_TOKEN_MISMATCH"


async def test_a_made_up_page_token_is_refused(builder: Any) -> None:
    query = query_fingerprint(marketplace_pb2.SearchListingsRequest())
    for cursor in ((), (1,), ("a", "b", "c", "d"), (1, 2, "acme", 4), (10**30, 0, "a", "b"), (1, 2, "\0", "")):
        with pytest.raises(InvalidArgument):
            await search(builder, page_token=PageToken.encode(query, cursor))


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
SYNTAX = st.text("ab'\"\\:*&|!()<->-% \t\noOrR", max_size=30)


@given(words=TEXT | SYNTAX)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_text_breaks_the_search(database: Database, words: str) -> None:
    if "\0" in words:
        with pytest.raises(InvalidArgument):
            ListingQuery(words)
        return
    async with Store(database).transaction("acme") as tx:
        assert await tx.search(ListingQuery(words, category=words, tag=words), None, 10) == []


@pytest.mark.parametrize("words", ["weather", "wea lookup", '"x"', "a or b", "'; DROP TABLE listings; --", "++"])
def test_what_callers_say_is_never_part_of_the_sql(words: str) -> None:
    built = parts(ListingQuery(f"{words}zzz", category="zzz", tag="zzz"))
    assert "zzz" not in f"{built.score} {built.conditions}"
    assert built.parameters["words"] == f"{words}zzz"


async def test_pages_are_filled_up_past_what_is_private_again(builder: Any, registry: Registry) -> None:
    for number in range(8):
        await offer(builder, registry, f"c{number}")
    for number in (0, 1, 2, 5):
        registry.publish(f"orgs/acme/capabilities/c{number}", public=False)
    request = marketplace_pb2.SearchListingsRequest(page_size=2)
    pages = []
    while not pages or request.page_token:
        answer = await builder.SearchListings(request)
        pages.append([listing.name.partition(".")[2] for listing in answer.listings])
        request.page_token = answer.next_page_token
    assert pages == [["c3", "c4"], ["c6", "c7"]]


async def test_a_search_asks_the_registry_a_few_times_at_most(builder: Any, registry: Registry) -> None:
    for number in range(MOST_SEARCHES + 2):
        await offer(builder, registry, f"c{number}")
        registry.publish(f"orgs/acme/capabilities/c{number}", public=number > MOST_SEARCHES)
    request = marketplace_pb2.SearchListingsRequest(page_size=1)
    first = await builder.SearchListings(request)
    assert (list(first.listings), registry.batches) == ([], MOST_SEARCHES)
    request.page_token = first.next_page_token
    (found,) = (await builder.SearchListings(request)).listings
    assert found.name == f"listings/acme.c{MOST_SEARCHES + 1}"
