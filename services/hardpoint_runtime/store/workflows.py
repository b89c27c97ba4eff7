"""Owns the tables of workflows: their runs from the first moment on, their steps, and word of each change.

Every change counts the run's `sequence` up, in the statement that makes it, so whoever saw one number misses nothing
after it. What a stretch writes names itself: one that was replaced changes nothing.
"""

from dataclasses import replace
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import from_json, to_json
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from hardpoint_kit.errors import NotFound
from hardpoint_kit.names import InstallationName, RunName
from hardpoint_runtime.domain.context import CallContext
from hardpoint_runtime.domain.runs import Failure, Run, RunState
from hardpoint_runtime.domain.workflows import Decision, StepRun, Waits, Workflow
from hardpoint_runtime.durable.stretches import Stretch, Stretches
from hardpoint_runtime.store.rows import RELEASE, USAGE
from hardpoint_runtime.store.runs import run_columns, run_of

RUN_CHANGES = "hardpoint_runtime_runs"

_CONTEXT = TypeAdapter(CallContext)
_DECISION: TypeAdapter[Decision | None] = TypeAdapter(Decision | None)
_INSERT_RUN = text("""
    INSERT INTO runs (org, run, agent, action, release, state, reason, message, place, fix, facts,
        started_at, duration_us, usage, trace_id, subject)
    VALUES (:org, :run, :agent, :action, :release, :state, :reason, :message, :place, :fix, CAST(:facts AS jsonb),
        :started_at, :duration_us, CAST(:usage AS jsonb), :trace_id, :subject)
""")
_INSERT = text("""
    INSERT INTO workflows (org, run, installation, release, given, forked, carrier, context)
    VALUES (:org, :run, :installation, CAST(:pinned AS jsonb), CAST(:given AS json), CAST(:forked AS json),
        CAST(:carrier AS jsonb), CAST(:context AS json))
""")
_SELECT = """
    SELECT r.*, CAST(r.usage AS text) AS usage_json, w.installation, CAST(w.release AS text) AS pinned,
        CAST(w.given AS text) AS given, CAST(w.forked AS text) AS forked, w.stretch, w.carrier, w.attempts,
        CAST(w.output AS text) AS output, w.sequence, w.run_sequence, CAST(w.context AS text) AS context
    FROM workflows w JOIN runs r USING (org, run)
"""
_GET = text(f"{_SELECT} WHERE org = :org AND run = :run")
_LOCK = text("SELECT FROM workflows WHERE org = :org AND run = :run FOR UPDATE")
_MOVE = text("""
    WITH moved AS (
        UPDATE workflows SET sequence = sequence + 1, run_sequence = sequence + 1, stretch = :next,
            output = coalesce(CAST(:output AS json), output)
        WHERE org = :org AND run = :run AND stretch = :stretch RETURNING run
    ), told AS (SELECT pg_notify(:channel, :name) FROM moved)
    UPDATE runs SET state = :state, reason = :reason, message = :message, place = :place, fix = :fix,
        facts = CAST(:facts AS jsonb), usage = CAST(:usage AS jsonb), duration_us = :duration_us
    FROM moved, told WHERE runs.org = :org AND runs.run = :run RETURNING true
""")
_PUT_STEP = text("""
    WITH bumped AS (
        UPDATE workflows SET sequence = sequence + 1,
            begun = begun + CASE WHEN :fresh AND NOT EXISTS (
                SELECT FROM steps WHERE org = :org AND run = :run AND step = :step) THEN 1 ELSE 0 END,
            attempts = attempts + CASE WHEN :fresh THEN 1 ELSE 0 END
        WHERE org = :org AND run = :run AND stretch = :stretch RETURNING sequence, begun
    ), told AS (SELECT pg_notify(:channel, :name) FROM bumped)
    INSERT INTO steps AS s (org, run, step, number, sequence, action, release, state, attempts, worker, waits, shown,
        decision, due_at, output, reason, message, place, fix, facts, started_at, duration_us, usage)
    SELECT :org, :run, :step, b.begun, b.sequence, :action, :release, :state, :attempts, :worker, :waits,
        CAST(:shown AS json), CAST(:decision AS json), :due_at, CAST(:output AS json), :reason, :message, :place, :fix,
        CAST(:facts AS jsonb), :started_at, :duration_us, CAST(:usage AS jsonb)
    FROM bumped b, told
    ON CONFLICT (org, run, step) DO UPDATE SET sequence = EXCLUDED.sequence, action = EXCLUDED.action,
        release = EXCLUDED.release, state = EXCLUDED.state, attempts = EXCLUDED.attempts, worker = EXCLUDED.worker,
        waits = EXCLUDED.waits, shown = EXCLUDED.shown, decision = EXCLUDED.decision, due_at = EXCLUDED.due_at,
        output = EXCLUDED.output, reason = EXCLUDED.reason, message = EXCLUDED.message, place = EXCLUDED.place,
        fix = EXCLUDED.fix, facts = EXCLUDED.facts, duration_us = EXCLUDED.duration_us, usage = EXCLUDED.usage
    WHERE :fresh OR s.worker = :worker
    RETURNING number, sequence
""")
_DECIDE = text("""
    WITH bumped AS (
        UPDATE workflows SET sequence = sequence + 1 WHERE org = :org AND run = :run RETURNING sequence
    ), told AS (SELECT pg_notify(:channel, :name) FROM bumped)
    UPDATE steps SET decision = CAST(:decision AS json), sequence = bumped.sequence FROM bumped, told
    WHERE org = :org AND run = :run AND step = :step
""")
_STEPS = text("""
    SELECT s.*, CAST(shown AS text) AS shown_json, CAST(decision AS text) AS decision_json,
        CAST(output AS text) AS output_json, CAST(usage AS text) AS usage_json
    FROM steps s WHERE org = :org AND run = :run AND sequence > :since ORDER BY number
""")
_PULSE = text("SELECT stretch, sequence FROM workflows WHERE org = :org AND run = :run")
_CANCEL_STEPS = text("""
    UPDATE steps SET state = 'CANCELLED', waits = '', sequence = w.sequence FROM workflows w
    WHERE w.org = :org AND w.run = :run AND steps.org = w.org AND steps.run = w.run
        AND steps.state IN ('RUNNING', 'WAITING')
""")
_ACTIVE = text("""
    SELECT org, run, stretch FROM workflows w JOIN runs r USING (org, run)
    WHERE (org, run) > (:org, :run) AND (state IN ('QUEUED', 'RUNNING') OR state = 'WAITING' AND EXISTS (
        SELECT FROM steps s WHERE s.org = w.org AND s.run = w.run AND s.state = 'WAITING' AND s.due_at IS NOT NULL))
    ORDER BY org, run LIMIT :limit
""")
_FORGET = text("""
    WITH old AS (
        SELECT org, run FROM workflows JOIN runs USING (org, run)
        WHERE state IN ('SUCCEEDED', 'FAILED', 'CANCELLED') AND CAST(given AS text) <> '{}'
            AND started_at + duration_us * interval '1 microsecond' < :before
        LIMIT :most
    ), forgotten AS (
        UPDATE steps s SET output = NULL, shown = NULL, decision = CASE WHEN decision IS NOT NULL THEN
            json_build_object('verdict', decision ->> 'verdict', 'subject', decision ->> 'subject', 'output', NULL) END
        FROM old WHERE s.org = old.org AND s.run = old.run
    )
    UPDATE workflows w SET output = NULL, given = '{}', forked = '{}', context = '{}'
    FROM old WHERE w.org = old.org AND w.run = old.run
""")


class Workflows:
    """Runs of workflows and their steps, over one connection."""

    def __init__(self, connection: AsyncConnection, stretches: Stretches | None) -> None:
        self._connection = connection
        self._stretches = stretches

    async def add(self, workflow: Workflow) -> None:
        """Write a new run and have its first stretch walked."""
        run = run_columns(workflow.run)
        await self._connection.execute(_INSERT_RUN, {**run, "facts": _json(run["facts"]), "usage": _json(run["usage"])})
        await self._connection.execute(
            _INSERT,
            {
                **_key(workflow.name),
                "installation": workflow.installation.installation,
                "pinned": RELEASE.dump_json(workflow.release).decode(),
                "given": _json(workflow.given),
                "forked": _json(workflow.settled),
                "carrier": _json(workflow.carrier),
                "context": _CONTEXT.dump_json(workflow.context).decode(),
            },
        )
        await self.queue(Stretch(workflow.name, workflow.stretch))

    async def queue(self, stretch: Stretch, delay_seconds: float = 0.0) -> None:
        """Have a stretch walked after this transaction, and after the delay."""
        assert self._stretches is not None
        await self._stretches.put(self._connection, stretch, delay_seconds)

    async def get(self, name: RunName, *, lock: bool = False) -> Workflow:
        """Read a run, and with `lock` keep others from moving it; raises NotFound for one that is no workflow's."""
        if lock:
            await self._connection.execute(_LOCK, _key(name))
        row = (await self._connection.execute(_GET, _key(name))).one_or_none()
        if row is None:
            raise NotFound("run", name)
        return _workflow(row)

    async def move(self, workflow: Workflow, run: Run, next_stretch: int, output: Any = None) -> bool:
        """Write where the run is now and its next stretch; false, and nothing, when its stretch was replaced."""
        columns = run_columns(run)
        moved = await self._connection.scalar(
            _MOVE,
            {
                **{key: columns[key] for key in ("org", "run", "state", "reason", "message", "place", "fix")},
                "facts": _json(columns["facts"]),
                "usage": _json(columns["usage"]),
                "duration_us": run.duration_us,
                "stretch": workflow.stretch,
                "next": next_stretch,
                "output": None if output is None else _json(output),
                **_told(run.name),
            },
        )
        return bool(moved)

    async def put_step(self, stretch: Stretch, step: StepRun, worker: str, *, fresh: bool) -> StepRun | None:
        """Write a step; `fresh` takes it over from whoever had it, else it must be this worker's still.

        None, and nothing is written, when another stretch or another worker has it.
        """
        row = (
            await self._connection.execute(
                _PUT_STEP,
                {
                    **_key(step.run),
                    "stretch": stretch.number,
                    "fresh": fresh,
                    "worker": worker,
                    **_step_columns(step),
                    **_told(step.run, worker),
                },
            )
        ).one_or_none()
        return None if row is None else replace(step, number=row.number, sequence=row.sequence)

    async def decide(self, step: StepRun, decision: Decision) -> None:
        """Write what was decided about a step of a run that was read with a lock."""
        await self._connection.execute(
            _DECIDE,
            {
                **_key(step.run),
                "step": step.step,
                "decision": _DECISION.dump_json(decision).decode(),
                **_told(step.run),
            },
        )

    async def cancel_steps(self, name: RunName) -> None:
        """Mark what runs and waits as cancelled, with the run's last sequence."""
        await self._connection.execute(_CANCEL_STEPS, _key(name))

    async def steps(self, name: RunName, since: int = 0) -> list[StepRun]:
        """Read the steps that changed after a sequence, in the order in which they began."""
        return [_step(row) for row in await self._connection.execute(_STEPS, {**_key(name), "since": since})]

    async def pulse(self, name: RunName) -> tuple[int, int]:
        """Read a run's newest stretch and last sequence, (0, 0) for one that is gone."""
        row = (await self._connection.execute(_PULSE, _key(name))).one_or_none()
        return (row.stretch, row.sequence) if row else (0, 0)

    async def active(self, after: RunName | None, limit: int) -> list[Stretch]:
        """Read runs that a stretch should be there for."""
        key = {"org": after.org if after else "", "run": after.run if after else "", "limit": limit}
        return [Stretch(RunName(row.org, row.run), row.stretch) for row in await self._connection.execute(_ACTIVE, key)]


async def forget_contents(connection: AsyncConnection, before: datetime, most: int) -> int:
    """Delete inputs and outputs of at most so many runs that ended before a moment; return how many runs."""
    return (await connection.execute(_FORGET, {"before": before, "most": most})).rowcount


def _key(name: RunName) -> dict[str, str]:
    return {"org": name.org, "run": name.run}


def _told(name: RunName, worker: str = "") -> dict[str, str]:
    return {"channel": RUN_CHANGES, "name": f"{name} {worker}"}


def _json(value: Any) -> str:
    return to_json(value).decode()


def _workflow(row: Row[Any]) -> Workflow:
    return Workflow(
        run_of(row),
        InstallationName(row.org, row.installation),
        RELEASE.validate_json(row.pinned),
        from_json(row.given),
        row.stretch,
        from_json(row.forked),
        row.carrier,
        None if row.output is None else from_json(row.output),
        row.sequence,
        row.run_sequence,
        row.attempts,
        _CONTEXT.validate_json(row.context),
    )


def _step_columns(step: StepRun) -> dict[str, Any]:
    return {
        "step": step.step,
        "action": step.action,
        "release": step.release,
        "state": step.state,
        "attempts": step.attempts,
        "waits": step.waits,
        "shown": _json(step.shown),
        "decision": None if step.decision is None else _DECISION.dump_json(step.decision).decode(),
        "due_at": step.due_at,
        "output": _json(step.output),
        "reason": step.failure.reason,
        "message": step.failure.message,
        "place": step.failure.place,
        "fix": step.failure.fix,
        "facts": _json(step.failure.facts),
        "started_at": step.started_at,
        "duration_us": step.duration_us,
        "usage": USAGE.dump_json(step.usage).decode(),
    }


def _step(row: Row[Any]) -> StepRun:
    return StepRun(
        RunName(row.org, row.run),
        row.step,
        row.number,
        row.sequence,
        row.action,
        row.release,
        RunState(row.state),
        row.attempts,
        Waits(row.waits),
        None if row.shown_json is None else from_json(row.shown_json),
        None if row.decision_json is None else _DECISION.validate_json(row.decision_json),
        row.due_at,
        None if row.output_json is None else from_json(row.output_json),
        Failure(row.reason, row.message, row.place, row.fix, row.facts),
        row.started_at,
        row.duration_us,
        USAGE.validate_json(row.usage_json),
    )
