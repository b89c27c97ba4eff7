"""M16 on a running system: what agents used of their grants is told apart from what was only granted."""

import pytest

from hardpoint.manifest.v1 import manifest_pb2
from hardpoint.runtime.v1 import installation_pb2

from .conftest import System, http_capability

pytestmark = pytest.mark.jail


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
