"""A release is immutable; the same version with other bytes is refused with the way out."""

import pytest

from hardpoint.runtime.v1 import agent_pb2
from hardpoint_kit.errors import AlreadyExists

from .conftest import EXAMPLES

FILE = "weather-capability.yaml"


async def test_the_same_version_with_other_bytes_is_refused(client):
    data = (EXAMPLES / FILE).read_bytes()
    pushed = await client.push(data, FILE)
    await client.publish(pushed.release.name)
    with pytest.raises(AlreadyExists) as refused:
        await client.push(data + b"\n# edited\n", FILE)
    assert refused.value.reason == "RELEASE_EXISTS"
    assert "version" in refused.value.fix


async def test_a_request_that_is_repeated_has_one_effect(client):
    request = agent_pb2.CreateAgentRequest(parent=client.org, agent_id="once", request_id="the-same-id")
    first = await client.agents.CreateAgent(request)
    second = await client.agents.CreateAgent(request)
    assert first == second
    assert len((await client.agents.ListAgents(agent_pb2.ListAgentsRequest(parent=client.org))).agents) == 1
