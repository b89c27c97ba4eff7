"""Bare DBOS: workflows of steps that do nothing, in a process of their own, since DBOS is one for each process.

`python bench/floor.py URL` reads orders from its standard input, a line of JSON each, `{"runs": 8, "steps": 20}`; it
runs so many workflows at once and says how long all took and how long one step, from its begin to the next one's.
"""

import asyncio
import itertools
import json
import statistics
import sys
import time
from pathlib import Path

import uvloop
from dbos import DBOS, DBOSConfig, StepOptions

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "libs"), str(ROOT / "services")]

from hardpoint_runtime.durable.engine import DATABASE_CONNECTIONS  # noqa: E402 - the path comes first
from hardpoint_runtime.durable.serializer import JsonSerializer  # noqa: E402


@DBOS.workflow(name="floor")
async def _workflow(steps: int) -> list[float]:
    begun: list[float] = []

    async def step() -> str:
        begun.append(time.perf_counter())
        return "SUCCEEDED"

    for number in range(steps):
        await DBOS.run_step_async(StepOptions(name=f"step{number}"), step)
    return begun


async def _obey(runs: int, steps: int) -> dict[str, float]:
    began = time.perf_counter()
    handles = [await DBOS.start_workflow_async(_workflow, steps) for _ in range(runs)]
    begun = await asyncio.gather(*(handle.get_result() for handle in handles))
    seconds = time.perf_counter() - began
    between = [later - earlier for run in begun for earlier, later in itertools.pairwise(run)]
    return {"seconds": seconds, "step_ms": 1000 * statistics.mean(between) if between else 0.0}


async def _serve(url: str) -> None:
    DBOS(
        config=DBOSConfig(
            name="floor",
            system_database_url=url,
            serializer=JsonSerializer(),
            sys_db_pool_size=DATABASE_CONNECTIONS,
            enable_otlp=False,
            log_level="ERROR",
        )
    )
    DBOS.launch()
    print("ready", flush=True)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async for line in reader:
        print(json.dumps(await _obey(**json.loads(line))), flush=True)
    DBOS.destroy()


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1]))
