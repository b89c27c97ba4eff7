"""M16 on a running system: what agents used of their grants is told apart from what was only granted."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from hardpoint.manifest.v1 import manifest_pb2
from hardpoint.runtime.v1 import installation_pb2
from hardpoint_manifest.finding import PatchOp, apply_patch

from .conftest import System, http_capability

pytestmark = pytest.mark.jail


READER = """
import time

from hardpoint_sdk import action, capability


@capability(
    id="reader", name="Reader", version="1.0.0", description="Reads pages",
    hosts=HOSTS,
    permissions=PERMISSIONS,
    examples=[
        {"action": "read", "input": {"url": "URL"}, "expected_output": 200},
        {"action": "count", "input": {"text": "one two"}, "expected_output": 2},
    ],
)
class Reader:
    @action
    async def read(self, input):
        return (await self.fetch(input["url"])).status

    @action
    async def count(self, input):
        time.sleep(1.1)  # more than light computing may take, on any machine
        return len(input["text"].split())
"""
WIDE = {
    "hosts": ["spare.example.com", "upstream.test", "*.weather.com"],
    "permissions": ["network.http.get", "network.http.post", "file.temporary", "compute.moderate", "compute.heavy"],
}
BY_HAND = {"hosts": ["upstream.test"], "permissions": ["network.http.get", "compute.moderate"]}


@pytest.mark.parametrize("lists", [WIDE, BY_HAND], ids=["wide", "by-hand"])
async def test_the_observed_minimum_is_the_one_written_by_hand(
    system: System, org: str, tmp_path: Path, lists: dict[str, list[str]]
) -> None:
    url = system.upstream.serve((200, {}))
    source = READER.replace("HOSTS", json.dumps(lists["hosts"])).replace("URL", url)
    file = tmp_path / "reader.py"
    file.write_text(source.replace("PERMISSIONS", json.dumps(lists["permissions"])))
    program = Path(sys.executable).with_name("hardpoint")
    environment = {**os.environ, **system.cli_environment(org)}
    process = await asyncio.create_subprocess_exec(
        program, "test", str(file), "--observe", "--json", stdout=asyncio.subprocess.PIPE, env=environment
    )
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, said
    told = json.loads(said)["observed"]
    assert (told["runs"], told["complete"], told["never_run"]) == (2, True, [])
    assert apply_patch(lists, [PatchOp(**operation) for operation in told["patch"]]) == BY_HAND
    assert bool(told["patch"]) is (lists is WIDE)


async def test_what_was_granted_and_never_used_is_told(system: System, client, agent, add) -> None:
    url = system.upstream.serve((200, {"t": 1}))
    wide = http_capability(url, hosts=["spare.example.com"], permissions=["network.http.get", "network.http.post"])
    installation = await add(wide)
    assert (await agent.execute("probe.get")).error is None
    name = client.named("installations", installation)
    found = await client.installations.GetInstallation(installation_pb2.GetInstallationRequest(name=name))
    assert found.grants == manifest_pb2.Authority(
        permissions=["network.http.get", "network.http.post"], hosts=["spare.example.com", "upstream.test"]
    )
    assert {use.grant: use.execution_count for use in found.grant_uses} == {
        "network.http.get": 1,
        "network.http.post": 0,
        "spare.example.com": 0,
        "upstream.test": 1,
    }
