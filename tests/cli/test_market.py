"""Finding and offering capabilities from the command line."""

import pytest

from cli.conftest import Run
from cli.fakes import WEATHER, World, release
from hardpoint.marketplace.v1 import marketplace_pb2
from hardpoint.registry.v1 import registry_pb2


def offered(world: World, count: int) -> None:
    for number in range(count):
        name = f"listings/globex.tool-{number}"
        world.listings[name] = marketplace_pb2.Listing(
            name=name,
            capability=f"orgs/globex/capabilities/tool-{number}",
            latest_version="1.0.0",
            install_count=1234,
            license="MIT",
        )


def test_search_shows_listings_with_the_org_of_others(cli: Run, world: World) -> None:
    offered(world, 1)
    said = cli("search", "tool", "zero")
    assert "globex/tool-0 | 1.0.0 | free | MIT | 1234" in said.table
    assert world.asked["SearchListings"][0].query == "tool zero"


def test_search_follows_pages_to_the_limit(cli: Run, world: World) -> None:
    offered(world, 450)
    assert len(cli("search", "--limit", "300", "--json").json["listings"]) == 300
    assert len(cli("search", "--limit", "1000", "--json").json["listings"]) == 450
    assert len(cli("search", "--json").json["listings"]) == 20


def test_search_says_so_when_nothing_is_found(cli: Run, world: World) -> None:
    said = cli("search", "nothing")
    assert said.code == 0
    assert "Nothing found in the marketplace" in said.out
    assert cli("search", "nothing", "--json").json == {"listings": []}


def test_ones_own_capabilities(cli: Run, published: World) -> None:
    said = cli("search", "--mine")
    assert "weather-lookup | 1.0.0 | organization" in said.table
    assert [one["name"] for one in cli("search", "--mine", "--json").json["capabilities"]] == [WEATHER]


def test_a_capability_is_shown_with_all_that_matters(cli: Run, published: World) -> None:
    said = cli("show", "weather-lookup").table
    for line in (
        "releases | 1.0.0 (published)",
        "get-weather | location: string, days?: integer | Fetch current weather",
        "network.http.get | Make HTTP GET requests",
        "host api.weather.com | Reach this host",
        "secret API_KEY | Weather API Key, required",
    ):
        assert line in said
    document = cli("show", "weather-lookup", "--json").json
    assert set(document) == {"capability", "release", "releases", "listing"}
    assert document["listing"] is None
    assert document["release"]["manifest"]["authority"]["hosts"] == ["api.weather.com"]


def test_what_opens_nothing_yet_is_said_before_it_is_granted(cli: Run, published: World) -> None:
    published.releases[f"{WEATHER}/releases/1.0.0"].manifest.authority.permissions.append("integration.crm")
    said = cli("show", "weather-lookup").table
    assert "integration.crm | Access CRM (opens nothing yet)" in said
    assert "network.http.get | Make HTTP GET requests" in said


def test_a_release_that_is_not_there_is_not_found(cli: Run, published: World) -> None:
    said = cli("show", "weather-lookup@9.9.9", "--json")
    assert said.code == 1
    assert said.json["error"]["reason"] == "NOT_FOUND"


def test_another_orgs_capability(cli: Run, world: World) -> None:
    name = "orgs/globex/capabilities/tool"
    world.capabilities[name] = registry_pb2.Capability(name=name, latest_version="2.0.0")
    world.releases[f"{name}/releases/2.0.0"] = release(name, "2.0.0")
    assert "globex/tool@2.0.0 offers" in cli("show", "globex/tool").out


def test_an_offer_with_a_price(cli: Run, published: World) -> None:
    said = cli("offer", "weather-lookup", "--price", "9 USD/month", "--license", "Commercial", "--json")
    listing = said.json["listing"]
    assert listing["price"] == {"amount": "9", "currency": "USD", "period": "PERIOD_MONTH"}
    assert listing["license"] == "Commercial"
    assert listing["capability"] == WEATHER


def test_a_second_offer_changes_what_is_given(cli: Run, published: World) -> None:
    cli("offer", "weather-lookup", "--price", "9 USD/month", "--license", "MIT")
    said = cli("offer", "weather-lookup", "--price", "0.02 eur/call", "--json")
    assert list(published.asked["UpdateListing"][0].update_mask.paths) == ["price"]
    assert said.json["listing"]["price"] == {"amount": "0.02", "currency": "EUR", "period": "PERIOD_CALL"}
    assert said.json["listing"]["license"] == "MIT"
    assert cli("offer", "weather-lookup").code == 0
    assert len(published.asked["UpdateListing"]) == 1


def test_a_listing_is_hidden_and_shown(cli: Run, published: World) -> None:
    cli("offer", "weather-lookup")
    hidden = cli("listing", "hide", "weather-lookup", "--json").json["listing"]
    assert (hidden["name"], hidden["state"]) == ("listings/acme.weather-lookup", "LISTING_STATE_HIDDEN")
    assert "the listing of weather-lookup is listed" in cli("listing", "show", "weather-lookup").out
    said = cli("listing", "hide", "other", "--json")
    assert (said.code, said.json["error"]["reason"]) == (1, "NOT_FOUND")
    assert published.asked["HideListing"][0].request_id


@pytest.mark.parametrize("price", ["9", "USD 9", "9 USD/week", "-9 USD", "9 dollars"])
def test_a_price_that_is_none(price: str, cli: Run, published: World) -> None:
    said = cli("offer", "weather-lookup", f"--price={price}", "--json")
    assert said.code == 2
    assert "9 USD/month" in said.json["error"]["message"]
    assert not published.asked["CreateListing"]
