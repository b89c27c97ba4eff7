"""Agents as operators see them."""

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from hardpoint.runtime.v1 import agent_pb2
from hardpoint_kit.errors import AlreadyExists, Conflict, InvalidArgument, NotFound, PermissionDenied, StaleEtag
from hardpoint_kit.rpc.server import Server
from runtime.conftest import AGENT, TOOL, Client, Dial, Query


async def test_an_agent_is_made_shown_and_removed(client: Client) -> None:
    made = await client.create_agent(agent=agent_pb2.Agent(description="answers questions"))
    assert (made.name, made.display_name, made.description) == (AGENT, "helper", "answers questions")
    assert made.state == agent_pb2.AGENT_STATE_ACTIVE
    assert await client.agents.GetAgent(agent_pb2.GetAgentRequest(name=AGENT)) == made

    await client.agents.DeleteAgent(agent_pb2.DeleteAgentRequest(name=AGENT))
    with pytest.raises(NotFound):
        await client.agents.GetAgent(agent_pb2.GetAgentRequest(name=AGENT))
    assert await client.events() == [f"agent.create {AGENT}", f"agent.delete {AGENT}"]


async def test_an_agent_that_exists_is_not_made_again(client: Client) -> None:
    await client.create_agent()
    with pytest.raises(AlreadyExists) as refused:
        await client.create_agent()
    assert refused.value.fix


async def test_the_same_request_id_gives_the_first_answer(client: Client) -> None:
    first = await client.create_agent(request_id="one")
    assert await client.create_agent(request_id="one") == first
    with pytest.raises(InvalidArgument) as refused:
        await client.create_agent("other", request_id="one")
    assert refused.value.reason == "REQUEST_ID_REUSED"

    remove = agent_pb2.DeleteAgentRequest(name=AGENT, request_id="two")
    await client.agents.DeleteAgent(remove)
    await client.agents.DeleteAgent(remove)


async def test_a_mask_and_an_etag_guard_an_update(client: Client) -> None:
    made = await client.create_agent()
    patch = agent_pb2.Agent(name=AGENT, display_name="Helper", description="not in the mask", etag=made.etag)
    update = agent_pb2.UpdateAgentRequest(agent=patch, update_mask=FieldMask(paths=["display_name"]))
    changed = await client.agents.UpdateAgent(update)
    assert (changed.display_name, changed.description) == ("Helper", "")
    assert changed.etag != made.etag
    with pytest.raises(StaleEtag):
        await client.agents.UpdateAgent(update)
    update.update_mask.paths[:] = ["state"]
    update.agent.etag = changed.etag
    with pytest.raises(InvalidArgument):
        await client.agents.UpdateAgent(update)


async def test_an_agent_is_paused_and_resumed_once(client: Client) -> None:
    await client.create_agent()
    with pytest.raises(Conflict, match="is ACTIVE already") as active:
        await client.agents.ResumeAgent(agent_pb2.ResumeAgentRequest(name=AGENT))
    assert active.value.fix
    paused = await client.agents.PauseAgent(agent_pb2.PauseAgentRequest(name=AGENT))
    assert paused.state == agent_pb2.AGENT_STATE_PAUSED
    with pytest.raises(Conflict) as refused:
        await client.agents.PauseAgent(agent_pb2.PauseAgentRequest(name=AGENT))
    assert refused.value.metadata["state"] == "PAUSED"
    resumed = await client.agents.ResumeAgent(agent_pb2.ResumeAgentRequest(name=AGENT))
    assert resumed.state == agent_pb2.AGENT_STATE_ACTIVE


async def test_agents_are_listed_by_name_in_pages(client: Client) -> None:
    for name in ("c", "a", "b"):
        await client.create_agent(name)
    request = agent_pb2.ListAgentsRequest(parent="orgs/acme", page_size=2)
    first = await client.agents.ListAgents(request)
    assert [agent.name for agent in first.agents] == ["orgs/acme/agents/a", "orgs/acme/agents/b"]
    request.page_token = first.next_page_token
    last = await client.agents.ListAgents(request)
    assert [agent.name for agent in last.agents] == ["orgs/acme/agents/c"]
    assert last.next_page_token == ""


async def test_a_page_token_of_another_list_is_refused(client: Client) -> None:
    for name in ("a", "b"):
        await client.create_agent(name)
    token = (
        await client.agents.ListAgents(agent_pb2.ListAgentsRequest(parent="orgs/acme", page_size=1))
    ).next_page_token
    with pytest.raises(InvalidArgument) as refused:
        await client.agents.ListAttachments(
            agent_pb2.ListAttachmentsRequest(parent="orgs/acme/agents/a", page_token=token)
        )
    assert refused.value.reason == "PAGE_TOKEN_MISMATCH"


async def test_another_org_sees_nothing(attached: Client, server: Server, dial: Dial, query: Query) -> None:
    stranger = dial(server, "umbrella")
    for call in (
        stranger.agents.GetAgent(agent_pb2.GetAgentRequest(name=AGENT)),
        stranger.call(),
        stranger.tools(),
        stranger.attach(),
    ):
        with pytest.raises(NotFound):
            await call
    for table in ("agents", "installations", "attachments", "runs", "usage_counters", "announcements"):
        assert await query(f"SELECT count(*) FROM {table}", org="umbrella") == [(0,)]
    assert await query("SELECT count(*) FROM attachments", org="acme") == [(1,)]


async def test_a_viewer_reads_and_does_not_write(attached: Client, server: Server, dial: Dial) -> None:
    viewer = dial(server, role="viewer")
    assert (await viewer.agents.GetAgent(agent_pb2.GetAgentRequest(name=AGENT))).name == AGENT
    with pytest.raises(PermissionDenied):
        await viewer.create_agent("other")
    with pytest.raises(PermissionDenied):
        await viewer.call()


async def test_an_agent_calls_and_manages_nothing(attached: Client, server: Server, dial: Dial) -> None:
    agent = dial(server, role="agent")
    assert await agent.tools() == [TOOL]
    await agent.call()
    with pytest.raises(PermissionDenied):
        await agent.detach()
    with pytest.raises(PermissionDenied):
        await agent.install()
