"""`hardpoint explain` on a running system: what was refused, by name, its line, and a patch that makes it work."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from hardpoint_kit.errors import ActionFailed
from hardpoint_manifest.finding import PatchOp, apply_patch

from .conftest import System, add_file, http_capability

pytestmark = pytest.mark.jail
PROBE = """
from hardpoint_sdk import action, capability


@capability(
    id="prober", name="Prober", version="1.0.0",
    hosts=["api.example.com"],
    permissions=["network.http.get", "compute.moderate"],
)
class Prober:
    @action
    async def attempt(self, input):
        if input["what"] == "fetch":
            await self.fetch(input["url"], method=input.get("method", "GET"))
        if input["what"] == "mount":
            import ctypes
            ctypes.CDLL(None).syscall(165, 0, 0, 0)
        if input["what"] == "fork":
            import os
            os.fork()
        if input["what"] == "read":
            open("/etc/shadow")
        if input["what"] == "many":
            self.log("x" * 70_000)
        return "done"
"""


async def told(system: System, org: str, run: str = "") -> dict[str, Any]:
    """What the command line says of a run: the last that failed, when none is named."""
    arguments = ("explain", *([run] if run else []), "--json")
    program = Path(sys.executable).with_name("hardpoint")
    environment = {**os.environ, **system.cli_environment(org)}
    process = await asyncio.create_subprocess_exec(program, *arguments, stdout=asyncio.subprocess.PIPE, env=environment)
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, said
    document: dict[str, Any] = json.loads(said)
    return document


async def test_what_a_jail_or_the_broker_refused_is_named(system: System, client, agent, org: str) -> None:
    await add_file(client, agent, PROBE.encode(), "prober.py")
    cases: list[tuple[dict[str, str], str, dict[str, str]]] = [
        ({"what": "fetch", "url": "https://evil.test/"}, "HOST_NOT_GRANTED", {"host": "evil.test"}),
        (
            {"what": "fetch", "url": "https://api.example.com/", "method": "POST"},
            "PERMISSION_NOT_GRANTED",
            {"method": "POST", "permission": "network.http.post"},
        ),
        ({"what": "mount"}, "VIOLATION", {"system call": "mount"}),
        ({"what": "fork"}, "PROCS", {"exception": "ProcessRefused", "limit": "1 process, 40 threads"}),
        ({"what": "read"}, "USER_ERROR", {"exception": "FileNotFoundError", "path": "/etc/shadow"}),
        ({"what": "many"}, "BUDGET", {"budget": "log_bytes"}),
    ]
    for input, reason, named in cases:
        response = await agent.execute("prober.attempt", input)
        assert isinstance(response.error, ActionFailed), (reason, response)
        why = (await told(system, org, response.run))["explanation"]
        assert (why["reason"], why["named"]) == (reason, named)
        assert why["caller"]
        assert why["author"]
        if reason == "HOST_NOT_GRANTED":
            assert why["place"].startswith("prober.py:14:")
            assert why["manifest_place"] == "prober.py:7:5"
            assert why["lines"] == ['hosts=["api.example.com", "evil.test"],']


async def test_the_patch_that_is_told_makes_it_work(system: System, client, agent, org: str) -> None:
    there = system.upstream.serve((200, {"t": 1})).replace("upstream.test", "api.weather.com")
    away = system.upstream.serve(lambda _: (302, {}, {"location": there}))
    document = {"capability": http_capability(away)}
    await add_file(client, agent, json.dumps(document).encode(), "probe.json")
    response = await agent.execute("probe.get")
    assert response.error.reason == "REDIRECT_REFUSED"
    why = (await told(system, org))["explanation"]
    assert why["named"]["host"] == "api.weather.com"
    assert why["manifest_path"] == "capability.hosts"
    assert why["manifest_place"] == ""  # the file has no hosts yet

    patched = apply_patch(document, [PatchOp(**operation) for operation in why["patch"]])
    patched["capability"] |= {"id": "probe-again"}
    before = len(system.weather.asked)
    await add_file(client, agent, json.dumps(patched).encode(), "probe.json")
    answered = await agent.execute("probe-again.get")
    assert answered.error is None or answered.error.reason == "UPSTREAM_ERROR", answered
    assert len(system.weather.asked) == before + 1
