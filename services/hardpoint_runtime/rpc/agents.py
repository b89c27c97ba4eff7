"""Owns AgentService on the wire: agents, attachments, and the calls of agents."""

from hardpoint.runtime.v1 import agent_pb2, agent_pb2_grpc
from hardpoint_kit.caller import caller
from hardpoint_kit.documents import from_struct, to_struct
from hardpoint_kit.errors import HardpointError
from hardpoint_kit.idempotency import request_fingerprint
from hardpoint_kit.names import AgentName, AttachmentName, InstallationName, OrgName, ReleaseName, RunName, SettingsName
from hardpoint_runtime.domain.agents import Agent
from hardpoint_runtime.domain.attachments import AttachmentView
from hardpoint_runtime.domain.calls import Answer
from hardpoint_runtime.domain.executions import Alone, Taped
from hardpoint_runtime.domain.runs import Run
from hardpoint_runtime.domain.snapshot import Offer
from hardpoint_runtime.rpc.shared import (
    Context,
    authority_to_proto,
    context_from_proto,
    counters_to_proto,
    plan_to_proto,
    usage_to_proto,
    window,
)
from hardpoint_runtime.service.agents import Agents
from hardpoint_runtime.service.calls import Calls
from hardpoint_runtime.service.checking import Checking


class AgentRpc(agent_pb2_grpc.AgentServiceServicer):
    """AgentService over the use cases of agents and of their calls."""

    def __init__(self, agents: Agents, calls: Calls, checking: Checking) -> None:
        self._agents = agents
        self._calls = calls
        self._checking = checking

    async def CreateAgent(self, request: agent_pb2.CreateAgentRequest, context: Context) -> agent_pb2.Agent:
        """Make an agent."""
        name = AgentName(OrgName.parse(request.parent, "parent").org, request.agent_id)
        given = request.agent
        agent = await self._agents.create_agent(
            caller(context), name, given.display_name, given.description, request_fingerprint(request)
        )
        return agent_to_proto(agent)

    async def GetAgent(self, request: agent_pb2.GetAgentRequest, context: Context) -> agent_pb2.Agent:
        """Show an agent."""
        return agent_to_proto(await self._agents.get_agent(caller(context), AgentName.parse(request.name)))

    async def ListAgents(self, request: agent_pb2.ListAgentsRequest, context: Context) -> agent_pb2.ListAgentsResponse:
        """Show a page of agents."""
        parent = OrgName.parse(request.parent, "parent")
        page = await self._agents.list_agents(caller(context), parent, window(request, request))
        return agent_pb2.ListAgentsResponse(
            agents=map(agent_to_proto, page.items), next_page_token=page.next_page_token
        )

    async def UpdateAgent(self, request: agent_pb2.UpdateAgentRequest, context: Context) -> agent_pb2.Agent:
        """Change an agent's texts."""
        given = request.agent
        agent = await self._agents.update_agent(
            caller(context),
            AgentName.parse(given.name, "agent.name"),
            given.display_name,
            given.description,
            request.update_mask.paths,
            given.etag,
            request_fingerprint(request),
        )
        return agent_to_proto(agent)

    async def PauseAgent(self, request: agent_pb2.PauseAgentRequest, context: Context) -> agent_pb2.Agent:
        """Refuse an agent's calls."""
        name = AgentName.parse(request.name)
        return agent_to_proto(await self._agents.pause_agent(caller(context), name, request_fingerprint(request)))

    async def ResumeAgent(self, request: agent_pb2.ResumeAgentRequest, context: Context) -> agent_pb2.Agent:
        """Admit an agent's calls."""
        name = AgentName.parse(request.name)
        return agent_to_proto(await self._agents.resume_agent(caller(context), name, request_fingerprint(request)))

    async def DeleteAgent(
        self, request: agent_pb2.DeleteAgentRequest, context: Context
    ) -> agent_pb2.DeleteAgentResponse:
        """Remove an agent."""
        await self._agents.delete_agent(caller(context), AgentName.parse(request.name), request_fingerprint(request))
        return agent_pb2.DeleteAgentResponse()

    async def AttachCapability(
        self, request: agent_pb2.AttachCapabilityRequest, context: Context
    ) -> agent_pb2.Attachment:
        """Switch an installation on for an agent."""
        view = await self._agents.attach_capability(
            caller(context),
            AgentName.parse(request.parent, "parent"),
            InstallationName.parse(request.installation, "installation"),
            request.priority,
            request.require_approval,
            request_fingerprint(request),
        )
        return attachment_to_proto(view)

    async def GetAttachment(self, request: agent_pb2.GetAttachmentRequest, context: Context) -> agent_pb2.Attachment:
        """Show an attachment."""
        name = AttachmentName.parse(request.name)
        return attachment_to_proto(await self._agents.get_attachment(caller(context), name))

    async def ListAttachments(
        self, request: agent_pb2.ListAttachmentsRequest, context: Context
    ) -> agent_pb2.ListAttachmentsResponse:
        """Show a page of an agent's attachments."""
        agent = AgentName.parse(request.parent, "parent")
        page = await self._agents.list_attachments(caller(context), agent, window(request, request))
        return agent_pb2.ListAttachmentsResponse(
            attachments=map(attachment_to_proto, page.items), next_page_token=page.next_page_token
        )

    async def UpdateAttachment(
        self, request: agent_pb2.UpdateAttachmentRequest, context: Context
    ) -> agent_pb2.Attachment:
        """Switch or rank an attachment."""
        given = request.attachment
        view = await self._agents.update_attachment(
            caller(context),
            AttachmentName.parse(given.name, "attachment.name"),
            given.enabled,
            given.priority,
            given.require_approval,
            request.update_mask.paths,
            given.etag,
            request_fingerprint(request),
        )
        return attachment_to_proto(view)

    async def DetachCapability(
        self, request: agent_pb2.DetachCapabilityRequest, context: Context
    ) -> agent_pb2.DetachCapabilityResponse:
        """Switch an installation off for an agent."""
        name = AttachmentName.parse(request.name)
        await self._agents.detach_capability(caller(context), name, request_fingerprint(request))
        return agent_pb2.DetachCapabilityResponse()

    async def ListTools(self, request: agent_pb2.ListToolsRequest, context: Context) -> agent_pb2.ListToolsResponse:
        """Show what an agent may call."""
        offers = await self._calls.list_tools(caller(context), AgentName.parse(request.agent, "agent"))
        return agent_pb2.ListToolsResponse(tools=map(tool_to_proto, offers))

    async def CallAction(self, request: agent_pb2.CallActionRequest, context: Context) -> agent_pb2.CallActionResponse:
        """Run an action for an agent."""
        answer = await self._calls.call_action(
            caller(context).acting_for(request.on_behalf_of),
            AgentName.parse(request.agent, "agent"),
            request.action,
            from_struct(request.input),
            context.time_remaining(),
            request.oversize == agent_pb2.OVERSIZE_FILE,
            RunName.parse(request.run, "run") if request.run else None,
            context_from_proto(request.context),
            request.dry_run,
            request.expect_plan,
            request.record,
        )
        return waiting_to_proto(answer) if isinstance(answer, Run) else answer_to_proto(answer)

    async def TestAction(self, request: agent_pb2.TestActionRequest, context: Context) -> agent_pb2.CallActionResponse:
        """Run an action of a release for its builder."""
        answer = await self._calls.test_action(
            caller(context),
            ReleaseName.parse(request.release, "release"),
            request.action,
            from_struct(request.input),
            SettingsName.parse(request.settings, "settings") if request.settings else None,
            Alone(request.step, from_struct(request.steps)) if request.step else None,
            context.time_remaining(),
            Taped(request.record, request.cassette),
        )
        return answer_to_proto(answer)

    async def CheckRelease(
        self, request: agent_pb2.CheckReleaseRequest, context: Context
    ) -> agent_pb2.CheckReleaseResponse:
        """Replay the examples of a release, which ends its checks."""
        name = ReleaseName.parse(request.release, "release")
        return agent_pb2.CheckReleaseResponse(failed=await self._checking.check_release(caller(context), name))


def agent_to_proto(agent: Agent) -> agent_pb2.Agent:
    """Write an agent."""
    return agent_pb2.Agent(
        name=str(agent.name),
        display_name=agent.display_name,
        description=agent.description,
        state=f"AGENT_STATE_{agent.state}",
        create_time=agent.revision.created_at,
        update_time=agent.revision.updated_at,
        etag=agent.revision.etag,
    )


def attachment_to_proto(view: AttachmentView) -> agent_pb2.Attachment:
    """Write an attachment."""
    attachment = view.attachment
    return agent_pb2.Attachment(
        name=str(attachment.name),
        installation=str(attachment.installation),
        release=str(view.release),
        enabled=attachment.enabled,
        priority=attachment.priority,
        require_approval=attachment.require_approval,
        counters=counters_to_proto(view.counters),
        create_time=attachment.revision.created_at,
        update_time=attachment.revision.updated_at,
        etag=attachment.revision.etag,
    )


def tool_to_proto(offer: Offer) -> agent_pb2.Tool:
    """Write an action as a model sees it."""
    return agent_pb2.Tool(
        name=str(offer.name),
        title=offer.action.name,
        description=offer.action.description,
        input_schema=to_struct(offer.action.input_schema),
        output_schema=to_struct(offer.action.output_schema),
        effect=f"EFFECT_{offer.action.effect}",
        release=str(offer.attached.release.name),
        installation=str(offer.attached.installation),
    )


def answer_to_proto(answer: Answer) -> agent_pb2.CallActionResponse:
    """Write what an action gave."""
    return agent_pb2.CallActionResponse(
        output=answer.output,
        run=str(answer.run),
        release=str(answer.release),
        usage=usage_to_proto(answer.usage),
        used=authority_to_proto(answer.used),
        output_in_file=answer.output_in_file,
        plan=plan_to_proto(answer.plan) if answer.plan else None,
        effects_left=answer.effects_left,
        cassette=answer.cassette or None,
        state="RUN_STATE_FAILED" if answer.error else None,
        reason=answer.error.reason if answer.error else "",
        message=answer.error.message if answer.error else "",
        unrecorded=unrecorded_to_proto(answer.unrecorded) if answer.unrecorded else None,
    )


def unrecorded_to_proto(error: HardpointError) -> agent_pb2.Unrecorded:
    """Write why there is no cassette."""
    return agent_pb2.Unrecorded(reason=error.reason, message=error.message, fix=error.fix)


def waiting_to_proto(run: Run) -> agent_pb2.CallActionResponse:
    """Write where a run is that has not ended."""
    return agent_pb2.CallActionResponse(
        run=str(run.name),
        release=str(run.release),
        state=f"RUN_STATE_{run.state}",
        reason=run.failure.reason,
        message=run.failure.message,
    )
