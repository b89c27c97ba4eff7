"""Owns the SQL of the marketplace's database; speaks domain terms."""

# ruff: noqa: S608 - what is put into SQL here is written in this unit; what callers say goes in as parameters

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields
from datetime import UTC
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from hardpoint_kit.database import Database
from hardpoint_kit.names import InstallationName, ListingName
from hardpoint_marketplace.domain import Details, Found, Listing, ListingQuery, ListingState, Period, Position, Price
from hardpoint_marketplace.search import DOCUMENT, parts

_KEY = ("org", "capability")
_DETAILS = (
    *("display_name", "icon", "summary", "price_amount", "price_currency", "price_period", "license"),
    *("documentation_url", "support_url", "repository_url", "categories", "tags"),
)
_CHANGING = ("state", *_DETAILS, "updated_at")
_LASTING = (*_KEY, "latest_version", "created_at")
_COLUMNS = f"""
    {", ".join((*_LASTING, *_CHANGING))}, featured, CAST((
        SELECT coalesce(sum(counted), 0) FROM install_counts
        WHERE install_counts.org = listings.org AND install_counts.capability = listings.capability
    ) AS bigint) AS install_count
"""
_GET = text(f"SELECT {_COLUMNS} FROM listings WHERE org = :org AND capability = :capability")
_LOCK = text(f"SELECT {_COLUMNS} FROM listings WHERE org = :org AND capability = :capability FOR UPDATE")
_ADD = text(
    f"INSERT INTO listings ({', '.join((*_LASTING, *_CHANGING))}, search)"
    f" VALUES ({', '.join(f':{column}' for column in (*_LASTING, *_CHANGING))}, {DOCUMENT})"
    " ON CONFLICT DO NOTHING RETURNING true"
)
_SAVE = text(
    f"UPDATE listings SET {', '.join(f'{column} = :{column}' for column in _CHANGING)}, search = {DOCUMENT}"
    " WHERE org = :org AND capability = :capability"
)
_SEARCH = f"""
    SELECT * FROM (SELECT {_COLUMNS}, {{score}} AS score FROM listings WHERE {{conditions}}) AS found
    WHERE NOT :resumed OR (-score, -install_count, org, capability) >
        (-CAST(:score AS bigint), -CAST(:install_count AS bigint), :org, :capability)
    ORDER BY score DESC, install_count DESC, org, capability LIMIT :limit
"""
_ADD_INSTALLATION = text(
    "INSERT INTO installations (org, installation, listing_org, listing_capability)"
    " SELECT :org, :installation, org, capability FROM listings WHERE org = :listing_org AND capability = :capability"
    " ON CONFLICT DO NOTHING RETURNING true"
)
# Each connection counts in a row of its own, so that many installations at once do not queue for one row.
_COUNT = text(
    "INSERT INTO install_counts (org, capability, share, counted) VALUES (:org, :capability, pg_backend_pid() % 16, 1)"
    " ON CONFLICT (org, capability, share) DO UPDATE SET counted = install_counts.counted + 1"
)


class Store:
    """Opens transactions on the marketplace's database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def transaction(self, org: str) -> AsyncIterator["Transaction"]:
        """Open a transaction that sees what is listed and an org's own, or all for `*`; commits unless it raises."""
        async with self._database.transaction(org) as connection:
            yield Transaction(connection)


class Transaction:
    """What can be read and written in one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection

    async def listing(self, name: ListingName, *, lock: bool = False) -> Listing | None:
        """Return a listing; with `lock`, one of the transaction's org that nobody else changes before the end."""
        row = (await self.connection.execute(_LOCK if lock else _GET, _key_of(name))).one_or_none()
        return _listing(row) if row else None

    async def add(self, listing: Listing) -> bool:
        """Write a new listing; False when the capability has one."""
        row = {**_row(listing), "latest_version": listing.latest_version, "created_at": listing.create_time}
        return bool(await self.connection.scalar(_ADD, row))

    async def save(self, listing: Listing) -> None:
        """Write a listing that this transaction locked."""
        await self.connection.execute(_SAVE, _row(listing))

    async def search(self, query: ListingQuery, after: Position | None, limit: int) -> list[Found]:
        """Return what a search finds, in order, from after a position."""
        sql = parts(query)
        position = after or Position(0, 0, "", "")
        rows = await self.connection.execute(
            text(_SEARCH.format(score=sql.score, conditions=" AND ".join(sql.conditions))),
            {**sql.parameters, **_fields(position), "resumed": after is not None, "limit": limit},
        )
        return [Found(_listing(row), Position(row.score, row.install_count, row.org, row.capability)) for row in rows]

    async def count(self, name: ListingName, installation: InstallationName) -> bool:
        """Count an installation of a listing; False when it was counted before, or there is no such listing."""
        added = await self.connection.scalar(
            _ADD_INSTALLATION,
            {
                "org": installation.org,
                "installation": installation.installation,
                "listing_org": name.org,
                "capability": name.capability,
            },
        )
        if added:
            await self.connection.execute(_COUNT, _key_of(name))
        return bool(added)


def _key_of(name: ListingName) -> dict[str, Any]:
    return {"org": name.org, "capability": name.capability}


def _fields(position: Position) -> dict[str, Any]:
    return {field.name: getattr(position, field.name) for field in fields(position)}


def _row(listing: Listing) -> dict[str, Any]:
    details, price = listing.details, listing.details.price
    return {
        **_key_of(listing.name),
        "state": listing.state.value,
        "display_name": details.display_name,
        "icon": details.icon,
        "summary": details.summary,
        "price_amount": price and price.amount,
        "price_currency": price and price.currency,
        "price_period": price and price.period.value,
        "license": details.license,
        "documentation_url": details.documentation_url,
        "support_url": details.support_url,
        "repository_url": details.repository_url,
        "categories": list(details.categories),
        "tags": list(details.tags),
        "updated_at": listing.update_time,
    }


def _listing(row: Any) -> Listing:
    price = row.price_amount and Price(row.price_amount, row.price_currency, Period(row.price_period))
    return Listing(
        name=ListingName(row.org, row.capability),
        state=ListingState(row.state),
        details=Details(
            display_name=row.display_name,
            icon=row.icon,
            summary=row.summary,
            price=price,
            license=row.license,
            documentation_url=row.documentation_url,
            support_url=row.support_url,
            repository_url=row.repository_url,
            categories=tuple(row.categories),
            tags=tuple(row.tags),
        ),
        featured=row.featured,
        latest_version=row.latest_version,
        install_count=row.install_count,
        create_time=row.created_at.astimezone(UTC),
        update_time=row.updated_at.astimezone(UTC),
    )
