"""The agents of the runtime: what is attached to them, and calls of it."""

from collections import defaultdict

from hardpoint.manifest.v1 import manifest_pb2
from hardpoint.runtime.v1 import agent_pb2, agent_pb2_grpc
from hardpoint_cli.names import prefix
from hardpoint_kit.documents import from_struct, to_value
from hardpoint_kit.errors import AlreadyExists, InvalidArgument
from hardpoint_manifest.inputs import InputSchema

from .world import WEATHER, Fake, known


class Agents(Fake, agent_pb2_grpc.AgentServiceServicer):
    async def CreateAgent(self, request, context):
        self.world.ask("CreateAgent", request)
        name = f"{request.parent}/agents/{request.agent_id}"
        if name in self.world.agents:
            raise AlreadyExists("is there", resource=name)
        self.world.agents[name] = agent_pb2.Agent(
            name=name, display_name=request.agent.display_name, state=agent_pb2.AGENT_STATE_ACTIVE
        )
        return self.world.agents[name]

    async def ListAgents(self, request, context):
        self.world.ask("ListAgents", request)
        agents = list(self.world.agents.values())
        first = int(request.page_token or 0)
        last = first + (request.page_size or 50)
        more = str(last) if len(agents) > last else ""
        return agent_pb2.ListAgentsResponse(agents=agents[first:last], next_page_token=more)

    async def PauseAgent(self, request, context):
        self.world.ask("PauseAgent", request)
        known(self.world.agents, "agent", request.name).state = agent_pb2.AGENT_STATE_PAUSED
        return self.world.agents[request.name]

    async def ResumeAgent(self, request, context):
        self.world.ask("ResumeAgent", request)
        known(self.world.agents, "agent", request.name).state = agent_pb2.AGENT_STATE_ACTIVE
        return self.world.agents[request.name]

    async def DeleteAgent(self, request, context):
        self.world.ask("DeleteAgent", request)
        known(self.world.agents, "agent", request.name)
        del self.world.agents[request.name]
        return agent_pb2.DeleteAgentResponse()

    async def ListAttachments(self, request, context):
        self.world.ask("ListAttachments", request)
        found = [one for name, one in self.world.attachments.items() if name.startswith(f"{request.parent}/")]
        return agent_pb2.ListAttachmentsResponse(attachments=found)

    async def GetAttachment(self, request, context):
        self.world.ask("GetAttachment", request)
        return known(self.world.attachments, "attachment", request.name)

    async def UpdateAttachment(self, request, context):
        self.world.ask("UpdateAttachment", request)
        found = known(self.world.attachments, "attachment", request.attachment.name)
        request.update_mask.MergeMessage(request.attachment, found, True, True)
        return found

    async def AttachCapability(self, request, context):
        self.world.ask("AttachCapability", request)
        known(self.world.agents, "agent", request.parent)
        installed = known(self.world.installations, "installation", request.installation)
        name = f"{request.parent}/attachments/{installed.name.rpartition('/')[2]}"
        if name in self.world.attachments:
            raise AlreadyExists("is attached", resource=name)
        self.world.attachments[name] = agent_pb2.Attachment(
            name=name,
            installation=installed.name,
            release=installed.release,
            enabled=True,
            priority=request.priority,
            require_approval=request.require_approval,
        )
        return self.world.attachments[name]

    async def DetachCapability(self, request, context):
        self.world.ask("DetachCapability", request)
        known(self.world.attachments, "attachment", request.name)
        del self.world.attachments[request.name]
        return agent_pb2.DetachCapabilityResponse()

    async def ListTools(self, request, context):
        self.world.ask("ListTools", request)
        known(self.world.agents, "agent", request.agent)
        offers = defaultdict(list)
        for name, attached in self.world.attachments.items():
            if name.startswith(request.agent):
                found = self.world.releases[attached.release]
                for action in found.manifest.actions:
                    tool = agent_pb2.Tool(
                        name=f"{prefix(self.world.installations[attached.installation])}.{action.id}",
                        installation=attached.installation,
                        description=action.description,
                        input_schema=action.input_schema,
                        effect=action.effect,
                        release=found.name,
                    )
                    offers[tool.name].append((attached.priority, tool))
        tools = []
        for offered in offers.values():
            highest = max(priority for priority, _ in offered)
            best = [tool for priority, tool in offered if priority == highest]
            tools += best if len(best) == 1 else []
        return agent_pb2.ListToolsResponse(tools=tools)

    async def CallAction(self, request, context):
        self.world.ask("CallAction", request)
        answer = self._answer(f"{WEATHER}/releases/1.0.0")
        if request.dry_run:
            answer.plan.CopyFrom(self.world.plan)
        if request.record:
            answer.MergeFrom(self.world.recorded)
        return answer

    async def TestAction(self, request, context):
        self.world.ask("TestAction", request)
        schema = InputSchema(self.world.input_schema)
        if violations := schema.violations(from_struct(request.input)):
            raise InvalidArgument(violations, reason="INPUT_INVALID")
        answer = self._answer(request.release)
        if request.record:
            answer.cassette = self.world.cassette
        return answer

    def _answer(self, release: str) -> agent_pb2.CallActionResponse:
        return agent_pb2.CallActionResponse(
            output=to_value(self.world.output),
            run="orgs/acme/runs/run-1",
            release=release,
            usage=manifest_pb2.Usage(wall_ms=12, broker_calls=1),
            used=self.world.used,
        )
