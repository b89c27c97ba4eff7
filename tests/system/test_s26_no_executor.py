"""S26: no executor and a full queue are told apart, within a second, and nothing waits for a minute."""

import asyncio
import uuid

import pytest
from demo.daemon import Process

from hardpoint_client import Agent
from hardpoint_kit.errors import HardpointError

from .conftest import System, add_file, eventually

SPIN = b"""
export default {
  id: 'spinner', name: 'Spinner', version: '1.0.0',
  actions: { async spin(input) { for (;;) {} }, async once(input) { return { turns: 1 }; } },
  permissions: ['compute.moderate']
};
"""


# Four jails, of which one organisation gets three, and a short queue.
FEW = {
    "HARDPOINT_EXECUTOR_JAILS_RUNNING": "4",
    "HARDPOINT_EXECUTOR_JAILS_WAITING": "1",
    "HARDPOINT_EXECUTOR_QUEUE": "2",
}


@pytest.mark.jail
@pytest.mark.topology("many")
async def test_stopped_and_busy(system: System) -> None:
    agents = []
    for org in ("flood", "acme"):
        client = system.client(f"{org}-{uuid.uuid4().hex[:8]}")
        agents.append(Agent(client, "helper"))
        await agents[-1].create()
        await add_file(client, agents[-1], SPIN, "spinner.js")
    agent, other = agents

    async def works() -> bool:
        return (await other.execute("spinner.once")).success

    async with system.changed("executor", works, **FEW) as executor:
        await _flooded(agent, other)
        await _without(executor, agent)


async def _flooded(agent: Agent, other: Agent) -> None:
    calls = [asyncio.create_task(_failed(agent)) for _ in range(8)]
    done, running = await asyncio.wait(calls, timeout=8, return_when=asyncio.FIRST_COMPLETED)
    refused = [task.result() for task in done]
    assert refused, "with three jails and a queue of two, three of eight calls have to be refused"
    assert {error.reason for error in refused} == {"QUEUE_FULL"}, refused
    assert all(error.code.name == "RESOURCE_EXHAUSTED" and error.retry_after for error in refused)

    for _ in range(5):
        assert (await other.execute("spinner.once")).data == {"turns": 1}
    assert not all(task.done() for task in running), "the flood went on meanwhile"
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def _without(executor: Process, agent: Agent) -> None:
    await executor.kill()

    async def told() -> bool:
        error = await _failed(agent, seconds=2)
        assert error.code.name == "UNAVAILABLE", "due within a second, two on a busy machine; later it is another error"
        return error.reason == "NO_EXECUTOR"  # what was on its way to it when it died is lost, which is said first

    await eventually(told)

    await executor.start()

    async def runs_again() -> bool:
        error = await _failed(agent, seconds=1)
        return error.reason in {"DEADLINE_EXCEEDED", "TIMEOUT"}  # it spins until its deadline

    await eventually(runs_again, seconds=10)


async def _failed(agent: Agent, seconds: float = 30) -> HardpointError:
    """The error of a call, which has so many seconds."""
    with pytest.raises(HardpointError) as failed:
        await agent._client.call(agent.id, "spinner.spin", seconds=seconds)
    return failed.value
