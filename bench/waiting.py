"""What thousands of runs that wait cost: memory, and how late a wait that is over is picked up beside them."""

import asyncio
import itertools
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack

from sqlalchemy import text

from bench.capabilities import workflow
from bench.deployment import Measured
from bench.measure import Times
from bench.memory import memory_of
from bench.report import Report
from hardpoint.runtime.v1 import agent_pb2, run_pb2
from hardpoint_client import Agent, Hardpoint
from hardpoint_kit.caller import ANY_ORG
from hardpoint_kit.database import Database
from hardpoint_kit.documents import to_struct
from hardpointd.postgres import EmbeddedPostgres, ensure_database

MOST = 10_000
MAKE_SECONDS = 15.0
"""For as many as there is time for; the rest are copies of their rows, which is all that a run that waits is."""
ORGS = 8
"""One org's runs are walked eight at a time."""
BATCH = 64
LOOK_SECONDS = 0.1
BRIEF_SECONDS = 2
"""Of a wait that is picked up: longer than one that a stretch sits out."""
BRIEF = 12
APART_SECONDS = 0.25
SLEEPER = workflow("sleeper", {"id": "sleep", "action": "wait", "seconds": 86_400})
BRIEFLY = workflow("briefly", {"id": "sleep", "action": "wait", "seconds": BRIEF_SECONDS})

_COPIED = """
    CREATE TEMPORARY TABLE copied ON COMMIT DROP AS
    SELECT org, run, run || '-' || n AS copy FROM runs, generate_series(1, 1 + :more / greatest(1, (
        SELECT count(*) FROM runs WHERE state = 'WAITING'))) n WHERE state = 'WAITING' LIMIT :more
"""
_COPY_ROWS = """
    INSERT INTO {0} SELECT (jsonb_populate_record(t, jsonb_build_object('run', copy))).*
    FROM {0} t JOIN copied USING (org, run)
"""
_COPY_QUEUED = """
    INSERT INTO dbos.{0}
    SELECT (jsonb_populate_record(t, jsonb_build_object('workflow_uuid', org || '/' || copy || '/2'))).*
    FROM dbos.{0} t JOIN copied ON t.workflow_uuid = org || '/' || run || '/2'
"""
_COPY = [
    text(_COPIED),
    *(text(_COPY_ROWS.format(table)) for table in ("runs", "workflows", "steps")),
    *(text(_COPY_QUEUED.format(table)) for table in ("workflow_status", "workflow_input")),
]
_WAITING = text("SELECT count(*) FROM runs WHERE state = 'WAITING'")

Place = tuple[Hardpoint, str]
"""A client of an org, and an agent there."""


async def waiting(run: Measured, report: Report) -> None:
    """Pick up a dozen waits, have the others wait, and pick up a dozen again."""
    await run.add("briefly", BRIEFLY, "w.json")
    async with AsyncExitStack() as stack:
        places = [await _place(await stack.enter_async_context(run.client_of(f"waits-{n}"))) for n in range(ORGS)]
        alone = await _late(run)
        before = memory_of(run.daemon)
        made, seconds = await _made(places)
        held = await _copied(run, MOST - made)
        after = memory_of(run.daemon)
        beside = await _late(run)
    report.heading("runs that wait")
    report.add("waiting.runs", held, "runs")
    report.add("waiting.made", made / seconds, "runs/s")
    report.add("waiting.rss_before", before.rss, "MiB")
    report.add("waiting.rss", after.rss, "MiB", "waiting.rss_before")
    report.add("waiting.late_alone.p50", alone.p50, "ms")
    report.add("waiting.late_alone.worst", max(alone.milliseconds), "ms")
    report.add("waiting.late.p50", beside.p50, "ms", "waiting.late_alone.p50")
    report.add("waiting.late.worst", max(beside.milliseconds), "ms", "waiting.late_alone.worst")


async def _place(client: Hardpoint) -> Place:
    agent = Agent(client, "sleeper")
    await agent.create()
    release = await client.publish((await client.push(SLEEPER, "w.json")).release.name)
    installed = await client.install(release.name.partition("/releases/")[0], grants=release.manifest.authority)
    await client.attach(agent.id, installed.name)
    return client, agent.name


async def _made(places: Sequence[Place]) -> tuple[int, float]:
    """Start runs, in batches that wait before the next is started; how many, and in how many seconds."""
    began, made = time.perf_counter(), 0
    while made < MOST and time.perf_counter() - began < MAKE_SECONDS:
        turns = itertools.islice(itertools.cycle(places), min(BATCH, MOST - made))
        await asyncio.gather(
            *(
                client.runs.StartRun(run_pb2.StartRunRequest(agent=agent, action="sleeper.run"))
                for client, agent in turns
            )
        )
        made += min(BATCH, MOST - made)
        for client, _ in places:
            await _all_wait(client)
    return made, time.perf_counter() - began


async def _copied(run: Measured, more: int) -> int:
    """Copy the rows of runs that wait, so many in all; how many runs wait then."""
    async with EmbeddedPostgres(run.state) as server:
        database = Database(await ensure_database(server, "hardpoint_runtime"))
        async with database.transaction(ANY_ORG) as connection:
            for statement in _COPY:
                await connection.execute(statement, {"more": more})
            waiting = await connection.scalar(_WAITING)
        await database.close()
    return int(waiting)


async def _all_wait(client: Hardpoint) -> None:
    for state in (run_pb2.RUN_STATE_QUEUED, run_pb2.RUN_STATE_RUNNING):
        asked = run_pb2.ListRunsRequest(parent=client.org, state=state, page_size=1)
        while (await client.runs.ListRuns(asked)).runs:
            await asyncio.sleep(LOOK_SECONDS)


async def _late(run: Measured) -> Times:
    """Milliseconds from when a wait is over to the end of its run, one short wait after the other."""

    async def once(number: int) -> float:
        await asyncio.sleep(number * APART_SECONDS)
        call = agent_pb2.CallActionRequest(agent=run.agent.name, action="briefly.run", input=to_struct({}))
        name = (await run.client.agents.CallAction(call, timeout=60)).run
        ended = await run.client.runs.GetRun(run_pb2.GetRunRequest(name=name))
        (step,) = (await run.client.runs.ListSteps(run_pb2.ListStepsRequest(parent=name))).steps
        begun = step.start_time.ToMicroseconds() - ended.start_time.ToMicroseconds()
        return ended.duration_ms - begun / 1000 - BRIEF_SECONDS * 1000

    return Times(list(await asyncio.gather(*map(once, range(BRIEF)))))
