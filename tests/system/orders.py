"""What the tests of workflows share: capabilities with an effect, a workflow of orders, and following a run."""

import asyncio
import uuid
from collections.abc import Sequence

from hardpoint.runtime.v1 import run_pb2
from hardpoint_client import Agent, Hardpoint
from hardpoint_kit.documents import to_struct

from .conftest import http_capability

ENDED = {run_pb2.RUN_STATE_SUCCEEDED, run_pb2.RUN_STATE_FAILED, run_pb2.RUN_STATE_CANCELLED}


def effect(id: str, url: str, inputs: Sequence[object] = (), **integration: object) -> dict[str, object]:
    """A capability whose action `get` posts to a URL."""
    capability = http_capability(url, integration={"method": "POST", **integration}, id=id)
    capability["actions"] = [{"id": "get", "name": "Do it", "inputs": list(inputs)}]
    return capability


def orders(*steps: dict[str, object], **workflow: object) -> dict[str, object]:
    """A workflow of these steps."""
    return {
        "id": "orders",
        "name": "Orders",
        "version": "1.0.0",
        "description": "What becomes of an order",
        "type": "workflow",
        "permissions": ["network.http.post"],
        "hosts": ["upstream.test"],
        "workflow": {"steps": list(steps), **workflow},
    }


async def start(client: Hardpoint, agent: Agent, **value: object) -> run_pb2.Run:
    request = run_pb2.StartRunRequest(
        agent=agent.name, action="orders.run", input=to_struct(value), request_id=uuid.uuid4().hex
    )
    return await client.runs.StartRun(request)


async def until(client: Hardpoint, run: str, *states: int) -> run_pb2.Run:
    """Follow a run, over streams that break, until it is in one of the states."""
    wanted = set(states) or ENDED
    async with asyncio.timeout(60):
        while True:
            try:
                async for change in client.runs.WatchRun(run_pb2.WatchRunRequest(name=run)):
                    if change.run.state in wanted:
                        return await client.runs.GetRun(run_pb2.GetRunRequest(name=run))
            except Exception:
                await asyncio.sleep(0.1)
