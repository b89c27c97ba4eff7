"""Rules of listings: where their texts come from, their states, prices and etags."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from hardpoint_kit.errors import Conflict, InvalidArgument
from hardpoint_kit.names import CapabilityName
from hardpoint_marketplace.domain import (
    LONGEST_NAME,
    LONGEST_SUMMARY,
    LONGEST_TAG,
    MOST_TAGS,
    Capability,
    Details,
    Listing,
    ListingState,
    Period,
    Price,
)

AT = datetime(2026, 3, 1, tzinfo=UTC)
LATER = datetime(2026, 3, 2, tzinfo=UTC)
CAPABILITY = Capability(CapabilityName("acme", "weather"), is_public=True, latest_version="1.2.0")
LISTING = Listing.new(
    CAPABILITY, Details("Weather", price=Price(Decimal("9.00"), "USD", Period.MONTH), tags=("a",)), AT
)


def of_release(**said: Any) -> Details:
    told = dict.fromkeys(("display_name", "icon", "summary", "license", "documentation_url", "support_url"), "")
    return Details.of_release(**{**told, "repository_url": "", "category": "", "tags": (), **said})


def test_a_new_listing_is_listed_at_once() -> None:
    assert (LISTING.state, LISTING.featured, LISTING.latest_version) == (ListingState.LISTED, False, "1.2.0")


@pytest.mark.parametrize(
    ("changed", "reason"), [({"is_public": False}, "WRONG_STATE"), ({"latest_version": ""}, "NO_MATCHING_RELEASE")]
)
def test_only_public_and_published_capabilities_are_listed(changed: Any, reason: str) -> None:
    with pytest.raises(Conflict) as refused:
        Listing.new(replace(CAPABILITY, **changed), Details("Weather"), AT)
    assert refused.value.reason == reason
    assert refused.value.fix


def test_states_move_by_their_verbs_alone() -> None:
    hidden = LISTING.hidden(LATER)
    assert (hidden.state, hidden.update_time) == (ListingState.HIDDEN, LATER)
    assert hidden.shown(LATER).state is ListingState.LISTED
    for refused in (LISTING.shown, hidden.hidden):
        with pytest.raises(Conflict):
            refused(LATER)


def test_an_update_replaces_what_it_names() -> None:
    patch = Details("Rain", summary="Is it raining?", tags=("b", "c"))
    after = LISTING.updated(patch, ["display_name", "tags", "price"], LATER)
    assert after.details == Details("Rain", tags=("b", "c"), price=None)
    assert after.update_time == LATER


@pytest.mark.parametrize(
    "path", ["featured", "state", "install_count", "latest_version", "name", "details", "price.amount"]
)
def test_what_the_marketplace_decides_is_not_updated(path: str) -> None:
    with pytest.raises(InvalidArgument):
        LISTING.updated(Details("Rain"), [path], LATER)


@pytest.mark.parametrize("broken", [{"display_name": " "}, {"summary": "a\0b"}, {"tags": ("a", "\0")}])
def test_what_cannot_be_shown_is_refused_by_field(broken: Any) -> None:
    with pytest.raises(InvalidArgument) as refused:
        LISTING.updated(Details(**{"display_name": "Rain", **broken}), [], LATER)
    assert refused.value.place == f"listing.{next(iter(broken))}"


def test_the_etag_follows_the_page_and_not_what_happens_around_it() -> None:
    assert replace(LISTING, install_count=9, latest_version="2.0.0").etag == LISTING.etag
    assert LISTING.updated(Details("Rain"), ["display_name"], AT).etag != LISTING.etag
    assert LISTING.hidden(AT).etag != LISTING.etag


def test_a_listing_comes_back_from_json() -> None:
    adapter = TypeAdapter(Listing)
    assert adapter.validate_json(adapter.dump_json(LISTING)) == LISTING


def test_what_costs_nothing_is_free() -> None:
    assert Price.of(Decimal("0.00"), "USD", Period.MONTH) is None
    assert Price.of(Decimal("0.01"), "USD", Period.CALL) == Price(Decimal("0.01"), "USD", Period.CALL)


def test_given_details_go_before_those_of_the_release() -> None:
    release = of_release(display_name="Weather", summary="From the manifest", category="data", tags=("sun",))
    filled = Details(summary="Ours", tags=("rain",)).filled_from(release)
    assert filled == Details("Weather", summary="Ours", categories=("data",), tags=("rain",))


TEXT = st.text(max_size=700)


@given(text=TEXT, tags=st.lists(TEXT, max_size=40))
def test_whatever_a_manifest_says_fits_a_page(text: str, tags: list[str]) -> None:
    details = of_release(display_name=text, icon=text, summary=text, license=text, category=text, tags=tags)
    assert len(details.display_name) <= LONGEST_NAME
    assert len(details.summary) <= LONGEST_SUMMARY
    assert len(details.tags) <= MOST_TAGS
    assert all(0 < len(tag) <= LONGEST_TAG for tag in (*details.tags, *details.categories))


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "data:text/html,x", "//evil.test", "https://a b", "see the docs"]
)
def test_what_is_no_web_link_is_not_shown_as_one(url: str) -> None:
    details = of_release(documentation_url=url, support_url=url, repository_url=url)
    assert (details.documentation_url, details.support_url, details.repository_url) == ("", "", "")


def test_support_may_be_a_mail_address() -> None:
    assert of_release(support_url="mailto:help@acme.test").support_url == "mailto:help@acme.test"
    assert of_release(documentation_url="mailto:help@acme.test").documentation_url == ""
