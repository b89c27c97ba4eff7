"""Owns the SQL of artifacts: each org has its own list of digests; the bytes are kept once, however many have them.

Whoever begins to use an artifact shares the lock of its digest until the end of the transaction; what deletes unused
ones takes only those whose lock it has alone, and then looks again whether they are unused.
"""

# ruff: noqa: S608 - statements are put together from constants of this file only

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from hardpoint_kit.errors import NotFound
from hardpoint_registry.domain import Artifact

_LOCK = "hashtextextended('hardpoint.artifact ' || {digest}, 0)"
_HOLD = text(f"SELECT pg_advisory_xact_lock_shared({_LOCK.format(digest='CAST(:digest AS text)')})")
# The org's entry comes first: row level security shows and takes bytes only through an entry. Bytes that come again are
# as young as new ones, since somebody is about to use them; only a row that is new has no transaction in xmax.
_ADD_ENTRY = text(
    "INSERT INTO artifacts (org, digest, size_bytes) VALUES (:org, :digest, :size_bytes)"
    " ON CONFLICT (org, digest) DO UPDATE SET created_at = now() RETURNING xmax = 0"
)
_ADD_BYTES = text("INSERT INTO blobs (digest, bytes) VALUES (:digest, :bytes) ON CONFLICT DO NOTHING")
_READ = text(
    "SELECT bytes FROM blobs JOIN artifacts ON artifacts.digest = blobs.digest"
    " WHERE artifacts.org = :org AND artifacts.digest = :digest"
)
_HAS = text("SELECT true FROM artifacts WHERE org = :org AND digest = :digest")
_UNUSED = """
    a.created_at < :before
    AND NOT EXISTS (SELECT FROM releases r WHERE r.org = a.org AND r.digest = a.digest)
"""
_FIND_UNUSED = text(f"SELECT DISTINCT a.digest FROM (SELECT a.digest FROM artifacts a WHERE {_UNUSED} LIMIT :most) a")
_LOCK_ALONE = text(
    "SELECT digest FROM unnest(CAST(:digests AS text[])) AS digest"
    f" WHERE pg_try_advisory_xact_lock({_LOCK.format(digest='digest')})"
)
_FORGET_ENTRIES = text(f"DELETE FROM artifacts a WHERE a.digest = ANY(:digests) AND {_UNUSED}")
_FORGET_BYTES = text(
    "DELETE FROM blobs WHERE digest = ANY(:digests)"
    " AND NOT EXISTS (SELECT FROM artifacts WHERE artifacts.digest = blobs.digest)"
)


class Blobs:
    """The artifacts that one transaction can read and add."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, org: str, artifact: Artifact, data: bytes) -> bool:
        """Keep verified bytes for an org; tells whether the org had them not yet."""
        await self._connection.execute(_HOLD, {"digest": artifact.digest})
        entry = {"org": org, "digest": artifact.digest, "size_bytes": artifact.size_bytes}
        if not await self._connection.scalar(_ADD_ENTRY, entry):
            return False
        await self._connection.execute(_ADD_BYTES, {"digest": artifact.digest, "bytes": data})
        return True

    async def hold(self, org: str, digest: str) -> None:
        """Keep an artifact of an org from being forgotten before the end; raises NotFound when it is already."""
        await self._connection.execute(_HOLD, {"digest": digest})
        if not await self._connection.scalar(_HAS, {"org": org, "digest": digest}):
            raise NotFound("artifact", digest, fix="upload it again")

    async def read(self, org: str, digest: str) -> bytes:
        """Return the bytes that an org has under a digest; raises NotFound."""
        found = await self._connection.scalar(_READ, {"org": org, "digest": digest})
        if found is None:
            raise NotFound("artifact", digest)
        return bytes(found)


async def forget_unused(connection: AsyncConnection, before: datetime, most: int) -> int:
    """Delete at most so many artifacts that no release uses and that came before a moment; return how many.

    Bytes go with the last org's entry for them.
    """
    found = (await connection.scalars(_FIND_UNUSED, {"before": before, "most": most})).all()
    digests = (await connection.scalars(_LOCK_ALONE, {"digests": found})).all()
    forgotten = await connection.execute(_FORGET_ENTRIES, {"digests": digests, "before": before})
    await connection.execute(_FORGET_BYTES, {"digests": digests})
    return forgotten.rowcount
