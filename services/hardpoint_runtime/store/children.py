"""Owns what is asked of the tables of workflows about runs that steps of other runs began."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from hardpoint_kit.names import RunName
from hardpoint_runtime.domain.children import MOST_DESCENDANTS

_ALIVE = text("""
    SELECT c.run FROM steps s JOIN runs c ON c.org = s.org AND c.run = s.child
    WHERE s.org = :org AND s.run = :run AND s.child <> '' AND c.state IN ('QUEUED', 'RUNNING', 'WAITING')
""")
_COUNT = text("""
    SELECT count(*) FROM (
        SELECT FROM workflows WHERE org = :org AND descent IS NOT NULL AND descent ->> 'root' = :root
        UNION ALL
        SELECT FROM deliveries WHERE org = :org AND root = :root AND root <> ''
            AND state IN ('ACCEPTED', 'RUNNING', 'DELIVERED', 'DEAD')
        LIMIT :most) few
""")
_UNTOLD = text("""
    SELECT c.org, c.run FROM steps s JOIN runs c ON c.org = s.org AND c.run = s.child
    WHERE s.waits = 'RUN' AND s.decision IS NULL AND c.state IN ('SUCCEEDED', 'FAILED', 'CANCELLED')
    UNION
    SELECT p.org, p.run FROM workflows w JOIN runs c USING (org, run)
        JOIN runs p ON p.org = w.org AND p.run = w.descent ->> 'parent'
    WHERE w.descent IS NOT NULL AND c.state IN ('QUEUED', 'RUNNING', 'WAITING')
        AND p.state IN ('SUCCEEDED', 'FAILED', 'CANCELLED')
    LIMIT :limit
""")


class Children:
    """Runs and those that they began, over one connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def alive(self, parent: RunName) -> list[RunName]:
        """The runs that steps of this one began and that have not ended."""
        rows = await self._connection.execute(_ALIVE, {"org": parent.org, "run": parent.run})
        return [RunName(parent.org, row.run) for row in rows]

    async def full(self, root: RunName) -> bool:
        """Whether this run and those that it began have begun as many as they may, by steps and by events.

        What others begin at the same moment is not seen: there can be a few more.
        """
        key = {"org": root.org, "root": root.run, "most": MOST_DESCENDANTS}
        return int(await self._connection.scalar(_COUNT, key) or 0) >= MOST_DESCENDANTS

    async def untold(self, limit: int) -> list[RunName]:
        """The runs that have ended, and that one above or below them has not heard of."""
        rows = await self._connection.execute(_UNTOLD, {"limit": limit})
        return [RunName(row.org, row.run) for row in rows]
