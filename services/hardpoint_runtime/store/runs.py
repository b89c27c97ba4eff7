"""Owns the tables of runs and counters: written together, many calls at a time."""

import secrets
from collections.abc import Sequence
from typing import Any

from pydantic_core import to_json
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from hardpoint_kit.errors import NotFound
from hardpoint_kit.names import ReleaseName, RunName, StepName
from hardpoint_kit.writer import Writer
from hardpoint_runtime.domain.paging import Window
from hardpoint_runtime.domain.runs import (
    Failure,
    Inner,
    LogLine,
    Record,
    Run,
    RunState,
    Step,
    sum_by_attachment,
    sum_by_grant,
)
from hardpoint_runtime.store.rows import USAGE
from hardpoint_runtime.store.run_events import TELL
from hardpoint_runtime.store.run_logs import LOGGED, log_columns, logs_of

# One statement: a batch is one round trip and one commit. It may run twice: what is written is not counted again.
_WRITE = """
    WITH written AS (
        INSERT INTO runs (org, run, agent, action, release, state, reason, message, place, fix, facts,
            started_at, duration_us, usage, trace_id, subject, on_behalf_of, dry_run, plan, depth,
            recorded, root)
        SELECT org, run, agent, action, release, state, reason, message, place, fix, facts,
            started_at, duration_us, usage, trace_id, subject, on_behalf_of, dry_run, plan, depth, recorded,
            root
        FROM jsonb_populate_recordset(NULL::runs, %(runs)s) ON CONFLICT DO NOTHING RETURNING runs.*
    ), told AS ({told}
    ), used AS (
        INSERT INTO grant_uses AS g (org, installation, granted, writer, executions, last_used)
        SELECT org, installation, granted, %(writer)s, executions, last_used
        FROM jsonb_populate_recordset(NULL::grant_uses, %(grants)s) WHERE EXISTS (SELECT FROM written)
        ON CONFLICT (installation, granted, writer) DO UPDATE SET executions = g.executions + EXCLUDED.executions,
            last_used = greatest(g.last_used, EXCLUDED.last_used)
    ){inside}
    INSERT INTO usage_counters AS c (org, attachment, installation, writer, executions, errors, usages, total_us,
        last_used)
    SELECT org, attachment, installation, %(writer)s, executions, errors, usages, total_us, last_used
    FROM jsonb_populate_recordset(NULL::usage_counters, %(counters)s) WHERE EXISTS (SELECT FROM written)
    ON CONFLICT (attachment, writer) DO UPDATE SET executions = c.executions + EXCLUDED.executions,
        errors = c.errors + EXCLUDED.errors, usages = c.usages + EXCLUDED.usages,
        total_us = c.total_us + EXCLUDED.total_us, last_used = greatest(c.last_used, EXCLUDED.last_used)
"""
_INSIDE = f""", inside AS (
        INSERT INTO inner_steps SELECT s.* FROM jsonb_populate_recordset(NULL::inner_steps, %(steps)s) s
            JOIN written USING (org, run)
    ){LOGGED.format(written="written")}"""  # noqa: S608 - of a statement that stands there
_TOLD = TELL.format(runs="(SELECT * FROM written WHERE state <> 'FAILED' OR run <> ALL(%(untold)s))", number="''")
_WRITE_RUNS = _WRITE.format(inside="", told=_TOLD)
_WRITE_ALL = _WRITE.format(inside=_INSIDE, told=_TOLD)
"""Also steps of their own and what was logged: most batches have none of it."""
_STEPS = text(
    "SELECT *, CAST(usage AS text) AS usage_json FROM inner_steps WHERE org = :org AND run = :run ORDER BY position"
)
_GET = text("SELECT *, CAST(usage AS text) AS usage_json FROM runs WHERE org = :org AND run = :run")
_LIST = """
    SELECT *, CAST(usage AS text) AS usage_json FROM runs WHERE org = :org AND (:after = '' OR run < :after) {filters}
    ORDER BY run DESC LIMIT :limit
"""


class RunLog:
    """Writes runs, and adds them to the counters as `process`, which no other process is."""

    def __init__(self, url: str, process: str = "") -> None:
        self._writer = Writer(url)
        self._process = process or secrets.token_hex(8)

    async def write(self, records: Sequence[Record]) -> None:
        """Write runs together, all or none; they are on disk when this returns. Raises as Writer.write does."""
        runs = [run_columns(record.run) for record in records]
        counters = [
            {
                "org": org,
                "attachment": key.attachment,
                "installation": key.installation,
                "executions": counted.executions,
                "errors": counted.errors,
                "usages": counted.usages,
                "total_us": counted.total_us,
                "last_used": counted.last_used,
            }
            for (org, key), counted in sum_by_attachment(records).items()
        ]
        grants = [
            {
                "org": org,
                "installation": installation,
                "granted": use.grant,
                "executions": use.executions,
                "last_used": use.last_used,
            }
            for (org, installation), uses in sum_by_grant(records).items()
            for use in uses
        ]
        untold = [record.run.name.run for record in records if not record.told]
        given: dict[str, Any] = {
            "untold": untold,
            "runs": _json(runs),
            "counters": _json(counters),
            "grants": _json(grants),
        }
        steps = [inner_columns(record.run.name, *placed) for record in records for placed in enumerate(record.steps, 1)]
        logs = [log_columns(record.run.name, record.logs) for record in records if record.logs]
        if more := bool(steps or logs):
            given |= {"steps": _json(steps), "logs": _json(logs)}
        await self._writer.write(_WRITE_ALL if more else _WRITE_RUNS, {**given, "writer": self._process})

    async def close(self) -> None:
        """Close the connection."""
        await self._writer.close()


class Runs:
    """Runs, over one connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def get(self, name: RunName) -> Run:
        """Read a run; raises NotFound."""
        row = (await self._connection.execute(_GET, {"org": name.org, "run": name.run})).one_or_none()
        if row is None:
            raise NotFound("run", name)
        return run_of(row)

    async def steps(self, run: RunName) -> list[Step]:
        """Read what ran inside of a run, in the order in which it began."""
        rows = await self._connection.execute(_STEPS, {"org": run.org, "run": run.run})
        return [_step(row) for row in rows]

    async def logs(self, run: RunName) -> list[LogLine]:
        """Read what a run logged."""
        return await logs_of(self._connection, run)

    async def within(self, org: str, window: Window, agent: str, state: str) -> list[Run]:
        """Read runs, newest first; an empty `agent` or `state` means any."""
        filters = ("AND agent = :agent" if agent else "") + (" AND state = :state" if state else "")
        key = {"org": org, "after": window.after, "limit": window.limit}
        key |= ({"agent": agent} if agent else {}) | ({"state": state} if state else {})
        return [run_of(row) for row in await self._connection.execute(text(_LIST.format(filters=filters)), key)]


def _json(rows: list[dict[str, Any]]) -> str:
    return to_json(rows).decode()


def run_columns(run: Run) -> dict[str, Any]:
    """Write a run."""
    return {
        "org": run.name.org,
        "run": run.name.run,
        "agent": run.agent,
        "action": run.action,
        "release": str(run.release),
        "state": run.state,
        "reason": run.failure.reason,
        "message": run.failure.message,
        "place": run.failure.place,
        "fix": run.failure.fix,
        "facts": run.failure.facts,
        "started_at": run.started_at,
        "duration_us": run.duration_us,
        "usage": run.usage,
        "trace_id": run.trace_id,
        "subject": run.subject,
        "on_behalf_of": run.on_behalf_of,
        "dry_run": run.dry_run,
        "plan": run.plan,
        "depth": run.depth,
        "recorded": run.recorded,
        "root": run.root,
    }


def inner_columns(run: RunName, position: int, step: Inner) -> dict[str, Any]:
    """Write what ran inside of a run."""
    return {
        "org": run.org,
        "run": run.run,
        "position": position,
        "path": step.path,
        "action": step.action,
        "release": str(step.release),
        "state": step.state,
        "reason": step.failure.reason,
        "message": step.failure.message,
        "started_at": step.started_at,
        "duration_us": step.duration_us,
        "usage": step.usage,
    }


def _step(row: Row[Any]) -> Step:
    inner = Inner(
        row.path,
        row.action,
        ReleaseName.parse(row.release),
        RunState(row.state),
        Failure(row.reason, row.message),
        row.started_at,
        row.duration_us,
        USAGE.validate_json(row.usage_json),
    )
    return Step(StepName(row.org, row.run, str(row.position)), inner)


def run_of(row: Row[Any]) -> Run:
    """Read a run, with its usage as `usage_json`."""
    return Run(
        RunName(row.org, row.run),
        row.agent,
        row.action,
        ReleaseName.parse(row.release),
        RunState(row.state),
        Failure(row.reason, row.message, row.place, row.fix, row.facts),
        row.started_at,
        row.duration_us,
        USAGE.validate_json(row.usage_json),
        row.trace_id,
        row.subject,
        row.on_behalf_of,
        row.dry_run,
        row.plan,
        row.depth,
        row.recorded,
        row.root,
    )
