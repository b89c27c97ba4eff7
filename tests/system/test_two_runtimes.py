"""Two runtime processes over one database: what is attached at one is callable at the other, and gone as fast."""

import pytest
from demo.daemon import Process, free_port

from hardpoint_client import Agent, Hardpoint, Login

from .conftest import eventually, http_capability


@pytest.fixture
async def second(system, org, tmp_path):
    """A client and agent at a second runtime beside the deployment's own."""
    address = f"127.0.0.1:{free_port()}"
    first = system.deployment.processes["runtime"]
    peers = {
        f"HARDPOINT_{unit.upper()}_ADDRESS": place
        for unit, place in system.deployment.addresses().items()
        if unit != "runtime"
    }
    environment = {**first.environment, **peers, "HARDPOINT_LISTEN": address}
    process = Process(("runtime",), address, environment, tmp_path / "second.log")
    await process.start()
    addresses = {**system.deployment.addresses(), "runtime": address}
    async with Hardpoint(Login(address, system.token(org), addresses)) as client:
        yield Agent(client, "helper")
    await process.stop()


async def test_attach_and_detach_are_seen_at_both(system, client, agent, add, second):
    assert list(await second.tools()) == []
    await add(http_capability(system.upstream.serve((200, {"ok": True}))))

    async def callable_there() -> bool:
        return (await second.execute("probe.get")).error is None

    await eventually(callable_there, seconds=2)

    await client.detach(agent.id, "probe")

    async def gone_there() -> bool:
        response = await second.execute("probe.get")
        return response.error is not None and response.error.reason == "ACTION_NOT_ATTACHED"

    await eventually(gone_there, seconds=2)
    assert list(await second.tools()) == []
