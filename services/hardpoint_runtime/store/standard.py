"""Owns which standard capabilities an org was given, in which version."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('hardpoint.standard ' || CAST(:org AS text), 0))")
_GIVEN = text("SELECT capability, version FROM standard_capabilities WHERE org = :org")
_GIVE = text(
    "INSERT INTO standard_capabilities (org, capability, version) VALUES (:org, :capability, :version)"
    " ON CONFLICT (org, capability) DO UPDATE SET version = :version"
)


class Standard:
    """What orgs were given, over one connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def given(self, org: str, *, lock: bool = False) -> dict[str, str]:
        """The versions by capability; with `lock` nobody else gives this org any before the end."""
        if lock:
            await self._connection.execute(_LOCK, {"org": org})
        return {row.capability: row.version for row in await self._connection.execute(_GIVEN, {"org": org})}

    async def give(self, org: str, capability: str, version: str) -> None:
        """Remember that an org was given a version."""
        await self._connection.execute(_GIVE, {"org": org, "capability": capability, "version": version})
