"""Owns the SQL of capabilities and releases; speaks domain terms.

Whoever writes to a capability or its releases locks the capability first, so that writers wait for each other.
"""

# ruff: noqa: S608 - statements are put together from constants of this file only

import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC
from secrets import token_bytes
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from hardpoint_kit.database import Database
from hardpoint_kit.errors import NotFound
from hardpoint_kit.names import CapabilityName, ReleaseName
from hardpoint_manifest.finding import Finding
from hardpoint_manifest.model import Manifest
from hardpoint_registry.blobs import Blobs
from hardpoint_registry.domain import (
    EVERYTHING,
    Artifact,
    Capability,
    CapabilityState,
    Release,
    ReleaseState,
    View,
    Visibility,
)
from hardpoint_registry.resolve import precedence
from hardpoint_registry.tickets import KEY_BYTES

# The org of the name and what the view shows are asked for here; row level security holds where this would fail.
_SEEN = "c.org = :org AND c.visibility = ANY(:visibilities) AND (:drafts OR c.published)"
_LOCK = "SELECT true FROM capabilities WHERE org = :org AND capability = :capability FOR UPDATE"
_LOCK_CAPABILITY = text(_LOCK)
_CLAIM_CAPABILITY = text(_LOCK + " SKIP LOCKED")
_GET_CAPABILITY = text(f"SELECT c.* FROM capabilities c WHERE {_SEEN} AND c.capability = :capability")
_GET_CAPABILITIES = text(
    "SELECT c.* FROM capabilities c JOIN unnest(CAST(:orgs AS text[]), CAST(:capabilities AS text[]))"
    " AS named (org, capability) USING (org, capability) ORDER BY c.org, c.capability"
)
_LIST_CAPABILITIES = text(
    f"SELECT c.* FROM capabilities c WHERE {_SEEN} AND c.capability > :after ORDER BY c.capability LIMIT :limit"
)
# What was asked, or all words but the last and then any word that starts like the last one.
_SEARCH_CAPABILITIES = text(
    f"""
    WITH wanted AS MATERIALIZED (
        SELECT websearch_to_tsquery('simple', :query)
            || (websearch_to_tsquery('simple', :head) && to_tsquery('simple', :prefix)) AS words
    ), found AS (
        SELECT c.*, CAST(ts_rank(c.words, wanted.words) * 1000000 AS integer) AS rank
        FROM capabilities c, wanted WHERE {_SEEN} AND c.words @@ wanted.words
    )
    SELECT * FROM found WHERE rank < :rank OR (rank = :rank AND capability > :after)
    ORDER BY rank DESC, capability LIMIT :limit
    """
)
_WORDS = """
    setweight(to_tsvector('simple', :capability || ' ' || :display_name), 'A')
    || setweight(to_tsvector('simple', :tag_words || ' ' || :category), 'B')
    || setweight(to_tsvector('simple', :description), 'C')
"""
_ADD_CAPABILITY = text(
    "INSERT INTO capabilities (org, capability, visibility, state, display_name, description, icon, category, tags,"
    " deprecation_note, latest_version, published, created_at, updated_at, words)"
    " VALUES (:org, :capability, :visibility, :state, :display_name, :description, :icon, :category, :tags,"
    f" :deprecation_note, :latest_version, :published, :created_at, :updated_at, {_WORDS}) ON CONFLICT DO NOTHING"
)
_SAVE_CAPABILITY = text(
    "UPDATE capabilities SET visibility = :visibility, state = :state, display_name = :display_name,"
    " description = :description, icon = :icon, category = :category, tags = :tags,"
    " deprecation_note = :deprecation_note, latest_version = :latest_version, published = :published,"
    f" updated_at = :updated_at, words = {_WORDS} WHERE org = :org AND capability = :capability"
)

_RELEASE_COLUMNS = (
    "r.org, r.capability, r.version, r.state, CAST(r.manifest AS text) AS manifest, r.header,"
    " CAST(r.findings AS text) AS findings, r.digest, r.size_bytes, r.filename, r.yank_note, r.created_at,"
    " r.published_at, r.late_replays"
)
_SEEN_RELEASES = (
    f"releases r JOIN capabilities c USING (org, capability) WHERE {_SEEN} AND c.capability = :capability"
    " AND (:drafts OR r.state IN ('published', 'yanked'))"
)
_GET_RELEASE = text(f"SELECT {_RELEASE_COLUMNS} FROM {_SEEN_RELEASES} AND r.version = :version")
_SAME_BYTES = text(f"SELECT {_RELEASE_COLUMNS} FROM {_SEEN_RELEASES} AND r.digest = :digest")
# A page ends early when its manifests grow past what one answer should carry; its first release is always in it.
_LIST_RELEASES = text(
    f"""
    SELECT * FROM (
        SELECT {_RELEASE_COLUMNS}, r.precedence,
            sum(octet_length(CAST(r.manifest AS text))) OVER (ORDER BY r.precedence DESC) AS total,
            row_number() OVER (ORDER BY r.precedence DESC) AS position,
            lead(true) OVER (ORDER BY r.precedence DESC) AS more
        FROM {_SEEN_RELEASES} AND r.precedence < :before
        ORDER BY r.precedence DESC LIMIT :limit
    ) AS page WHERE total <= :most_bytes OR position = 1 ORDER BY precedence DESC
    """
)
_VERSIONS = text(f"SELECT r.version, r.state FROM {_SEEN_RELEASES}")
_ADD_RELEASE = text(
    "INSERT INTO releases (org, capability, version, precedence, state, manifest, header, findings, digest,"
    " size_bytes, filename, yank_note, created_at, published_at) VALUES (:org, :capability, :version, :precedence,"
    " :state, CAST(:manifest AS json), CAST(:header AS json), CAST(:findings AS json), :digest, :size_bytes, :filename,"
    " :yank_note, :created_at, :published_at)"
)
_SAVE_RELEASE = text(
    "UPDATE releases SET state = :state, findings = CAST(:findings AS json), yank_note = :yank_note,"
    " published_at = :published_at, late_replays = :late_replays"
    " WHERE org = :org AND capability = :capability AND version = :version"
)
_DELETE_RELEASE = text("DELETE FROM releases WHERE org = :org AND capability = :capability AND version = :version")
_TO_CHECK = text("SELECT org, capability, version FROM releases WHERE state = 'checking' ORDER BY created_at")

_ADD_CASSETTE = text(
    "INSERT INTO cassettes (org, capability, version, example, cassette)"
    " VALUES (:org, :capability, :version, :example, :cassette)"
)
_CASSETTES = text(
    "SELECT example, cassette FROM cassettes"
    " WHERE org = :org AND capability = :capability AND version = :version ORDER BY example"
)

_ADD_TICKET_KEY = text("INSERT INTO ticket_keys (key) VALUES (:key) ON CONFLICT DO NOTHING")
_TICKET_KEY = text("SELECT key FROM ticket_keys")

_MOST_BYTES = 2 * 1024 * 1024
_FINDINGS = TypeAdapter(tuple[Finding, ...])
_LAST_WORD = re.compile(r"(?:^|(?<=\s))\w+$")


class Store:
    """Opens transactions on the registry's database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def transaction(self, org: str) -> AsyncIterator["Transaction"]:
        """Open a transaction that sees the rows of one org and what others made public, or all for `*`."""
        async with self._database.transaction(org) as connection:
            yield Transaction(connection)


class Transaction:
    """What can be read and written in one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        self.blobs = Blobs(connection)

    async def lock(self, name: CapabilityName, *, wait: bool = True) -> bool:
        """Let nobody else write to a capability before the end; false when there is none, or when somebody else holds
        it and this is not to `wait`."""
        statement = _LOCK_CAPABILITY if wait else _CLAIM_CAPABILITY
        key = {"org": name.org, "capability": name.capability}
        return await self.connection.scalar(statement, key) is not None

    async def capability(self, name: CapabilityName, view: View = EVERYTHING) -> Capability:
        """Return a capability; raises NotFound when it is not there or not in view."""
        row = (await self.connection.execute(_GET_CAPABILITY, _key(name, view))).one_or_none()
        if row is None:
            raise NotFound("capability", name)
        return _capability(row)

    async def capabilities_named(self, names: Sequence[CapabilityName]) -> list[Capability]:
        """Return those of the capabilities that the transaction's org may see at all, each once."""
        wanted = sorted({(name.org, name.capability) for name in names})
        asked = {"orgs": [org for org, _ in wanted], "capabilities": [capability for _, capability in wanted]}
        return [_capability(row) for row in await self.connection.execute(_GET_CAPABILITIES, asked)]

    async def capabilities(self, org: str, view: View, after: str, limit: int) -> list[Capability]:
        """Return the capabilities of an org in the order of their ids, from behind `after`."""
        rows = await self.connection.execute(_LIST_CAPABILITIES, {**_org(org, view), "after": after, "limit": limit})
        return [_capability(row) for row in rows]

    async def search(
        self, org: str, view: View, query: str, after: tuple[int, str], limit: int
    ) -> list[tuple[int, Capability]]:
        """Return the capabilities that have the words, with their rank, best first, from behind rank and id."""
        words = re.sub(r"(?<=\w)-(?=\w)", " ", query.strip())
        last = _LAST_WORD.search(words)
        asked = {
            "query": words,
            "head": words[: last.start()] if last else words,
            "prefix": f"{last[0]}:*" if last else "",
            "rank": after[0],
            "after": after[1],
            "limit": limit,
        }
        rows = await self.connection.execute(_SEARCH_CAPABILITIES, {**_org(org, view), **asked})
        return [(row.rank, _capability(row)) for row in rows]

    async def add_capability(self, capability: Capability) -> None:
        """Write a capability, unless it is there already."""
        await self.connection.execute(_ADD_CAPABILITY, _capability_row(capability))

    async def save_capability(self, capability: Capability) -> None:
        """Write a capability that this transaction locked."""
        await self.connection.execute(_SAVE_CAPABILITY, _capability_row(capability))

    async def release(self, name: ReleaseName, view: View = EVERYTHING) -> Release:
        """Return a release; raises NotFound when it is not there or not in view."""
        asked = {**_key(name.capability_name, view), "version": name.version}
        row = (await self.connection.execute(_GET_RELEASE, asked)).one_or_none()
        if row is None:
            raise NotFound("release", name)
        return _release(row)

    async def release_of(self, name: CapabilityName, digest: str) -> Release | None:
        """Return the release of a capability that these bytes made."""
        asked = {**_key(name, EVERYTHING), "digest": digest}
        row = (await self.connection.execute(_SAME_BYTES, asked)).one_or_none()
        return _release(row) if row else None

    async def releases(self, name: CapabilityName, view: View, before: str, limit: int) -> tuple[list[Release], bool]:
        """Return the releases of a capability, highest version first, from below the precedence `before`: at
        most `limit`, fewer when they are large. Tells also whether more follow."""
        asked = {
            **_key(name, view),
            "before": before,
            "limit": limit,
            "most_bytes": _MOST_BYTES,
        }
        rows = (await self.connection.execute(_LIST_RELEASES, asked)).all()
        return [_release(row) for row in rows], bool(rows and rows[-1].more)

    async def versions(self, name: CapabilityName, view: View = EVERYTHING) -> dict[str, ReleaseState]:
        """Return the versions of a capability with their states."""
        rows = await self.connection.execute(_VERSIONS, _key(name, view))
        return {row.version: ReleaseState(row.state) for row in rows}

    async def add_release(self, release: Release) -> None:
        """Write a new release of a capability that this transaction locked."""
        await self.connection.execute(_ADD_RELEASE, _release_row(release))

    async def save_release(self, release: Release) -> None:
        """Write what moves in a release of a capability that this transaction locked."""
        row = _release_row(release)
        moving = ("org", "capability", "version", "state", "findings", "yank_note", "published_at", "late_replays")
        await self.connection.execute(_SAVE_RELEASE, {column: row[column] for column in moving})

    async def delete_release(self, name: ReleaseName) -> None:
        """Remove a release of a capability that this transaction locked."""
        await self.connection.execute(_DELETE_RELEASE, _version(name))

    async def add_cassettes(self, name: ReleaseName, cassettes: Mapping[str, bytes]) -> None:
        """Write the cassettes of a new release, by example."""
        rows = [{**_version(name), "example": example, "cassette": data} for example, data in cassettes.items()]
        if rows:
            await self.connection.execute(_ADD_CASSETTE, rows)

    async def cassettes(self, name: ReleaseName) -> dict[str, bytes]:
        """Return the cassettes of a release, by example."""
        rows = await self.connection.execute(_CASSETTES, _version(name))
        return {row.example: bytes(row.cassette) for row in rows}

    async def to_check(self) -> list[ReleaseName]:
        """Return the releases whose checks have not ended, oldest first."""
        rows = await self.connection.execute(_TO_CHECK)
        return [ReleaseName(row.org, row.capability, row.version) for row in rows]

    async def ticket_key(self) -> bytes:
        """Return the key that signs tickets, made when first asked for; seen by the unit's own work only."""
        await self.connection.execute(_ADD_TICKET_KEY, {"key": token_bytes(KEY_BYTES)})
        return bytes(await self.connection.scalar(_TICKET_KEY))


def _version(name: ReleaseName) -> dict[str, str]:
    return {"org": name.org, "capability": name.capability, "version": name.version}


def _org(org: str, view: View) -> dict[str, Any]:
    return {"org": org, "visibilities": [v.value for v in view.visibilities], "drafts": view.drafts}


def _key(name: CapabilityName, view: View) -> dict[str, Any]:
    return {**_org(name.org, view), "capability": name.capability}


def _capability(row: Any) -> Capability:
    return Capability(
        name=CapabilityName(row.org, row.capability),
        visibility=Visibility(row.visibility),
        create_time=row.created_at.astimezone(UTC),
        update_time=row.updated_at.astimezone(UTC),
        display_name=row.display_name,
        description=row.description,
        icon=row.icon,
        category=row.category,
        tags=tuple(row.tags),
        state=CapabilityState(row.state),
        deprecation_note=row.deprecation_note,
        latest_version=row.latest_version,
        published=row.published,
    )


def _capability_row(capability: Capability) -> dict[str, Any]:
    return {
        "org": capability.name.org,
        "capability": capability.name.capability,
        "visibility": capability.visibility.value,
        "state": capability.state.value,
        "display_name": capability.display_name,
        "description": capability.description,
        "icon": capability.icon,
        "category": capability.category,
        "tags": list(capability.tags),
        "tag_words": " ".join(capability.tags),
        "deprecation_note": capability.deprecation_note,
        "latest_version": capability.latest_version,
        "published": capability.published,
        "created_at": capability.create_time,
        "updated_at": capability.update_time,
    }


def _release(row: Any) -> Release:
    return Release(
        name=ReleaseName(row.org, row.capability, row.version),
        manifest=Manifest.model_validate_json(row.manifest),
        artifact=Artifact(row.digest, row.size_bytes, row.filename),
        create_time=row.created_at.astimezone(UTC),
        findings=_FINDINGS.validate_json(row.findings),
        header=row.header,
        state=ReleaseState(row.state),
        publish_time=row.published_at and row.published_at.astimezone(UTC),
        yank_note=row.yank_note,
        late_replays=row.late_replays,
    )


def _release_row(release: Release) -> dict[str, Any]:
    return {
        "org": release.name.org,
        "capability": release.name.capability,
        "version": release.name.version,
        "precedence": precedence(release.name.version),
        "state": release.state.value,
        "manifest": release.manifest.model_dump_json(),
        "header": None if release.header is None else json.dumps(release.header),
        "findings": _FINDINGS.dump_json(release.findings).decode(),
        "digest": release.artifact.digest,
        "size_bytes": release.artifact.size_bytes,
        "filename": release.artifact.filename,
        "yank_note": release.yank_note,
        "created_at": release.create_time,
        "published_at": release.publish_time,
        "late_replays": release.late_replays,
    }
