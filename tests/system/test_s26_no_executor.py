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
  actions: { async spin(input) { for (;;) {} } },
  permissions: ['compute.moderate']
};
"""


@pytest.fixture
async def apart():
    """Units in processes of their own, with one jail and a short queue."""
    deployment = new_deployment("s26", True, executor_jails_running=1, executor_jails_waiting=1, executor_queue=1)
    await deployment.start()
    token = DevKeys(deployment.state / "keys").mint("tester", "acme", ["admin"])
    async with Hardpoint(Login(deployment.address, token, deployment.addresses())) as client:
        yield deployment, client
    await deployment.stop()
    remove(deployment)


@pytest.mark.jail
@pytest.mark.xdist_group("system-many")
async def test_stopped_and_busy(apart):
    deployment, client = apart
    agent = Agent(client, "helper")
    await agent.create()
    await add_file(client, agent, SPIN, "spinner.js")

    calls = [asyncio.create_task(_timed(agent)) for _ in range(6)]
    done, running = await asyncio.wait(calls, timeout=8, return_when=asyncio.FIRST_COMPLETED)
    refused = [task.result() for task in done]
    assert refused, "with one jail and a queue of one, four of six calls have to be refused"
    assert {error.reason for error, _ in refused} == {"QUEUE_FULL"}, refused
    assert all(error.code.name == "RESOURCE_EXHAUSTED" and error.retry_after for error, _ in refused)
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
