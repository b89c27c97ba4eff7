"""Owns the table of what runs logged, which is written with the runs and steps themselves."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from hardpoint_kit.names import RunName
from hardpoint_runtime.domain.runs import LogLine

LOGGED = """, logged AS (
        INSERT INTO run_logs (org, run, step, attempt, lines)
        SELECT org, run, step, attempt, lines FROM jsonb_populate_recordset(NULL::run_logs, %(logs)s)
            JOIN {written} USING (org, run) ON CONFLICT DO NOTHING
    )"""
"""The part of a statement that writes them for runs among those that are `written`."""
_GET = text("""
    SELECT l.step, line->>'level' AS level, line->>'message' AS message
    FROM run_logs l LEFT JOIN steps s USING (org, run, step),
        jsonb_array_elements(l.lines) WITH ORDINALITY AS e(line, at)
    WHERE l.org = :org AND l.run = :run ORDER BY coalesce(s.number, 0), l.attempt, e.at
""")
_FORGET = text("""
    DELETE FROM run_logs WHERE (org, run, step, attempt) IN (
        SELECT org, run, step, attempt FROM run_logs WHERE logged_at < :before LIMIT :most FOR UPDATE SKIP LOCKED
    )
""")


def log_columns(run: RunName, logs: Sequence[LogLine], step: str = "", attempt: int = 1) -> dict[str, Any]:
    """Write what one execution logged."""
    lines = [{"level": line.level, "message": line.message} for line in logs]
    return {"org": run.org, "run": run.run, "step": step, "attempt": attempt, "lines": lines}


async def logs_of(connection: AsyncConnection, run: RunName) -> list[LogLine]:
    """Read what a run logged, step by step."""
    rows = await connection.execute(_GET, {"org": run.org, "run": run.run})
    return [LogLine(row.level, row.message, row.step) for row in rows]


async def forget_logs(connection: AsyncConnection, before: datetime, most: int) -> int:
    """Delete what was logged before a moment; how many executions' logs those were."""
    return (await connection.execute(_FORGET, {"before": before, "most": most})).rowcount
