"""How soon a run goes on when the process that walks it is killed and another one lives."""

import asyncio
import statistics
import time
from dataclasses import replace

from demo.daemon import Process, free_port
from sqlalchemy import TextClause, text

from bench.capabilities import workflow
from bench.deployment import Measured
from bench.report import Report
from hardpoint.runtime.v1 import run_pb2
from hardpoint_client import Hardpoint
from hardpoint_kit.caller import ANY_ORG
from hardpoint_kit.database import Database
from hardpointd.postgres import EmbeddedPostgres, ensure_database

GOAL = 5.0
"""Seconds from the kill to the end of the next step."""
TRIES = 3
NAPS = 90
MOST_RUNS = 10
"""Started until the process that is to be killed walks one; the other one may be faster."""
WAIT_SECONDS = 30.0
LOOK_SECONDS = 0.01
NAPPER = b"""
import time
from hardpoint_sdk import action, capability
capability(id="napper", name="Napper", version="1.0.0", description="Takes a tenth of a second")
@action(effect="read")
async def nap(self, input):
    time.sleep(0.1)
"""
_WORKERS = text("SELECT worker FROM workers")
_WALKER = text("SELECT worker FROM steps WHERE run = :run ORDER BY number DESC LIMIT 1")
_GONE_ON = text("SELECT true FROM steps WHERE run = :run AND worker <> :worker AND state = 'SUCCEEDED' LIMIT 1")


async def takeover(run: Measured, report: Report) -> None:
    """Kill -9 of a second process of the runtime, in the middle of a step, time and again."""
    await run.add("napper", NAPPER, "napper.py")
    await run.add("naps", workflow("naps", *({"id": f"s{n}", "action": "napper.nap"} for n in range(NAPS))), "w.json")
    async with EmbeddedPostgres(run.state) as server:
        database = Database(await ensure_database(server, "hardpoint_runtime"), pool_size=1)
        try:
            seconds = [await _try(run, database) for _ in range(TRIES)]
        finally:
            await database.close()
    report.heading("a runtime is killed")
    report.add("takeover.p50", statistics.median(seconds), "s")
    report.add("takeover.worst", max(seconds), "s")
    goal = f"of {TRIES} runs whose process is killed each has its next step done within {GOAL:g} s"
    report.goal(f"{goal}, the last after {max(seconds):.1f}", max(seconds) <= GOAL)


async def _try(run: Measured, database: Database) -> float:
    before = set(await _column(database, _WORKERS))
    second = _second(run)
    await second.start()
    started: list[str] = []
    try:
        (worker,) = set(await _column(database, _WORKERS)) - before
        async with Hardpoint(replace(run.client.login, addresses={"runtime": second.address})) as client:
            walked = await _walked_by(client, run, database, worker, started)
        await second.kill()
        killed = time.perf_counter()
        await _until(database, _GONE_ON, run=walked, worker=worker)
        return time.perf_counter() - killed
    finally:
        await second.kill()
        for name in started:
            await run.client.runs.CancelRun(run_pb2.CancelRunRequest(name=name))


def _second(run: Measured) -> Process:
    """A runtime and nothing else, over the same state, with the deployment's own units as its peers."""
    first = run.deployment.processes["runtime"]
    peers = {f"HARDPOINT_{unit.upper()}_ADDRESS": first.address for unit in first.units if unit != "runtime"}
    address = f"127.0.0.1:{free_port()}"
    return Process(
        ("runtime",), address, {**first.environment, **peers, "HARDPOINT_LISTEN": address}, run.state / "second.log"
    )


async def _walked_by(client: Hardpoint, run: Measured, database: Database, worker: str, started: list[str]) -> str:
    """The id of a run that this worker walks; runs of the other one are cancelled at once.

    Whoever is asked to start a run looks into the queue first, and mostly walks it: the worker, by this client.
    """
    request = run_pb2.StartRunRequest(agent=run.agent.name, action="naps.run")
    for _ in range(MOST_RUNS):
        name = (await client.runs.StartRun(request)).name
        started.append(name)
        id = name.rpartition("/")[2]
        if await _until(database, _WALKER, run=id) == worker:
            return id
        await run.client.runs.CancelRun(run_pb2.CancelRunRequest(name=started.pop()))
    raise RuntimeError(f"of {MOST_RUNS} runs the second process walked none")


async def _until(database: Database, query: TextClause, **given: str) -> object:
    """The first value that the query finds; raises RuntimeError when it finds none for too long."""
    ends = time.perf_counter() + WAIT_SECONDS
    while time.perf_counter() < ends:
        found = await _column(database, query, **given)
        if found:
            return found[0]
        await asyncio.sleep(LOOK_SECONDS)
    raise RuntimeError("a run does not go on")


async def _column(database: Database, query: TextClause, **given: str) -> list[str]:
    async with database.transaction(ANY_ORG) as connection:
        return list((await connection.scalars(query, given)).all())
