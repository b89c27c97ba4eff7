"""S29 and S28: what the broker refuses ends the call with its own reason, stands in the log by name, and sends nothing.

The action asks for it in both tiers, in one process from Python (slots) and Node (single-use), in many from QuickJS
(slots) and strict Python (single-use); nobody in the jail says how the call ends.
"""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from hardpoint.manifest.v1 import manifest_pb2
from hardpoint_kit.errors import ActionFailed

from .conftest import Engine, System, add_file, http_capability

pytestmark = pytest.mark.jail
PYTHON = """
from hardpoint_sdk import action, capability

@capability(id="looker", name="Looker", version="1.0.0", ENGINE hosts=HOSTS, permissions=PERMISSIONS)
class Looker:
    @action
    async def look(self, input):
        for _ in range(input.get("times", 1)):
            page = await self.fetch(input["url"], method=input.get("method", "GET"))
        return {"status": page.status, "size": len(page.body)}
"""
JAVASCRIPT = """
export default {
  id: 'looker', name: 'Looker', version: '1.0.0', ENGINE hosts: HOSTS, permissions: PERMISSIONS,
  actions: {
    async look({ url, times = 1, method = 'GET' }) {
      let page;
      for (let n = 0; n < times; n += 1) page = await this.fetch(url, { method });
      return { status: page.status, size: (await page.bytes()).length };
    },
  },
};
"""


@dataclass
class Canary:
    """A server on loopback that nothing may reach."""

    port: int = 0
    connections: list[str] = field(default_factory=list)


@pytest.fixture
async def canary() -> AsyncIterator[Canary]:
    found = Canary()

    async def accept(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.connections.append(str(writer.get_extra_info("peername")))
        writer.close()

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        found.port = server.sockets[0].getsockname()[1]
        yield found


@pytest.fixture
async def looker(engine: Engine, client, agent, canary) -> None:
    """The capability in the language of an engine, installed with all that it asks for."""
    hosts = ["upstream.test", f"inside.rebind.test:{canary.port}", f"mixed.rebind.test:{canary.port}"]
    source = PYTHON if engine.ending == ".py" else JAVASCRIPT
    permissions = ["network.http.get", "compute.moderate"]
    code = source.replace("HOSTS", json.dumps(hosts)).replace("PERMISSIONS", json.dumps(permissions))
    await add_file(client, agent, engine.file(code), f"looker{engine.ending}")


def late(_asked):
    time.sleep(6)
    return 200, {}


async def test_eight_denials(system: System, agent, canary: Canary, looker: None, org: str) -> None:
    serve = system.upstream.serve
    one = serve((200, {}))
    mark, metadata = uuid.uuid4().hex, {"location": "http://169.254.169.254/latest/meta-data/"}
    cases = {
        "HOST_NOT_GRANTED": {"url": f"https://{mark}.test/"},
        "REDIRECT_REFUSED": {"url": serve(lambda _: (302, {}, metadata))},
        "ADDRESS_NOT_PUBLIC": {"url": f"https://inside.rebind.test:{canary.port}/"},
        "HOST_NOT_A_NAME": {"url": "http://2130706433/"},
        "USERINFO_REFUSED": {"url": "https://user:word@upstream.test/"},
        "BUDGET": {"url": one, "times": 11},
        "UPSTREAM_TIMEOUT": {"url": serve(late)},
        "RESPONSE_TOO_LARGE": {"url": serve((200, b"x" * 50_000_000))},
    }
    messages = set()
    for reason, input in cases.items():
        response = await agent.execute("looker.look", input)
        assert isinstance(response.error, ActionFailed), (reason, response)
        assert response.error.reason == reason, response.error
        assert response.run
        assert response.error.place.startswith("looker.")
        messages.add(response.error.message)
        if reason == "HOST_NOT_GRANTED":
            [operation] = json.loads(response.error.metadata["patch"])
            assert (operation["path"], operation["value"][-1]) == ("/hosts", f"{mark}.test")
    assert len(messages) == len(cases) == 8
    assert len(system.upstream.asked(one)) == 10
    assert canary.connections == []
    assert {entry["code"] for entry in refusals(system, org)} == set(cases)


@pytest.mark.parametrize(
    ("url", "reason", "named"),
    [
        ("http://169.254.169.254/latest/meta-data/", "HOST_NOT_A_NAME", "169.254.169.254"),
        ("http://127.0.0.1:5432/", "HOST_NOT_A_NAME", "127.0.0.1:5432"),
        ("http://[::1]:CANARY/", "HOST_NOT_A_NAME", "[::1]"),
        ("http://0x7f000001/", "HOST_NOT_A_NAME", "0x7f000001"),
        ("http://0177.0.0.1/", "HOST_NOT_A_NAME", "0177.0.0.1"),
        ("http://localhost:CANARY/", "HOST_NOT_A_NAME", "localhost"),
        ("https://metadata.google.internal/", "HOST_NOT_GRANTED", "metadata.google.internal"),
        ("https://mixed.rebind.test:CANARY/", "ADDRESS_NOT_PUBLIC", "mixed.rebind.test"),
        ("file:///etc/shadow", "URL_REFUSED", "file"),
        ("https://upstream.test@127.0.0.1:CANARY/", "USERINFO_REFUSED", "user information"),
    ],
)
async def test_what_lies_inside_is_named_in_the_log(
    system: System, agent, canary: Canary, looker: None, org: str, url: str, reason: str, named: str
) -> None:
    response = await agent.execute("looker.look", {"url": url.replace("CANARY", str(canary.port))})
    assert response.error.reason == reason, response.error
    assert canary.connections == []
    [entry] = refusals(system, org)
    assert (entry["code"], entry["org"], entry["capability"]) == (reason, org, f"orgs/{org}/capabilities/looker")
    assert named in entry["event"]
    assert entry["trace_id"]
    assert entry["execution"]
    assert entry["run"] == response.run
    assert entry["release"] == f"orgs/{org}/capabilities/looker/releases/1.0.0"
    assert entry["agent"]


async def test_a_method_without_its_permission_names_it(system: System, agent, looker: None) -> None:
    url = system.upstream.serve((200, {}))
    response = await agent.execute("looker.look", {"url": url, "method": "POST"})
    assert response.error.reason == "PERMISSION_NOT_GRANTED"
    assert response.error.metadata["permission"] == "network.http.post"
    [operation] = json.loads(response.error.metadata["patch"])
    assert operation["value"] == ["compute.moderate", "network.http.get", "network.http.post"]
    assert system.upstream.asked(url) == []


async def test_what_only_the_org_can_allow_has_no_patch(system: System, client, agent, add) -> None:
    """A declarative call whose host the org did not grant: the caller is told to grant it, the author nothing."""
    url = system.upstream.serve((200, {}))
    await add(http_capability(url), grants=manifest_pb2.Authority(permissions=["network.http.get"]))
    response = await agent.execute("probe.get")
    assert response.error.reason == "HOST_NOT_GRANTED"
    assert response.error.fix == 'grant "upstream.test" to the installation'
    assert "patch" not in response.error.metadata
    assert system.upstream.asked(url) == []


def refusals(system: System, org: str) -> list[dict]:
    """What the security log says of refusals to an org."""
    lines = [json.loads(line) for line in system.deployment.log().splitlines() if line.startswith("{")]
    return [line for line in lines if line["logger"] == "hardpoint.security" and line["org"] == org]
