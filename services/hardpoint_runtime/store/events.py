"""Owns the table of events that came before a step of their run waits for them."""

from datetime import datetime

from pydantic_core import from_json, to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from hardpoint_kit.names import RunName
from hardpoint_runtime.domain.workflows import Decision, Verdict

_KEEP = text("""
    INSERT INTO early_events (org, run, event, subject, payload, sent_at)
    SELECT :org, :run, :event, :subject, CAST(:payload AS json), :at
    WHERE (SELECT count(*) FROM early_events WHERE org = :org AND run = :run) < :most RETURNING true
""")
_TAKE = text("""
    DELETE FROM early_events WHERE org = :org AND run = :run AND number = (
        SELECT min(number) FROM early_events WHERE org = :org AND run = :run AND event = :event)
    RETURNING subject, CAST(payload AS text) AS payload
""")
_FORGET = text("""
    DELETE FROM early_events WHERE (org, run, number) IN (
        SELECT org, run, number FROM early_events JOIN runs USING (org, run)
        WHERE sent_at < :before AND state IN ('SUCCEEDED', 'FAILED', 'CANCELLED') ORDER BY sent_at LIMIT :most)
""")


class EarlyEvents:
    """Events that no step waits for yet, over one connection; who reads or writes them has locked their run."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def keep(self, run: RunName, event: str, decision: Decision, at: datetime, most: int) -> bool:
        """Keep an event for its step; false, and nothing, when the run has so many already."""
        given = {
            "org": run.org,
            "run": run.run,
            "event": event,
            "subject": decision.subject,
            "at": at,
            "most": most,
            "payload": to_json(decision.output).decode(),
        }
        return bool(await self._connection.scalar(_KEEP, given))

    async def take(self, run: RunName, event: str) -> Decision | None:
        """Take the event of this name that came first."""
        key = {"org": run.org, "run": run.run, "event": event}
        row = (await self._connection.execute(_TAKE, key)).one_or_none()
        return None if row is None else Decision(Verdict.EVENT, row.subject, from_json(row.payload))


async def forget_events(connection: AsyncConnection, before: datetime, most: int) -> int:
    """Delete at most so many events that came before a moment and that nothing waited for; return how many.

    What a run that goes on may still wait for is kept: whoever sent it was told so.
    """
    return (await connection.execute(_FORGET, {"before": before, "most": most})).rowcount
