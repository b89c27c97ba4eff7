"""Where strangers' code cannot be jailed nothing runs: not code, and not requests without code either."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from demo.daemon import NOT_SERVING, SERVING, Deployment
from demo.upstreams import Upstream, upstream

from hardpoint.runtime.v1 import run_pb2
from hardpoint_client import Agent, Hardpoint, Login
from hardpoint_kit.auth import DevKeys
from hardpoint_kit.errors import HardpointError, Unavailable

from .conftest import UPSTREAM, add_file, eventually, http_capability, new_deployment, remove
from .test_s01_create_and_call import run_cli

CODE = b"""
export default {
  id: 'greeter', name: 'Greeter', version: '1.0.0',
  actions: { async greet(input) { return { text: (await this.fetch('https://upstream.test/code')).text } } },
  permissions: ['network.http.get'],
  hosts: ['upstream.test']
};
"""
PROBE = json.dumps({"capability": http_capability(f"https://{UPSTREAM}/http")}).encode()
ROOTFS = "HARDPOINT_EXECUTOR_ROOTFS"
ANSWER_SECONDS = 1


@pytest.fixture
def outside() -> Iterator[Upstream]:
    with upstream(lambda _asked: (200, {"text": "hello"})) as served:
        yield served


@pytest.fixture
async def deployment(topology: str, outside: Upstream) -> AsyncIterator[Deployment]:
    """A Hardpoint of the test's own, whose executor can be started again with other options."""
    deployment = new_deployment(
        f"jail-{topology}", topology == "many", executor_host_aliases={UPSTREAM: outside.address}
    )
    await deployment.start()
    yield deployment
    await deployment.stop()
    remove(deployment)


async def refused(agent: Agent, action: str) -> HardpointError:
    """Why a call is refused, by its deadline at the latest."""
    with pytest.raises(HardpointError) as raised:
        await agent._client.call(agent.id, action, seconds=ANSWER_SECONDS)
    return raised.value


@pytest.mark.jail
async def test_nothing_runs(deployment: Deployment, outside: Upstream, tmp_path: Path) -> None:
    token = DevKeys(deployment.state / "keys").mint("tester", "acme", ["admin"])
    async with Hardpoint(Login(deployment.address, token, deployment.addresses())) as client:
        agent = Agent(client, "helper")
        await agent.create()
        await add_file(client, agent, CODE, "greeter.js")
        await add_file(client, agent, PROBE, "probe.json")
        actions = ("greeter.greet", "probe.get")
        for action in actions:
            assert (await agent.execute(action)).success
        asked, runs = len(outside.asked), await recorded(client)
        assert asked == runs == 2

        # A root folder that cannot be made: below a file.
        executor = deployment.processes["executor"]
        await executor.stop()
        (tmp_path / "file").write_text("")
        executor.environment[ROOTFS] = str(tmp_path / "file")
        before = len(executor.log.read_text())
        await executor.start(NOT_SERVING)
        log = executor.log.read_text()[before:]
        assert "readiness changed" in log
        assert "python cannot be jailed" in log

        async def reached() -> bool:
            return (await refused(agent, "probe.get")).reason == "JAIL_UNAVAILABLE"

        await eventually(reached, seconds=10)  # channels to a process that was away are opened again by and by
        for action in actions:
            error = await refused(agent, action)
            assert (type(error), error.reason) == (Unavailable, "JAIL_UNAVAILABLE")
            assert "node cannot be jailed" in error.message
            assert error.metadata["check"].startswith("python cannot be jailed")
            assert error.fix
        assert len(outside.asked) == asked
        assert await recorded(client) == runs

        addresses = {f"HARDPOINT_{unit.upper()}_ADDRESS": at for unit, at in deployment.addresses().items()}
        login = {"HARDPOINT_ADDRESS": deployment.address, "HARDPOINT_TOKEN": token, **addresses}
        diagnosis = await run_cli(login, "doctor", code=1)
        [ill] = [check for check in diagnosis["checks"] if not check["ok"]]
        assert ill["name"] == "executor"
        assert "[JAIL_UNAVAILABLE]" in ill["found"]
        assert "python cannot be jailed" in ill["found"]
        assert ill["fix"] == error.fix

        await executor.stop()
        del executor.environment[ROOTFS]
        await executor.start(SERVING)

        async def runs_again() -> bool:
            return all([(await agent.execute(action)).success for action in actions])

        await eventually(runs_again, seconds=10)


async def recorded(client: Hardpoint) -> int:
    """How many runs the org has."""
    return len((await client.runs.ListRuns(run_pb2.ListRunsRequest(parent=client.org))).runs)
