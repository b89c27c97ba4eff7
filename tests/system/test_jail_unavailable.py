"""Where strangers' code cannot be jailed nothing runs: not code, and not requests without code either."""

import json
from pathlib import Path

import pytest
from demo.daemon import NOT_SERVING

from hardpoint.runtime.v1 import run_pb2
from hardpoint_client import Agent, Hardpoint
from hardpoint_kit.errors import HardpointError, Unavailable

from .conftest import System, add_file, eventually, http_capability
from .test_s01_create_and_call import run_cli

CODE = b"""
export default {
  id: 'greeter', name: 'Greeter', version: '1.0.0',
  actions: { async greet(input) { return { text: (await this.fetch('https://upstream.test/')).text } } },
  permissions: ['network.http.get'],
  hosts: ['upstream.test']
};
"""
ANSWER_SECONDS = 1


async def refused(agent: Agent, action: str) -> HardpointError:
    """Why a call is refused, by its deadline at the latest."""
    with pytest.raises(HardpointError) as raised:
        await agent._client.call(agent.id, action, seconds=ANSWER_SECONDS)
    return raised.value


@pytest.mark.jail
async def test_nothing_runs(system: System, client: Hardpoint, agent: Agent, org: str, tmp_path: Path) -> None:
    asked = system.upstream.serve((200, {"text": "hello"}))
    probe = json.dumps({"capability": http_capability(asked)}).encode()
    await add_file(client, agent, CODE.replace(b"https://upstream.test/", asked.encode()), "greeter.js")
    await add_file(client, agent, probe, "probe.json")
    actions = ("greeter.greet", "probe.get")

    async def runs() -> bool:
        return all([(await agent.execute(action)).success for action in actions])

    assert await runs()
    assert len(system.upstream.asked(asked)) == await recorded(client) == 2

    (tmp_path / "file").write_text("")
    rootfs = str(tmp_path / "file")  # a root folder that cannot be made: below a file
    ends = system.deployment.ends()
    async with system.changed("executor", runs, NOT_SERVING, HARDPOINT_EXECUTOR_ROOTFS=rootfs):
        log = system.deployment.log(ends)
        assert "readiness changed" in log
        assert "python cannot be jailed" in log

        async def reached() -> bool:
            return (await refused(agent, "probe.get")).reason == "JAIL_UNAVAILABLE"

        await eventually(reached, seconds=10)
        for action in actions:
            error = await refused(agent, action)
            assert (type(error), error.reason) == (Unavailable, "JAIL_UNAVAILABLE")
            assert "node cannot be jailed" in error.message
            assert error.metadata["check"].startswith("python cannot be jailed")
            assert error.fix
        assert len(system.upstream.asked(asked)) == await recorded(client) == 2

        diagnosis = await run_cli(system.cli_environment(org), "doctor", code=1)
        [ill] = [check for check in diagnosis["checks"] if not check["ok"]]
        assert ill["name"] == "executor"
        assert "[JAIL_UNAVAILABLE]" in ill["found"]
        assert "python cannot be jailed" in ill["found"]
        assert ill["fix"] == error.fix


async def recorded(client: Hardpoint) -> int:
    """How many runs the org has."""
    return len((await client.runs.ListRuns(run_pb2.ListRunsRequest(parent=client.org))).runs)
