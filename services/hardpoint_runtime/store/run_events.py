"""Owns the table of events of runs: written in the statement that ends a run, where a trigger waits for that."""

from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

RUN_EVENTS = "hardpoint_runtime_run_events"
TELL = f"""
    INSERT INTO run_events (org, event, id, depth, root, run)
    SELECT r.org, e.event, r.run || '/' || r.state || {{number}}, r.depth,
        coalesce(nullif(r.root, ''), r.run), jsonb_build_object(
        'name', 'orgs/' || r.org || '/runs/' || r.run, 'agent', r.agent, 'action', r.action, 'release', r.release,
        'state', r.state, 'reason', r.reason, 'message', r.message, 'subject', r.subject,
        'duration_ms', r.duration_us / 1000.0)
    FROM {{runs}} r CROSS JOIN LATERAL (SELECT CASE r.state WHEN 'SUCCEEDED' THEN 'run.finished'
        WHEN 'FAILED' THEN 'run.failed' WHEN 'WAITING' THEN CASE WHEN r.reason <> '' THEN 'run.waiting' END
        END AS event) e
    WHERE r.agent <> '' AND NOT r.dry_run AND EXISTS (
        SELECT FROM triggers t
        WHERE t.org = r.org AND t.event = e.event AND t.type = 'EVENT' AND t.state = 'ACTIVE')
    RETURNING pg_notify('{RUN_EVENTS}', '')
"""  # noqa: S608 - of a name that stands here
"""To be filled with what was written and an expression that tells one change of a run from another."""

# What another process takes is left to it.
_TAKE = text("""
    DELETE FROM run_events WHERE number IN (
        SELECT number FROM run_events ORDER BY number LIMIT :most FOR UPDATE SKIP LOCKED
    ) RETURNING number, org, event, id, depth, root, at, CAST(run AS text) AS run_json
""")


@dataclass(frozen=True, slots=True)
class RunEvent:
    """What happened to a run: `id` tells it from all that happened, `depth` is the run's own, `root` began its tree."""

    org: str
    event: str
    id: str
    depth: int
    root: str
    body: bytes


class RunEvents:
    """Events of runs, over one connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def take(self, most: int) -> list[RunEvent]:
        """Take what happened, in its order; it is gone with the end of this transaction."""
        rows = sorted(await self._connection.execute(_TAKE, {"most": most}), key=lambda row: row.number)
        return [_event(row) for row in rows]


def _event(row: Any) -> RunEvent:
    about = to_json({"id": row.id, "type": row.event, "time": row.at, "depth": row.depth})
    body = about[:-1] + b',"run":' + row.run_json.encode() + b"}"
    return RunEvent(row.org, row.event, row.id, row.depth, row.root, body)
