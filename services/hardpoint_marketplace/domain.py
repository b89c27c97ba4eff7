"""Owns the nouns of the marketplace and their rules: listings, prices, what a search asks for; pure, no I/O."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Self

from hardpoint_kit import masks
from hardpoint_kit.errors import Conflict, InvalidArgument
from hardpoint_kit.names import CapabilityName, ListingName

LONGEST_NAME = 100
LONGEST_ICON = 200
LONGEST_SUMMARY = 500
LONGEST_LICENSE = 100
LONGEST_TAG = 50
MOST_TAGS = 30
_URL = re.compile(r"https?://\S{1,500}")
_SUPPORT_URL = re.compile(r"(https?://|mailto:)\S{1,500}")


class ListingState(StrEnum):
    """Where a listing is in its life; today listings are made LISTED, without a moderator."""

    PENDING = "PENDING"
    LISTED = "LISTED"
    REJECTED = "REJECTED"
    HIDDEN = "HIDDEN"


class Period(StrEnum):
    """What a price is paid for."""

    ONCE = "ONCE"
    MONTH = "MONTH"
    YEAR = "YEAR"
    CALL = "CALL"


@dataclass(frozen=True, slots=True)
class Price:
    """An amount of money, always more than nothing, in an ISO 4217 currency, per period."""

    amount: Decimal
    currency: str
    period: Period

    @classmethod
    def of(cls, amount: Decimal, currency: str, period: Period) -> Self | None:
        """Return the price, None for an amount of zero: what costs nothing is free and found as such."""
        return cls(amount, currency, period) if amount else None


@dataclass(frozen=True, slots=True)
class Capability:
    """What the registry tells of a capability; `latest_version` is empty when nothing is published."""

    name: CapabilityName
    is_public: bool
    latest_version: str


@dataclass(frozen=True, slots=True)
class Details:
    """What the owner of a listing writes on its page."""

    display_name: str = ""
    icon: str = ""
    summary: str = ""
    price: Price | None = None
    license: str = ""
    documentation_url: str = ""
    support_url: str = ""
    repository_url: str = ""
    categories: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    @classmethod
    def of_release(
        cls,
        *,
        display_name: str,
        icon: str,
        summary: str,
        license: str,
        documentation_url: str,
        support_url: str,
        repository_url: str,
        category: str,
        tags: Iterable[str],
    ) -> Self:
        """Return the page that a release's manifest makes: what is too long is cut, what is no link is left out."""
        return cls(
            display_name=_cut(display_name, LONGEST_NAME),
            icon=icon if len(icon) <= LONGEST_ICON else "",
            summary=_cut(summary, LONGEST_SUMMARY),
            license=_cut(license, LONGEST_LICENSE),
            documentation_url=documentation_url if _URL.fullmatch(documentation_url) else "",
            support_url=support_url if _SUPPORT_URL.fullmatch(support_url) else "",
            repository_url=repository_url if _URL.fullmatch(repository_url) else "",
            categories=(_cut(category, LONGEST_TAG),) if category else (),
            tags=tuple(_cut(tag, LONGEST_TAG) for tag in tags if tag)[:MOST_TAGS],
        )

    def filled_from(self, other: Self) -> Self:
        """Return these details with the empty ones taken from the other."""
        empty = {each.name: getattr(other, each.name) for each in fields(self) if not getattr(self, each.name)}
        return replace(self, **empty)

    def checked(self) -> Self:
        """Return the details if they can be shown; raises InvalidArgument by field."""
        if not self.display_name.strip():
            raise InvalidArgument({"listing.display_name": "is required"}, fix="give the listing a name")
        for each in fields(self):
            value = getattr(self, each.name)
            if any("\0" in text for text in (value if isinstance(value, tuple) else (value,)) if isinstance(text, str)):
                raise InvalidArgument({f"listing.{each.name}": "holds a NUL character"})
        return self


EDITABLE = tuple(each.name for each in fields(Details))


@dataclass(frozen=True, slots=True)
class Listing:
    """A capability's page; `install_count` counts distinct installations in all orgs."""

    name: ListingName
    state: ListingState
    details: Details
    latest_version: str
    create_time: datetime
    update_time: datetime
    featured: bool = False
    install_count: int = 0

    @classmethod
    def new(cls, capability: Capability, details: Details, at: datetime) -> Self:
        """Return the listing of a public capability with something published; raises Conflict for any other."""
        if not capability.is_public:
            raise Conflict(
                f'capability "{capability.name}" is not public',
                fix="set its visibility to public, then list it",
                resource=capability.name,
            )
        if not capability.latest_version:
            raise Conflict(
                f'capability "{capability.name}" has no published release',
                reason="NO_MATCHING_RELEASE",
                fix="publish a release, then list it",
                capability=capability.name,
            )
        return cls(
            name=ListingName(capability.name.org, capability.name.capability),
            state=ListingState.LISTED,
            details=details.checked(),
            latest_version=capability.latest_version,
            create_time=at,
            update_time=at,
        )

    @property
    def etag(self) -> str:
        """A text that changes whenever the owner's page does; installs and releases do not disturb its editing."""
        return masks.etag(replace(self, install_count=0, latest_version=""))

    def updated(self, patch: Details, paths: Iterable[str], at: datetime) -> Self:
        """Return the listing with some of its details replaced; raises InvalidArgument."""
        details = masks.apply_mask(self.details, patch, paths, EDITABLE).checked()
        return replace(self, details=details, update_time=at)

    def hidden(self, at: datetime) -> Self:
        """Return the listing out of search; raises Conflict unless it is listed."""
        return self._moved(ListingState.LISTED, ListingState.HIDDEN, at)

    def shown(self, at: datetime) -> Self:
        """Return the listing back in search; raises Conflict unless it is hidden."""
        return self._moved(ListingState.HIDDEN, ListingState.LISTED, at)

    def _moved(self, before: ListingState, after: ListingState, at: datetime) -> Self:
        if self.state is not before:
            done = self.state is after
            raise Conflict(
                f'listing "{self.name}" is {self.state}, not {before}',
                fix="nothing is left to be done" if done else "ask who runs the marketplace",
                state=self.state.value,
                resource=self.name,
            )
        return replace(self, state=after, update_time=at)


@dataclass(frozen=True, slots=True)
class ListingQuery:
    """What a search asks for; what is empty or false does not narrow it."""

    words: str = ""
    category: str = ""
    tag: str = ""
    featured_only: bool = False
    free_only: bool = False

    def __post_init__(self) -> None:
        for place, said in (("query", self.words), ("category", self.category), ("tag", self.tag)):
            if "\0" in said:
                raise InvalidArgument({place: "holds a NUL character"})


@dataclass(frozen=True, slots=True)
class Position:
    """Where a listing stands in a search: highest score first, then most installs, then by name."""

    score: int
    install_count: int
    org: str
    capability: str


@dataclass(frozen=True, slots=True)
class Found:
    """A listing that a search found, and where."""

    listing: Listing
    position: Position


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"
