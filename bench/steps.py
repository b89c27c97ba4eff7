"""Runs of workflows next to bare DBOS: what the interpreter adds to a step beyond the execution of its action."""

import asyncio
import json
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from bench.capabilities import workflow
from bench.deployment import Measured
from bench.report import Report
from hardpoint.runtime.v1 import agent_pb2, run_pb2
from hardpoint_kit.documents import to_struct
from hardpoint_runtime.durable.stretches import database_of
from hardpointd.postgres import EmbeddedPostgres, ensure_database

GOAL = 1.5
"""A step takes at most so many bare ones of DBOS, beyond the execution of its action."""
STEPS = 20
TURNS = 8
AT_ONCE = 8
SHORT_RUNS = 32
START_SECONDS = 30.0
DOUBLED = {"action": "double-python.double", "n": 21}

Order = Callable[[int, int], Awaitable[dict[str, float]]]


async def steps(run: Measured, report: Report) -> None:
    """One run after the other, turn by turn with DBOS alone; then several at once."""
    for name, count in (("chain", STEPS), ("link", 1)):
        await run.add(name, workflow(name, *({"id": f"s{number}", **DOUBLED} for number in range(count))), "w.json")
    async with _floor(run) as order:
        await _one_by_one(run, order, report)
        await _at_once(run, order, report)


async def _one_by_one(run: Measured, order: Order, report: Report) -> None:
    bare, whole, executed = [], [], []
    await order(1, STEPS)
    await _steps_of(run, "chain")
    for _ in range(TURNS):
        bare.append((await order(1, STEPS))["step_ms"])
        found = await _steps_of(run, "chain")
        first, last = (step.start_time.ToMicroseconds() / 1000 for step in (found[0], found[-1]))
        whole.append((last - first) / (STEPS - 1))
        executed.append(statistics.mean(step.duration_ms for step in found))
    report.heading(f"one run of {STEPS} steps, next to bare DBOS")
    report.add("dbos.step", statistics.median(bare), "ms")
    report.add("step", statistics.median(whole), "ms", "dbos.step")
    report.add("step.executed", statistics.median(executed), "ms")
    beyond = statistics.median(one - other for one, other in zip(whole, executed, strict=True))
    report.add("step.beyond_execution", beyond, "ms", "dbos.step")
    ratio = report.figures["step.beyond_execution"].ratio or 0.0
    report.goal(
        f"a step takes at most {GOAL:g} bare steps of DBOS beyond its execution, and took {ratio:g}", ratio <= GOAL
    )


async def _at_once(run: Measured, order: Order, report: Report) -> None:
    """Ours execute their actions and come through the queue, which takes eight runs of an org at a time; DBOS's not."""
    report.heading("runs at once, next to bare DBOS")
    for name, unit, runs, count, counted in (
        ("chain", "steps", AT_ONCE, STEPS, AT_ONCE * STEPS),
        ("link", "runs", SHORT_RUNS, 1, SHORT_RUNS),
    ):
        bare, ours = [], []
        for _ in range(2):
            bare.append(counted / (await order(runs, count))["seconds"])
            began = time.perf_counter()
            await asyncio.gather(*(run.call(f"{name}.run", {}) for _ in range(runs)))
            ours.append(counted / (time.perf_counter() - began))
        report.add(f"dbos.{unit}_per_second", statistics.median(bare), f"{unit}/s")
        report.add(f"workflow.{unit}_per_second", statistics.median(ours), f"{unit}/s", f"dbos.{unit}_per_second")


async def _steps_of(run: Measured, name: str) -> list[run_pb2.Step]:
    """Run a workflow to its end; its steps in their order."""
    call = agent_pb2.CallActionRequest(agent=run.agent.name, action=f"{name}.run", input=to_struct({}))
    ended = await run.client.agents.CallAction(call, timeout=60)
    found = list((await run.client.runs.ListSteps(run_pb2.ListStepsRequest(parent=ended.run))).steps)
    if {step.state for step in found} != {run_pb2.RUN_STATE_SUCCEEDED}:
        raise RuntimeError(f"a run of {name} did not run well: {ended}")
    return found


@asynccontextmanager
async def _floor(run: Measured) -> AsyncIterator[Order]:
    """Bare DBOS in a database of its own on the same server: order runs and steps, and hear how long they took."""
    async with EmbeddedPostgres(run.state) as server:
        url = database_of(await ensure_database(server, "bench_floor"))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(Path(__file__).with_name("floor.py")), url),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        told, said = process.stdin, process.stdout

        async def order(runs: int, steps: int) -> dict[str, float]:
            told.write(json.dumps({"runs": runs, "steps": steps}).encode() + b"\n")
            answer: dict[str, float] = json.loads(await said.readline())
            return answer

        try:
            async with asyncio.timeout(START_SECONDS):
                while (line := await said.readline()) != b"ready\n":
                    if not line:
                        raise RuntimeError("bare DBOS does not start")
            yield order
        finally:
            told.close()
            await process.wait()
