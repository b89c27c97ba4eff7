"""S26: no executor and a full queue are told apart, within a second, and nothing waits for a minute.

A full queue in both tiers: in one process with the places there usually are, of slots (QuickJS), in many with few, of
jails for single use (Node). No executor in many alone: in one process it is there when anybody is.
"""

import asyncio
import uuid

import pytest
from demo.daemon import Process

from hardpoint_client import Agent
from hardpoint_kit.errors import HardpointError

from .conftest import System, add_file, eventually

SLEEPER = """
export default {
  id: 'sleeper', name: 'Sleeper', version: '1.0.0', ENGINE
  actions: {
    async sleep() { await new Promise((wake) => { setTimeout(wake, 60_000); }); },
    async once() { return { turns: 1 }; },
  },
  permissions: ['compute.moderate']
};
"""
SECOND = 1.0
"""What a caller has who is to be told within a second: later it is another error."""


# Four jails, of which one organisation gets three, and a short queue.
FEW = {
    "HARDPOINT_EXECUTOR_JAILS_RUNNING": "4",
    "HARDPOINT_EXECUTOR_JAILS_WAITING": "1",
    "HARDPOINT_EXECUTOR_QUEUE": "2",
}


@pytest.fixture
async def agents(system: System) -> list[Agent]:
    """Those of two organisations, with code that sleeps."""
    agents = []
    for org in ("flood", "acme"):
        client = system.client(f"{org}-{uuid.uuid4().hex[:8]}")
        agents.append(Agent(client, "helper"))
        await agents[-1].create()
        engine = "engine: 'quickjs'," if system.whole else ""
        await add_file(client, agents[-1], SLEEPER.replace("ENGINE", engine).encode(), "sleeper.js")
    return agents


@pytest.mark.jail
@pytest.mark.topology("one")
async def test_all_slots_busy(system: System, agents: list[Agent]) -> None:
    await _flooded(*agents, calls=44)  # six of the eight slots, a queue of 32, and more


@pytest.mark.jail
@pytest.mark.topology("many")
async def test_stopped_and_busy(system: System, agents: list[Agent]) -> None:
    agent, other = agents

    async def works() -> bool:
        return (await other.execute("sleeper.once")).success

    async with system.changed("executor", works, **FEW) as executor:
        await _flooded(agent, other, calls=8)  # three jails, a queue of two, and more
        await _without(executor, agent)


async def _flooded(agent: Agent, other: Agent, *, calls: int) -> None:
    flood = [asyncio.create_task(_failed(agent)) for _ in range(calls)]
    done, running = await asyncio.wait(flood, timeout=8, return_when=asyncio.FIRST_COMPLETED)
    refused = [task.result() for task in done]
    assert refused, "there are more calls than places"
    assert {error.reason for error in refused} == {"QUEUE_FULL"}, refused
    assert all(error.code.name == "RESOURCE_EXHAUSTED" and error.retry_after for error in refused)

    async def told() -> bool:
        return (await _failed(agent, SECOND)).reason == "QUEUE_FULL"

    await eventually(told)

    for _ in range(5):
        assert (await other.execute("sleeper.once")).data == {"turns": 1}
    assert not all(task.done() for task in running), "the flood went on meanwhile"
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def _without(executor: Process, agent: Agent) -> None:
    await executor.kill()

    async def told() -> bool:
        error = await _failed(agent, SECOND)
        return error.reason == "NO_EXECUTOR"  # what was on its way to it when it died is lost, which is said first

    await eventually(told)

    await executor.start()

    async def runs_again() -> bool:
        error = await _failed(agent, SECOND)
        return error.reason in {"DEADLINE_EXCEEDED", "TIMEOUT"}  # it sleeps until its deadline

    await eventually(runs_again, seconds=10)


async def _failed(agent: Agent, seconds: float = 30) -> HardpointError:
    """The error of a call, which has so many seconds."""
    with pytest.raises(HardpointError) as failed:
        await agent._client.call(agent.id, "sleeper.sleep", seconds=seconds)
    return failed.value
