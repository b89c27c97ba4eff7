"""S26: no executor and a full queue are told apart, within a second, and nothing waits for a minute."""

import asyncio
import time

import pytest

from hardpoint_client import Agent, Hardpoint, Login
from hardpoint_kit.auth import DevKeys

from .conftest import add_file, eventually, new_deployment, remove

SPIN = b"""
export default {
  id: 'spinner', name: 'Spinner', version: '1.0.0',
  actions: { async spin(input) { for (;;) {} }, async once(input) { return { turns: 1 }; } },
  permissions: ['compute.moderate']
};
"""


@pytest.fixture
async def apart():
    """Units in processes of their own, with four jails, of which one organisation gets three, and a short queue."""
    deployment = new_deployment("s26", True, executor_jails_running=4, executor_jails_waiting=1, executor_queue=2)
    await deployment.start()
    logins = [
        Login(
            deployment.address,
            DevKeys(deployment.state / "keys").mint("tester", org, ["admin"]),
            deployment.addresses(),
        )
        for org in ("flood", "acme")
    ]
    async with Hardpoint(logins[0]) as flood, Hardpoint(logins[1]) as acme:
        yield deployment, flood, acme
    await deployment.stop()
    remove(deployment)


@pytest.mark.jail
async def test_stopped_and_busy(apart):
    deployment, *clients = apart
    agents = [Agent(client, "helper") for client in clients]
    for client, agent in zip(clients, agents, strict=True):
        await agent.create()
        await add_file(client, agent, SPIN, "spinner.js")
    agent, other = agents

    calls = [asyncio.create_task(_timed(agent)) for _ in range(8)]
    done, running = await asyncio.wait(calls, timeout=8, return_when=asyncio.FIRST_COMPLETED)
    refused = [task.result() for task in done]
    assert refused, "with three jails and a queue of two, three of eight calls have to be refused"
    assert {error.reason for error, _ in refused} == {"QUEUE_FULL"}, refused
    assert all(error.code.name == "RESOURCE_EXHAUSTED" and error.retry_after for error, _ in refused)

    for _ in range(5):
        assert (await other.execute("spinner.once")).data == {"turns": 1}
    assert not all(task.done() for task in running), "the flood went on meanwhile"
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)

    await deployment.processes["executor"].kill()
    error, seconds = await _timed(agent)
    assert error.reason == "NO_EXECUTOR"
    assert error.code.name == "UNAVAILABLE"
    assert seconds < 5, "the answer is due within a second; five allow for a busy machine"

    await deployment.processes["executor"].start()

    async def runs_again() -> bool:
        error, _ = await _timed(agent, seconds=3)
        return error.reason in {"DEADLINE_EXCEEDED", "TIMEOUT"}  # it spins until its deadline

    await eventually(runs_again, seconds=10)


async def _timed(agent: Agent, seconds: float = 30):
    started = time.monotonic()
    try:
        await agent._client.call(agent.id, "spinner.spin", seconds=seconds)
    except Exception as error:
        return error, time.monotonic() - started
    raise AssertionError("a loop without an end cannot answer")
