"""Owns what the marketplace has yet to be told: a row written with each installation, removed when it was said."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from hardpoint_kit.names import CapabilityName, InstallationName

_INSERT = text("INSERT INTO announcements (org, installation, capability) VALUES (:org, :installation, :capability)")
_PENDING = text(
    "SELECT id, org, installation, capability FROM announcements WHERE id > :after ORDER BY id LIMIT :limit"
)
_DELETE = text("DELETE FROM announcements WHERE id = :id")


@dataclass(frozen=True, slots=True)
class Announcement:
    """One installation to be counted."""

    id: int
    installation: InstallationName
    capability: CapabilityName


class Announcements:
    """Announcements, over one connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, installation: InstallationName, capability: CapabilityName) -> None:
        """Write what has to be said."""
        key = {"org": installation.org, "installation": installation.installation, "capability": str(capability)}
        await self._connection.execute(_INSERT, key)

    async def pending(self, after: int, limit: int) -> list[Announcement]:
        """Read what has to be said after the one with that id, oldest first."""
        return [
            Announcement(row.id, InstallationName(row.org, row.installation), CapabilityName.parse(row.capability))
            for row in await self._connection.execute(_PENDING, {"after": after, "limit": limit})
        ]

    async def said(self, announcement: Announcement) -> None:
        """Forget what was said."""
        await self._connection.execute(_DELETE, {"id": announcement.id})
