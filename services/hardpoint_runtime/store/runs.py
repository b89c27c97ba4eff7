"""Owns the tables of runs, steps and counters: written together, many calls at a time."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from hardpoint_kit.errors import NotFound
from hardpoint_kit.names import ReleaseName, RunName, StepName
from hardpoint_runtime.domain.paging import Window
from hardpoint_runtime.domain.runs import Failure, Record, Run, RunState, Step, sum_by_attachment
from hardpoint_runtime.store.rows import USAGE

_INSERT_RUN = text("""
    INSERT INTO runs (org, run, agent, action, release, state, reason, message, place, fix, started_at, duration_us,
        usage, trace_id, subject)
    VALUES (:org, :run, :agent, :action, :release, :state, :reason, :message, :place, :fix, :started_at, :duration_us,
        CAST(:usage AS jsonb), :trace_id, :subject)
""")
_INSERT_STEP = text("""
    INSERT INTO steps (org, run, step, action, release, state, reason, message, started_at, duration_us, usage)
    VALUES (:org, :run, :step, :action, :release, :state, :reason, :message, :started_at, :duration_us,
        CAST(:usage AS jsonb))
""")
_COUNT = text("""
    INSERT INTO usage_counters AS c (org, attachment, installation, writer, executions, errors, usages, total_us,
        last_used)
    VALUES (:org, :attachment, :installation, :writer, :executions, :errors, :usages, :total_us, :last_used)
    ON CONFLICT (attachment, writer) DO UPDATE SET executions = c.executions + EXCLUDED.executions,
        errors = c.errors + EXCLUDED.errors, usages = c.usages + EXCLUDED.usages,
        total_us = c.total_us + EXCLUDED.total_us, last_used = greatest(c.last_used, EXCLUDED.last_used)
""")
_GET = text("SELECT *, CAST(usage AS text) AS usage_json FROM runs WHERE org = :org AND run = :run")
_LIST = """
    SELECT *, CAST(usage AS text) AS usage_json FROM runs WHERE org = :org AND (:after = '' OR run < :after) {filters}
    ORDER BY run DESC LIMIT :limit
"""
_LIST_STEPS = text("""
    SELECT *, CAST(usage AS text) AS usage_json FROM steps WHERE org = :org AND run = :run ORDER BY started_at, step
""")


class Runs:
    """Runs and steps, over one connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def write(self, records: Sequence[Record], writer: str) -> None:
        """Write runs with their steps, and add them to the counters as `writer`, which only one process is."""
        runs = [record.run for record in records]
        await self._connection.execute(_INSERT_RUN, [_run_columns(run) for run in runs])
        await self._connection.execute(_INSERT_STEP, [_step_columns(run.only_step()) for run in runs])
        sums = sum_by_attachment(records)
        if sums:
            rows = [
                {
                    "org": org,
                    "attachment": key.attachment,
                    "installation": key.installation,
                    "writer": writer,
                    "executions": counted.executions,
                    "errors": counted.errors,
                    "usages": counted.usages,
                    "total_us": counted.total_us,
                    "last_used": counted.last_used,
                }
                for (org, key), counted in sums.items()
            ]
            await self._connection.execute(_COUNT, rows)

    async def get(self, name: RunName) -> Run:
        """Read a run; raises NotFound."""
        row = (await self._connection.execute(_GET, {"org": name.org, "run": name.run})).one_or_none()
        if row is None:
            raise NotFound("run", name)
        return _run(row)

    async def within(self, org: str, window: Window, agent: str, state: str) -> list[Run]:
        """Read runs, newest first; an empty `agent` or `state` means any."""
        filters = ("AND agent = :agent" if agent else "") + (" AND state = :state" if state else "")
        key = {"org": org, "after": window.after, "limit": window.limit}
        key |= ({"agent": agent} if agent else {}) | ({"state": state} if state else {})
        return [_run(row) for row in await self._connection.execute(text(_LIST.format(filters=filters)), key)]

    async def steps(self, name: RunName) -> list[Step]:
        """Read the steps of a run in the order in which they started."""
        rows = await self._connection.execute(_LIST_STEPS, {"org": name.org, "run": name.run})
        return [_step(row) for row in rows]


def _shared_columns(of: Run | Step) -> dict[str, Any]:
    return {
        "org": of.name.org,
        "run": of.name.run,
        "action": of.action,
        "release": str(of.release),
        "state": of.state,
        "reason": of.failure.reason,
        "message": of.failure.message,
        "started_at": of.started_at,
        "duration_us": of.duration_us,
        "usage": USAGE.dump_json(of.usage).decode(),
    }


def _run_columns(run: Run) -> dict[str, Any]:
    return {
        **_shared_columns(run),
        "agent": run.agent,
        "place": run.failure.place,
        "fix": run.failure.fix,
        "trace_id": run.trace_id,
        "subject": run.subject,
    }


def _step_columns(step: Step) -> dict[str, Any]:
    return {**_shared_columns(step), "step": step.name.step}


def _run(row: Row[Any]) -> Run:
    return Run(
        RunName(row.org, row.run),
        row.agent,
        row.action,
        ReleaseName.parse(row.release),
        RunState(row.state),
        Failure(row.reason, row.message, row.place, row.fix),
        row.started_at,
        row.duration_us,
        USAGE.validate_json(row.usage_json),
        row.trace_id,
        row.subject,
    )


def _step(row: Row[Any]) -> Step:
    return Step(
        StepName(row.org, row.run, row.step),
        row.action,
        ReleaseName.parse(row.release),
        RunState(row.state),
        Failure(row.reason, row.message),
        row.started_at,
        row.duration_us,
        USAGE.validate_json(row.usage_json),
    )
