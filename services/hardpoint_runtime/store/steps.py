"""Owns the table of steps of workflows: those of many runs written together, and read of one.

Whoever walks a run has its turn, which is its newest stretch and walk. What is written out of turn changes nothing: so
a process that was taken for dead, and was only stalled, does no more than it had begun.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import from_json, to_json
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from hardpoint_kit.names import RunName
from hardpoint_kit.writer import Writer
from hardpoint_runtime.domain.runs import Failure, Inner, LogLine, Run, RunState, Share
from hardpoint_runtime.domain.workflows import Decision, StepRun, Turn, Waits
from hardpoint_runtime.store.rows import USAGE
from hardpoint_runtime.store.run_events import TELL
from hardpoint_runtime.store.run_logs import LOGGED, log_columns
from hardpoint_runtime.store.runs import inner_columns, run_columns

RUN_CHANGES = "hardpoint_runtime_runs"
DECISION: TypeAdapter[Decision | None] = TypeAdapter(Decision | None)

_COLUMNS = {
    "step": "text",
    "number": "int",
    "action": "text",
    "release": "text",
    "state": "text",
    "attempts": "int",
    "waits": "text",
    "shown": "json",
    "decision": "json",
    "due_at": "timestamptz",
    "output": "json",
    "reason": "text",
    "message": "text",
    "place": "text",
    "fix": "text",
    "facts": "jsonb",
    "started_at": "timestamptz",
    "duration_us": "bigint",
    "usage": "jsonb",
    "plan": "text",
    "child": "text",
}
_FIXED = ("step", "number", "started_at")

# One statement: what many runs wait for is one round trip and one commit. It may run twice: `page` counts what is
# written in one turn, so what was written is not written again, and is answered as it was.
_WRITE = f"""
    WITH turns AS (
        SELECT * FROM unnest(%(orgs)s::text[], %(runs)s::text[], %(stretches)s::int[], %(walks)s::int[],
            %(pages)s::int[], %(begun)s::int[], %(ends)s::bool[], %(outputs)s::json[], %(news)s::text[])
            AS t(org, run, stretch, walk, page, begun, ends, output, news)
    ), moved AS (
        UPDATE workflows w SET sequence = w.sequence + 1, page = t.page, begun = greatest(w.begun, t.begun),
            run_sequence = CASE WHEN t.ends THEN w.sequence + 1 ELSE w.run_sequence END,
            output = coalesce(t.output, w.output)
        FROM turns t
        WHERE w.org = t.org AND w.run = t.run AND w.stretch = t.stretch AND w.walk = t.walk AND w.page < t.page
        RETURNING w.org, w.run, w.sequence, t.news
    ), told AS (SELECT count(pg_notify(%(channel)s, news)) FROM moved),
    given AS (
        SELECT * FROM unnest(%(of_orgs)s::text[], %(of_runs)s::text[],
            {", ".join(f"%({name})s::{type}[]" for name, type in _COLUMNS.items())})
            AS g(org, run, {", ".join(_COLUMNS)})
    ), written AS (
        INSERT INTO steps AS s (org, run, sequence, worker, {", ".join(_COLUMNS)})
        SELECT org, run, sequence, %(worker)s, {", ".join(_COLUMNS)} FROM given JOIN moved USING (org, run)
        ON CONFLICT (org, run, step) DO UPDATE SET sequence = EXCLUDED.sequence, worker = EXCLUDED.worker,
            {", ".join(f"{name} = EXCLUDED.{name}" for name in _COLUMNS if name not in _FIXED)}
    ){{more}}
    SELECT org, run, sequence FROM moved, told
    UNION ALL
    SELECT org, run, sequence FROM workflows JOIN turns USING (org, run, stretch, walk, page)
"""  # noqa: S608 - of names that stand here
_MORE = """, ended AS (
        UPDATE runs r SET state = e.state, reason = e.reason, message = e.message, place = e.place, fix = e.fix,
            facts = e.facts, usage = e.usage, duration_us = e.duration_us
        FROM jsonb_populate_recordset(NULL::runs, %(ended)s) e JOIN moved USING (org, run)
        WHERE r.org = e.org AND r.run = e.run RETURNING r.*, moved.sequence
    ), happened AS ({happened}), inside AS (
        INSERT INTO inner_steps SELECT i.* FROM jsonb_populate_recordset(NULL::inner_steps, %(inner)s) i
            JOIN moved USING (org, run)
    ){logged}, counted AS (
        INSERT INTO usage_counters AS c (org, attachment, installation, writer, executions, errors, usages, total_us,
            last_used)
        SELECT org, attachment, installation, %(worker)s, sum(executions), sum(errors), sum(usages), sum(total_us),
            max(last_used)
        FROM jsonb_to_recordset(%(counters)s) AS u(org text, run text, attachment text, installation text,
            executions bigint, errors bigint, usages bigint, total_us bigint, last_used timestamptz)
        JOIN moved USING (org, run) GROUP BY org, attachment, installation
        ON CONFLICT (attachment, writer) DO UPDATE SET executions = c.executions + EXCLUDED.executions,
            errors = c.errors + EXCLUDED.errors, usages = c.usages + EXCLUDED.usages,
            total_us = c.total_us + EXCLUDED.total_us, last_used = greatest(c.last_used, EXCLUDED.last_used)
    ), used AS (
        INSERT INTO grant_uses AS g (org, installation, granted, writer, executions, last_used)
        SELECT org, installation, granted, %(worker)s, count(*), max(last_used)
        FROM jsonb_to_recordset(%(grants)s) AS u(org text, run text, installation text, granted text,
            last_used timestamptz)
        JOIN moved USING (org, run) GROUP BY org, installation, granted
        ON CONFLICT (installation, granted, writer) DO UPDATE SET executions = g.executions + EXCLUDED.executions,
            last_used = greatest(g.last_used, EXCLUDED.last_used)
    )"""
_WRITE_STEPS = _WRITE.format(more="")
_HAPPENED = TELL.format(runs="ended", number="'/' || r.sequence")
_WRITE_ALL = _WRITE.format(more=_MORE.format(happened=_HAPPENED, logged=LOGGED.format(written="moved")))
"""Also ends of runs, what ran inside of steps and what is counted: many batches have none of it."""
_STEPS = text("""
    SELECT s.*, CAST(shown AS text) AS shown_json, CAST(decision AS text) AS decision_json,
        CAST(output AS text) AS output_json, CAST(usage AS text) AS usage_json
    FROM steps s WHERE org = :org AND run = :run AND sequence > :since ORDER BY number
""")


@dataclass(frozen=True, slots=True)
class Page:
    """What a run's walker writes at a time: steps, each once, with what ran inside of them and whose counters add up.

    Pages of a turn are counted from 1; `begun` is the number of the last step. With `end` the run is over.
    """

    turn: Turn
    number: int
    begun: int
    rows: Sequence[StepRun]
    inner: Sequence[tuple[int, Inner]] = ()
    logs: Sequence[tuple[str, int, Sequence[LogLine]]] = ()
    """Of steps and attempts of them."""
    shares: Sequence[Share] = ()
    end: Run | None = None
    output: Any = None


class StepLog:
    """Writes pages of runs that this process walks, `worker` by name."""

    def __init__(self, url: str, worker: str) -> None:
        self._writer = Writer(url)
        self._worker = worker

    async def write(self, pages: Sequence[Page]) -> dict[RunName, int]:
        """Write pages of different runs together; they are on disk when this returns.

        The new sequence of each run whose turn it was; of the others nothing was written. Raises as Writer.write does.
        """
        rows = [row for page in pages for row in page.rows]
        columns = [_columns(row) for row in rows]
        given: dict[str, Any] = {name: [one[name] for one in columns] for name in _COLUMNS}
        given |= {
            "of_orgs": [row.run.org for row in rows],
            "of_runs": [row.run.run for row in rows],
            "orgs": [page.turn.run.org for page in pages],
            "runs": [page.turn.run.run for page in pages],
            "stretches": [page.turn.stretch for page in pages],
            "walks": [page.turn.walk for page in pages],
            "pages": [page.number for page in pages],
            "begun": [page.begun for page in pages],
            "ends": [page.end is not None for page in pages],
            "outputs": [None if page.output is None else _json(page.output) for page in pages],
            # Who waits for the run alone hears of what names no worker.
            "news": [f"{page.turn.run} {'' if page.end else self._worker}" for page in pages],
            "channel": RUN_CHANGES,
            "worker": self._worker,
        }
        statement = _WRITE_STEPS
        if any(page.end or page.inner or page.logs or page.shares for page in pages):
            statement = _WRITE_ALL
            given |= _more(pages)
        found = await self._writer.write(statement, given)
        return {RunName(org, run): sequence for org, run, sequence in found}

    async def close(self) -> None:
        """Close the connection."""
        await self._writer.close()


async def steps_since(connection: AsyncConnection, run: RunName, sequence: int) -> list[StepRun]:
    """Read the steps of a run that changed after a sequence, in the order in which they began."""
    key = {"org": run.org, "run": run.run, "since": sequence}
    return [_step(row) for row in await connection.execute(_STEPS, key)]


def _more(pages: Sequence[Page]) -> dict[str, Any]:
    counters: list[dict[str, Any]] = []
    grants: list[dict[str, Any]] = []
    for page in pages:
        run = {"org": page.turn.run.org, "run": page.turn.run.run}
        for share in page.shares:
            counters.append(run | asdict(share.counted_for) | asdict(share.counted))
            used = run | {"installation": share.counted_for.installation, "last_used": share.counted.last_used}
            grants.extend(used | {"granted": grant} for grant in share.grants)
    inner = [inner_columns(page.turn.run, *placed) for page in pages for placed in page.inner]
    ended = [run_columns(page.end) for page in pages if page.end]
    logs = [log_columns(page.turn.run, lines, step, attempt) for page in pages for step, attempt, lines in page.logs]
    rows = {"ended": ended, "inner": inner, "logs": logs, "counters": counters, "grants": grants}
    return {name: _json(value) for name, value in rows.items()}


def _json(value: Any) -> str:
    return to_json(value).decode()


def _columns(step: StepRun) -> dict[str, Any]:
    return {
        "step": step.step,
        "number": step.number,
        "action": step.action,
        "release": step.release,
        "state": step.state,
        "attempts": step.attempts,
        "waits": step.waits,
        "shown": _json(step.shown),
        "decision": None if step.decision is None else DECISION.dump_json(step.decision).decode(),
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
        "plan": step.plan,
        "child": step.child,
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
        None if row.decision_json is None else DECISION.validate_json(row.decision_json),
        row.due_at,
        None if row.output_json is None else from_json(row.output_json),
        Failure(row.reason, row.message, row.place, row.fix, row.facts),
        row.started_at,
        row.duration_us,
        USAGE.validate_json(row.usage_json),
        row.plan,
        row.child,
    )
