"""S07: the runtime and the executor are killed in the middle of an effect; the run completes, and it happened once.

The effect is that of a workflow which a step of the run called.
"""

import asyncio
import json
import threading

from demo.upstreams import Asked

from hardpoint.runtime.v1 import run_pb2
from hardpoint_client import Agent, Hardpoint

from .conftest import System, add_file
from .orders import effect, orders, start, until


async def test_s07_killed_in_the_middle_of_an_effect(system: System, client: Hardpoint, agent: Agent) -> None:
    arrived, released = threading.Event(), threading.Event()
    effects: set[str] = set()

    def store(asked: Asked) -> tuple[int, object]:
        effects.add(asked.headers["idempotency-key"])
        arrived.set()
        released.wait(timeout=20)
        return 200, {"rows": 1}

    stored, mailed = system.upstream.serve(store), system.upstream.serve((200, {"sent": True}))
    for capability in (
        effect("table", stored, idempotency={"header": "Idempotency-Key"}),
        effect("mailer", mailed),
        {**orders({"id": "store", "action": "table.get"}), "id": "billing"},
        orders({"id": "bill", "action": "billing.run"}, {"id": "mail", "action": "mailer.get"}),
    ):
        await add_file(client, agent, json.dumps({"capability": capability}).encode(), f"{capability['id']}.json")
    run = await start(client, agent)
    try:
        assert await asyncio.to_thread(arrived.wait, 20)
        await system.kill("executor", "runtime")
    finally:
        released.set()
    ended = await until(client, run.name)
    assert ended.state == run_pb2.RUN_STATE_SUCCEEDED, ended
    assert len(effects) == 1
    billed = await client.runs.ListRuns(run_pb2.ListRunsRequest(parent=client.org, agent=agent.name))
    steps = (await client.runs.ListSteps(run_pb2.ListStepsRequest(parent=run.name))).steps
    assert [one.name for one in billed.runs if one.action == "billing.run"] == [steps[0].child]
    assert len(system.upstream.asked(mailed)) == 1
