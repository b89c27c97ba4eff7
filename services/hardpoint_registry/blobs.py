"""Owns the SQL of artifacts: each org has its own list of digests; the bytes are kept once, however many have them."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from hardpoint_kit.errors import NotFound
from hardpoint_registry.domain import Artifact

# The org's entry comes first: row level security shows and takes bytes only through an entry.
_ADD_ENTRY = text(
    "INSERT INTO artifacts (org, digest, size_bytes) VALUES (:org, :digest, :size_bytes)"
    " ON CONFLICT DO NOTHING RETURNING true"
)
_ADD_BYTES = text("INSERT INTO blobs (digest, bytes) VALUES (:digest, :bytes) ON CONFLICT DO NOTHING")
_READ = text(
    "SELECT bytes FROM blobs JOIN artifacts ON artifacts.digest = blobs.digest"
    " WHERE artifacts.org = :org AND artifacts.digest = :digest"
)


class Blobs:
    """The artifacts that one transaction can read and add."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, org: str, artifact: Artifact, data: bytes) -> bool:
        """Keep verified bytes for an org; tells whether the org had them not yet."""
        entry = {"org": org, "digest": artifact.digest, "size_bytes": artifact.size_bytes}
        if not await self._connection.scalar(_ADD_ENTRY, entry):
            return False
        await self._connection.execute(_ADD_BYTES, {"digest": artifact.digest, "bytes": data})
        return True

    async def read(self, org: str, digest: str) -> bytes:
        """Return the bytes that an org has under a digest; raises NotFound."""
        found = await self._connection.scalar(_READ, {"org": org, "digest": digest})
        if found is None:
            raise NotFound("artifact", digest)
        return bytes(found)
