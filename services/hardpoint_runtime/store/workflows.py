"""Owns the tables of workflows: their runs from the first moment on, their steps, and word of each change.

Every change counts the run's `sequence` up, in the statement that makes it, so whoever saw one number misses nothing
after it. Whoever walks a run takes it up first, and what is written out of turn changes nothing.
"""

from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import from_json, to_json
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from hardpoint_kit.errors import NotFound
from hardpoint_kit.names import InstallationName, RunName
from hardpoint_runtime.domain.children import Descent
from hardpoint_runtime.domain.context import CallContext
from hardpoint_runtime.domain.runs import Run
from hardpoint_runtime.domain.workflows import Decision, StepRun, Turn, Workflow
from hardpoint_runtime.durable.stretches import Stretch, Stretches
from hardpoint_runtime.store.rows import RELEASE
from hardpoint_runtime.store.run_events import TELL
from hardpoint_runtime.store.runs import run_columns, run_of
from hardpoint_runtime.store.steps import DECISION, RUN_CHANGES, steps_since

_CONTEXT = TypeAdapter(CallContext)
_DESCENT = TypeAdapter(Descent)

# A run that waits is told of once for what it newly asks, however often it stops on its way meanwhile.
_CHANGE = """'/' || coalesce((
        SELECT max(s.sequence) FROM steps s WHERE s.org = r.org AND s.run = r.run AND s.state = 'WAITING'
            AND s.waits IN ('APPROVAL', 'EVENT', 'DOUBT') AND s.decision IS NULL), r.sequence)"""

_INSERT_RUN = text("""
    INSERT INTO runs (org, run, agent, action, release, state, reason, message, place, fix, facts,
        started_at, duration_us, usage, trace_id, subject, on_behalf_of, depth, root)
    VALUES (:org, :run, :agent, :action, :release, :state, :reason, :message, :place, :fix, CAST(:facts AS jsonb),
        :started_at, :duration_us, CAST(:usage AS jsonb), :trace_id, :subject, :on_behalf_of, :depth,
        :root)
""")
_INSERT = text("""
    INSERT INTO workflows (org, run, installation, release, given, forked, carrier, context, starters, descent)
    VALUES (:org, :run, :installation, CAST(:pinned AS jsonb), CAST(:given AS json), CAST(:forked AS json),
        CAST(:carrier AS jsonb), CAST(:context AS json), :starters,
        CAST(:descent AS jsonb))
""")
_SELECT = """
    SELECT r.*, CAST(r.usage AS text) AS usage_json, w.installation, CAST(w.release AS text) AS pinned,
        CAST(w.given AS text) AS given, CAST(w.forked AS text) AS forked, w.stretch, w.carrier, w.walk, w.begun,
        CAST(w.output AS text) AS output, w.sequence, w.run_sequence, CAST(w.context AS text) AS context, w.starters,
        CAST(w.descent AS text) AS descent
    FROM workflows w JOIN runs r USING (org, run)
"""
_GET = text(f"{_SELECT} WHERE org = :org AND run = :run")
_LOCK = text("SELECT stretch, walk, sequence FROM workflows WHERE org = :org AND run = :run FOR UPDATE")
_MOVE = text(f"""
    WITH moved AS (
        UPDATE workflows SET sequence = sequence + 1, run_sequence = sequence + 1, stretch = :next,
            output = coalesce(CAST(:output AS json), output)
        WHERE org = :org AND run = :run AND stretch = :stretch AND walk = :walk RETURNING run, sequence
    ), told AS (SELECT pg_notify(:channel, :name) FROM moved), changed AS (
        UPDATE runs SET state = :state, reason = :reason, message = :message, place = :place, fix = :fix,
            facts = CAST(:facts AS jsonb), usage = CAST(:usage AS jsonb), duration_us = :duration_us
        FROM moved, told WHERE runs.org = :org AND runs.run = :run RETURNING runs.*, moved.sequence
    ), events AS ({TELL.format(runs="changed", number=_CHANGE)})
    SELECT true FROM changed
""")  # noqa: S608 - no value is in it
_TAKE = text("""
    WITH taken AS (
        UPDATE workflows SET walk = walk + 1, page = 0, sequence = sequence + 1, run_sequence = sequence + 1
        WHERE org = :org AND run = :run AND stretch = :stretch AND EXISTS (
            SELECT FROM runs WHERE org = :org AND run = :run AND state IN ('QUEUED', 'RUNNING', 'WAITING'))
        RETURNING run
    ), told AS (SELECT pg_notify(:channel, :name) FROM taken)
    UPDATE runs SET state = 'RUNNING', reason = '', message = '', place = '', fix = '', facts = '{}'
    FROM taken, told WHERE runs.org = :org AND runs.run = :run
""")
_DECIDE = text("""
    WITH bumped AS (
        UPDATE workflows SET sequence = sequence + 1 WHERE org = :org AND run = :run RETURNING sequence
    ), told AS (SELECT pg_notify(:channel, :name) FROM bumped)
    UPDATE steps SET decision = CAST(:decision AS json), sequence = bumped.sequence FROM bumped, told
    WHERE org = :org AND run = :run AND step = :step
""")
_PULSE = text("SELECT stretch, walk, sequence FROM workflows WHERE org = :org AND run = :run")
_CANCEL_STEPS = text("""
    UPDATE steps SET state = 'CANCELLED', waits = '', sequence = w.sequence FROM workflows w
    WHERE w.org = :org AND w.run = :run AND steps.org = w.org AND steps.run = w.run
        AND steps.state IN ('RUNNING', 'WAITING')
""")
# Of the queue's table nothing is asked but which ids are there: see Stretch.id.
_LOST = text("""
    SELECT org, run, stretch FROM workflows w JOIN runs r USING (org, run)
    WHERE (state IN ('QUEUED', 'RUNNING') OR state = 'WAITING' AND EXISTS (
        SELECT FROM steps s WHERE s.org = w.org AND s.run = w.run AND s.state = 'WAITING' AND s.due_at IS NOT NULL))
    AND NOT EXISTS (
        SELECT FROM dbos.workflow_status d WHERE d.workflow_uuid = org || '/' || run || '/' || w.stretch
            AND d.status IN ('ENQUEUED', 'DELAYED', 'PENDING'))
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
        self.queued = False
        """Whether there is something to walk as soon as this is committed."""

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
                "starters": list(workflow.starters),
                "forked": _json(workflow.settled),
                "carrier": _json(workflow.carrier),
                "descent": None if workflow.descent is None else _DESCENT.dump_json(workflow.descent).decode(),
                "context": _CONTEXT.dump_json(workflow.context).decode(),
            },
        )
        await self.queue(Stretch(workflow.name, workflow.stretch))

    async def queue(self, stretch: Stretch, delay_seconds: float = 0.0) -> None:
        """Have a stretch walked after this transaction, and after the delay."""
        assert self._stretches is not None
        await self._stretches.put(self._connection, stretch, delay_seconds)
        self.queued |= delay_seconds <= 0

    async def get(self, name: RunName, *, lock: bool = False) -> Workflow:
        """Read a run, and with `lock` keep others from moving it; raises NotFound for one that is no workflow's."""
        if lock:
            await self._connection.execute(_LOCK, _key(name))
        row = (await self._connection.execute(_GET, _key(name))).one_or_none()
        if row is None:
            raise NotFound("run", name)
        return _workflow(row)

    async def lock(self, turn: Turn) -> int | None:
        """Keep others from writing of a run; its last sequence, None when it is another's turn."""
        row = (await self._connection.execute(_LOCK, _key(turn.run))).one_or_none()
        return row.sequence if row and turn == Turn(turn.run, row.stretch, row.walk) else None

    async def take(self, stretch: Stretch) -> Workflow | None:
        """Take up a run in this stretch, which nobody else may write then; None when that is over.

        Raises NotFound.
        """
        await self._connection.execute(_TAKE, {**_key(stretch.run), "stretch": stretch.number, **_told(stretch.run)})
        workflow = await self.get(stretch.run)
        return None if workflow.stretch != stretch.number or workflow.ended else workflow

    async def move(self, workflow: Workflow, run: Run, next_stretch: int, output: Any = None) -> bool:
        """Write where the run is now and its next stretch; false, and nothing, when it is another's turn."""
        columns = run_columns(run)
        moved = await self._connection.scalar(
            _MOVE,
            {
                **{key: columns[key] for key in ("org", "run", "state", "reason", "message", "place", "fix")},
                "facts": _json(columns["facts"]),
                "usage": _json(columns["usage"]),
                "duration_us": run.duration_us,
                "stretch": workflow.stretch,
                "walk": workflow.walk,
                "next": next_stretch,
                "output": None if output is None else _json(output),
                **_told(run.name),
            },
        )
        return bool(moved)

    async def decide(self, step: StepRun, decision: Decision) -> None:
        """Write what was decided about a step of a run that was read with a lock."""
        await self._connection.execute(
            _DECIDE,
            {
                **_key(step.run),
                "step": step.step,
                "decision": DECISION.dump_json(decision).decode(),
                **_told(step.run),
            },
        )

    async def cancel_steps(self, name: RunName) -> None:
        """Mark what runs and waits as cancelled, with the run's last sequence."""
        await self._connection.execute(_CANCEL_STEPS, _key(name))

    async def steps(self, name: RunName, since: int = 0) -> list[StepRun]:
        """Read the steps that changed after a sequence, in the order in which they began."""
        return await steps_since(self._connection, name, since)

    async def pulse(self, name: RunName) -> tuple[Turn | None, int]:
        """Read whose turn a run is and its last sequence, None and 0 for one that is no workflow's."""
        row = (await self._connection.execute(_PULSE, _key(name))).one_or_none()
        return (Turn(name, row.stretch, row.walk), row.sequence) if row else (None, 0)

    async def lost(self, limit: int) -> list[Stretch]:
        """Read the stretches that runs are waiting for and that are in no queue."""
        rows = await self._connection.execute(_LOST, {"limit": limit})
        return [Stretch(RunName(row.org, row.run), row.stretch) for row in rows]


async def forget_contents(connection: AsyncConnection, before: datetime, most: int) -> int:
    """Delete inputs and outputs of at most so many runs that ended before a moment; return how many runs."""
    return (await connection.execute(_FORGET, {"before": before, "most": most})).rowcount


def _key(name: RunName) -> dict[str, str]:
    return {"org": name.org, "run": name.run}


def _told(name: RunName) -> dict[str, str]:
    return {"channel": RUN_CHANGES, "name": f"{name} "}


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
        row.walk,
        row.begun,
        _CONTEXT.validate_json(row.context),
        tuple(row.starters),
        None if row.descent is None else _DESCENT.validate_json(row.descent),
    )
