"""Stand-ins for the services, good enough for one user: they keep what they are told in a World and answer from it."""

from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from hardpoint.audit.v1 import audit_pb2, audit_pb2_grpc
from hardpoint.config.v1 import config_pb2, config_pb2_grpc
from hardpoint.executor.v1 import executor_pb2, executor_pb2_grpc
from hardpoint.manifest.v1 import manifest_pb2
from hardpoint.marketplace.v1 import marketplace_pb2, marketplace_pb2_grpc
from hardpoint.registry.v1 import registry_pb2, registry_pb2_grpc
from hardpoint.runtime.v1 import agent_pb2, agent_pb2_grpc, installation_pb2, installation_pb2_grpc, run_pb2
from hardpoint.runtime.v1.run_pb2_grpc import RunServiceServicer
from hardpoint_kit.documents import to_struct, to_value
from hardpoint_kit.errors import AlreadyExists, Conflict, NotFound

WEATHER = "orgs/acme/capabilities/weather-lookup"


@dataclass
class World:
    """What the services know, what they were asked, and what they are to fail with."""

    capabilities: dict[str, registry_pb2.Capability] = field(default_factory=dict)
    releases: dict[str, registry_pb2.Release] = field(default_factory=dict)
    uploaded: dict[str, bytes] = field(default_factory=dict)
    listings: dict[str, marketplace_pb2.Listing] = field(default_factory=dict)
    installations: dict[str, installation_pb2.Installation] = field(default_factory=dict)
    agents: dict[str, agent_pb2.Agent] = field(default_factory=dict)
    attachments: dict[str, agent_pb2.Attachment] = field(default_factory=dict)
    settings: dict[str, config_pb2.Settings] = field(default_factory=dict)
    secrets: dict[str, config_pb2.Secret] = field(default_factory=dict)
    secret_values: dict[str, bytes] = field(default_factory=dict)
    rejected_for: list[manifest_pb2.Finding] = field(default_factory=list)
    runs: dict[str, run_pb2.Run] = field(default_factory=dict)
    header: dict[str, Any] = field(default_factory=dict)
    output: Any = field(default_factory=lambda: {"temperature": 72, "condition": "Sunny"})
    used: manifest_pb2.Authority = field(default_factory=manifest_pb2.Authority)
    asked: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    errors: dict[str, Exception] = field(default_factory=dict)

    def ask(self, method: str, request: Any) -> None:
        """Keep a request, and fail if that is arranged."""
        self.asked[method].append(request)
        if method in self.errors:
            raise self.errors[method]


def release(
    capability: str = WEATHER,
    version: str = "1.0.0",
    state: registry_pb2.ReleaseState = registry_pb2.RELEASE_STATE_PUBLISHED,
) -> registry_pb2.Release:
    """A release that asks for a permission, a host, a secret and a setting."""
    inputs = {
        "type": "object",
        "properties": {"location": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["location"],
        "additionalProperties": False,
    }
    return registry_pb2.Release(
        name=f"{capability}/releases/{version}",
        state=state,
        manifest=manifest_pb2.Manifest(
            id=capability.rpartition("/")[2],
            version=version,
            description="Get weather information",
            actions=[
                manifest_pb2.Action(
                    id="get-weather",
                    description="Fetch current weather",
                    input_schema=to_struct(inputs),
                    effect=manifest_pb2.EFFECT_READ,
                )
            ],
            authority=manifest_pb2.Authority(permissions=["network.http.get"], hosts=["api.weather.com"]),
            requirements=[
                manifest_pb2.Requirement(key="API_KEY", label="Weather API Key", type="secret", required=True),
                manifest_pb2.Requirement(key="TIMEOUT", label="Seconds to wait", type="number"),
            ],
        ),
    )


def known(found: dict[str, Any], kind: str, name: str) -> Any:
    if name not in found:
        raise NotFound(kind, name)
    return found[name]


class Fake:
    """A servicer over a World."""

    def __init__(self, world: World) -> None:
        self.world = world


class Registry(Fake, registry_pb2_grpc.RegistryServiceServicer):
    async def GetCapability(self, request, context):
        self.world.ask("GetCapability", request)
        return known(self.world.capabilities, "capability", request.name)

    async def ListCapabilities(self, request, context):
        self.world.ask("ListCapabilities", request)
        mine = [found for name, found in sorted(self.world.capabilities.items()) if name.startswith(request.parent)]
        return registry_pb2.ListCapabilitiesResponse(capabilities=mine)

    async def UpdateCapability(self, request, context):
        self.world.ask("UpdateCapability", request)
        found = known(self.world.capabilities, "capability", request.capability.name)
        found.visibility = request.capability.visibility
        return found

    async def DeprecateCapability(self, request, context):
        self.world.ask("DeprecateCapability", request)
        found = known(self.world.capabilities, "capability", request.name)
        found.state, found.deprecation_note = registry_pb2.CAPABILITY_STATE_DEPRECATED, request.note
        return found

    async def CreateRelease(self, request, context):
        self.world.ask("CreateRelease", request)
        written = yaml.safe_load(self.world.uploaded[request.digest])["capability"] if not request.header else {}
        words = written or dict(request.header.items())
        capability = f"{request.parent}/capabilities/{words['id']}"
        made = release(capability, words["version"], registry_pb2.RELEASE_STATE_DRAFT)
        made.artifact.digest = request.digest
        other = self.world.releases.get(made.name)
        if other is not None and other.artifact.digest == request.digest:
            return registry_pb2.CreateReleaseResponse(release=other)
        if other is not None:
            raise AlreadyExists(
                "other bytes", reason="RELEASE_EXISTS", place="version", fix="raise the version", release=made.name
            )
        self.world.releases[made.name] = made
        visibility = request.visibility or registry_pb2.VISIBILITY_PRIVATE
        self.world.capabilities.setdefault(capability, registry_pb2.Capability(name=capability, visibility=visibility))
        return registry_pb2.CreateReleaseResponse(release=made, created=True)

    async def GetRelease(self, request, context):
        self.world.ask("GetRelease", request)
        return known(self.world.releases, "release", request.name)

    async def ListReleases(self, request, context):
        self.world.ask("ListReleases", request)
        found = [one for name, one in self.world.releases.items() if name.startswith(f"{request.parent}/")]
        return registry_pb2.ListReleasesResponse(releases=sorted(found, key=lambda one: one.name, reverse=True))

    async def PublishRelease(self, request, context):
        self.world.ask("PublishRelease", request)
        found = known(self.world.releases, "release", request.name)
        if self.world.rejected_for:
            found.state = registry_pb2.RELEASE_STATE_REJECTED
            found.findings.extend(self.world.rejected_for)
            return found
        found.state = registry_pb2.RELEASE_STATE_PUBLISHED
        name, _, version = request.name.partition("/releases/")
        self.world.capabilities[name].latest_version = version
        return found

    async def YankRelease(self, request, context):
        self.world.ask("YankRelease", request)
        found = known(self.world.releases, "release", request.name)
        found.state, found.yank_note = registry_pb2.RELEASE_STATE_YANKED, request.note
        return found

    async def DeleteRelease(self, request, context):
        self.world.ask("DeleteRelease", request)
        del self.world.releases[request.name]
        return registry_pb2.DeleteReleaseResponse()

    async def ResolveRelease(self, request, context):
        self.world.ask("ResolveRelease", request)
        found = known(self.world.capabilities, "capability", request.capability)
        return self.world.releases[f"{found.name}/releases/{found.latest_version}"]


class Artifacts(Fake, registry_pb2_grpc.ArtifactServiceServicer):
    async def UploadArtifact(self, request_iterator: AsyncIterator[Any], context):
        header, data = None, b""
        async for part in request_iterator:
            header, data = header or part.header, data + part.chunk
        self.world.ask("UploadArtifact", header)
        self.world.uploaded[header.digest] = data
        return registry_pb2.Artifact(digest=header.digest, size_bytes=len(data))

    async def CreateArtifactTicket(self, request, context):
        self.world.ask("CreateArtifactTicket", request)
        return registry_pb2.ArtifactTicket(ticket=request.release)

    async def ReadArtifact(self, request, context):
        self.world.ask("ReadArtifact", request)
        yield registry_pb2.ReadArtifactResponse(chunk=self.world.uploaded[request.digest])


class Marketplace(Fake, marketplace_pb2_grpc.MarketplaceServiceServicer):
    async def HideListing(self, request, context):
        self.world.ask("HideListing", request)
        found = known(self.world.listings, "listing", request.name)
        found.state = marketplace_pb2.LISTING_STATE_HIDDEN
        return found

    async def ShowListing(self, request, context):
        self.world.ask("ShowListing", request)
        found = known(self.world.listings, "listing", request.name)
        found.state = marketplace_pb2.LISTING_STATE_LISTED
        return found

    async def CreateListing(self, request, context):
        self.world.ask("CreateListing", request)
        name = request.listing.capability.replace("orgs/", "listings/").replace("/capabilities/", ".")
        if name in self.world.listings:
            raise AlreadyExists("is listed", resource=name)
        request.listing.name = name
        self.world.listings[name] = request.listing
        return request.listing

    async def GetListing(self, request, context):
        self.world.ask("GetListing", request)
        return known(self.world.listings, "listing", request.name)

    async def SearchListings(self, request, context):
        self.world.ask("SearchListings", request)
        listings = list(self.world.listings.values())
        first = int(request.page_token or 0)
        more = str(first + request.page_size) if len(listings) > first + request.page_size else ""
        page = listings[first : first + request.page_size]
        return marketplace_pb2.SearchListingsResponse(listings=page, next_page_token=more)

    async def UpdateListing(self, request, context):
        self.world.ask("UpdateListing", request)
        found = known(self.world.listings, "listing", request.listing.name)
        request.update_mask.MergeMessage(request.listing, found, replace_message_field=True)
        return found


class Config(Fake, config_pb2_grpc.ConfigServiceServicer):
    async def GetSettings(self, request, context):
        self.world.ask("GetSettings", request)
        return self.world.settings.get(request.name, config_pb2.Settings(name=request.name))

    async def UpdateSettings(self, request, context):
        self.world.ask("UpdateSettings", request)
        name = request.settings.name
        found = self.world.settings.setdefault(name, config_pb2.Settings(name=name))
        found.MergeFrom(request.settings)
        return found

    async def CreateSecret(self, request, context):
        self.world.ask("CreateSecret", request)
        name = f"{request.parent}/secrets/{request.secret_id}"
        if name in self.world.secrets:
            raise AlreadyExists("is there", resource=name)
        self.world.secrets[name] = config_pb2.Secret(name=name, description=request.description, version=1)
        self.world.secret_values[name] = request.value
        return self.world.secrets[name]

    async def RotateSecret(self, request, context):
        self.world.ask("RotateSecret", request)
        found = known(self.world.secrets, "secret", request.name)
        found.version += 1
        self.world.secret_values[request.name] = request.value
        return found

    async def DeleteSecret(self, request, context):
        self.world.ask("DeleteSecret", request)
        known(self.world.secrets, "secret", request.name)
        del self.world.secrets[request.name]
        return config_pb2.DeleteSecretResponse()

    async def ListSecrets(self, request, context):
        self.world.ask("ListSecrets", request)
        return config_pb2.ListSecretsResponse(secrets=self.world.secrets.values())


class Executor(Fake, executor_pb2_grpc.ExecutorServiceServicer):
    async def ReadHeader(self, request, context):
        self.world.ask("ReadHeader", request)
        return executor_pb2.ReadHeaderResponse(header=to_struct(self.world.header))

    async def ReadEngines(self, request, context):
        self.world.ask("ReadEngines", request)
        numpy = executor_pb2.Library(id="numpy", version="2.4.6", about="Arrays", import_ms=217.4, disk_bytes=54858464)
        return executor_pb2.ReadEnginesResponse(
            engines=[executor_pb2.Engine(language="javascript", id="node")], libraries=[numpy]
        )


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
        return agent_pb2.ListAgentsResponse(agents=self.world.agents.values())

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

    async def UpdateAttachment(self, request, context):
        self.world.ask("UpdateAttachment", request)
        found = known(self.world.attachments, "attachment", request.attachment.name)
        request.update_mask.MergeMessage(request.attachment, found, replace_message_field=True)
        return found

    async def AttachCapability(self, request, context):
        self.world.ask("AttachCapability", request)
        known(self.world.agents, "agent", request.parent)
        installed = known(self.world.installations, "installation", request.installation)
        name = f"{request.parent}/attachments/{installed.name.rpartition('/')[2]}"
        self.world.attachments[name] = agent_pb2.Attachment(
            name=name, installation=installed.name, release=installed.release, enabled=True, priority=request.priority
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
        tools = []
        for name, attached in self.world.attachments.items():
            if name.startswith(request.agent):
                found = self.world.releases[attached.release]
                for action in found.manifest.actions:
                    tool = f"{found.manifest.id}.{action.id}"
                    schema = action.input_schema
                    tools.append(
                        agent_pb2.Tool(
                            name=tool,
                            description=action.description,
                            input_schema=schema,
                            effect=action.effect,
                            release=found.name,
                        )
                    )
        return agent_pb2.ListToolsResponse(tools=tools)

    async def CallAction(self, request, context):
        self.world.ask("CallAction", request)
        return self._answer(f"{WEATHER}/releases/1.0.0")

    async def TestAction(self, request, context):
        self.world.ask("TestAction", request)
        return self._answer(request.release)

    def _answer(self, release: str) -> agent_pb2.CallActionResponse:
        return agent_pb2.CallActionResponse(
            output=to_value(self.world.output),
            run="orgs/acme/runs/run-1",
            release=release,
            usage=manifest_pb2.Usage(wall_ms=12, broker_calls=1),
            used=self.world.used,
        )


class Installations(Fake, installation_pb2_grpc.InstallationServiceServicer):
    async def CreateInstallation(self, request, context):
        self.world.ask("CreateInstallation", request)
        capability = known(self.world.capabilities, "capability", request.capability)
        name = f"{request.parent}/installations/{request.installation_id or capability.name.rpartition('/')[2]}"
        if name in self.world.installations:
            raise AlreadyExists("is installed", resource=name)
        pinned = self.world.releases[f"{capability.name}/releases/{capability.latest_version}"]
        asked = pinned.manifest.authority
        made = installation_pb2.Installation(
            name=name,
            capability=capability.name,
            constraint=request.constraint,
            release=pinned.name,
            grants=request.grants,
            ungranted=manifest_pb2.Authority(
                permissions=[one for one in asked.permissions if one not in request.grants.permissions],
                hosts=[one for one in asked.hosts if one not in request.grants.hosts],
            ),
            state=installation_pb2.INSTALLATION_STATE_ACTIVE,
            missing_settings=[one for one in pinned.manifest.requirements if one.required],
        )
        if not request.validate_only:
            self.world.installations[name] = made
        return made

    async def GetInstallation(self, request, context):
        self.world.ask("GetInstallation", request)
        return known(self.world.installations, "installation", request.name)

    async def ListInstallations(self, request, context):
        self.world.ask("ListInstallations", request)
        return installation_pb2.ListInstallationsResponse(installations=self.world.installations.values())

    async def UpdateInstallation(self, request, context):
        self.world.ask("UpdateInstallation", request)
        found = known(self.world.installations, "installation", request.installation.name)
        request.update_mask.MergeMessage(request.installation, found, replace_message_field=True)
        return found

    async def DeleteInstallation(self, request, context):
        self.world.ask("DeleteInstallation", request)
        known(self.world.installations, "installation", request.name)
        if used := [name for name in self.world.attachments if name.endswith(request.name.rpartition("/")[2])]:
            raise Conflict(f"still attached: {used[0]}", fix="detach it first")
        del self.world.installations[request.name]
        return installation_pb2.DeleteInstallationResponse()


class Runs(Fake, RunServiceServicer):
    async def GetRun(self, request, context):
        self.world.ask("GetRun", request)
        return known(self.world.runs, "run", request.name)

    async def ListRuns(self, request, context):
        self.world.ask("ListRuns", request)
        found = [one for one in self.world.runs.values() if request.state in (0, one.state)]
        return run_pb2.ListRunsResponse(runs=found)

    async def ListSteps(self, request, context):
        self.world.ask("ListSteps", request)
        names = [f"{request.parent}/steps/{number}" for number in (1, 2)]
        return run_pb2.ListStepsResponse(steps=[run_pb2.Step(name=name, action="a.b", state=4) for name in names])


class Audit(Fake, audit_pb2_grpc.AuditServiceServicer):
    def __init__(self, world: World, unit: str) -> None:
        super().__init__(world)
        self.unit = unit

    async def ListEvents(self, request, context):
        self.world.ask("ListEvents", request)
        event = audit_pb2.Event(
            sequence=1, subject="ada", action=f"{self.unit}.something", resource=WEATHER, facts={"version": "1.0.0"}
        )
        return audit_pb2.ListEventsResponse(events=[event])
