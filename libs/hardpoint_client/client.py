"""The client: one channel, the contracts' own typed stubs over it, and the walks that take more than one call.

Every call raises the HardpointError that the server raised.
"""

import hashlib
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import PurePath
from types import TracebackType
from typing import Any, Self

from hardpoint.audit.v1 import audit_pb2
from hardpoint.audit.v1.audit_pb2_grpc import AuditServiceStub
from hardpoint.config.v1 import config_pb2
from hardpoint.config.v1.config_pb2_grpc import ConfigServiceStub
from hardpoint.executor.v1 import executor_pb2
from hardpoint.executor.v1.executor_pb2_grpc import ExecutorServiceStub
from hardpoint.manifest.v1 import manifest_pb2
from hardpoint.marketplace.v1.marketplace_pb2_grpc import MarketplaceServiceStub
from hardpoint.registry.v1 import registry_pb2
from hardpoint.registry.v1.registry_pb2_grpc import ArtifactServiceStub, RegistryServiceStub
from hardpoint.runtime.v1 import agent_pb2, installation_pb2
from hardpoint.runtime.v1.agent_pb2_grpc import AgentServiceStub
from hardpoint.runtime.v1.installation_pb2_grpc import InstallationServiceStub
from hardpoint.runtime.v1.run_pb2_grpc import RunServiceStub
from hardpoint_client.login import UNITS, Login
from hardpoint_kit.documents import from_value, to_struct
from hardpoint_kit.errors import AlreadyExists
from hardpoint_kit.rpc.client import channel
from hardpoint_kit.rpc.server import UNIT_METADATA

CODE_SUFFIXES = frozenset({".js", ".mjs", ".py"})
CHUNK_BYTES = 64 * 1024
CALL_SECONDS = 60.0
"""Longer than any action may run."""


class Hardpoint:
    """A connection to a Hardpoint server on behalf of one org.

    The attributes `config`, `registry`, `artifacts`, `marketplace`, `executor`, `agents`, `installations` and `runs`
    are the stubs of the contracts; the methods are walks over several of them.
    """

    def __init__(self, login: Login) -> None:
        self.org = f"orgs/{login.org}"
        places = {login.address_of(unit) for unit in UNITS}
        self._channels = {place: channel(place, token=login.token) for place in places}
        config, registry, marketplace, executor, runtime = (self._channels[login.address_of(unit)] for unit in UNITS)
        self.config = ConfigServiceStub(config)
        self.registry = RegistryServiceStub(registry)
        self.artifacts = ArtifactServiceStub(registry)
        self.marketplace = MarketplaceServiceStub(marketplace)
        self.executor = ExecutorServiceStub(executor)
        self.agents = AgentServiceStub(runtime)
        self.installations = InstallationServiceStub(runtime)
        self.runs = RunServiceStub(runtime)
        self._audit = {
            unit: AuditServiceStub(self._channels[login.address_of(unit)]) for unit in UNITS if unit != "executor"
        }

    @classmethod
    def connect(cls, address: str = "", token: str = "") -> Self:
        """Connect to `address` (host:port) with a bearer token; see Login.find for what stands in for either."""
        return cls(Login.find(address, token))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        for opened in self._channels.values():
            await opened.close()

    async def upload(self, data: bytes) -> registry_pb2.Artifact:
        """Store bytes and answer with their digest; the same bytes again are no new artifact."""
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        header = registry_pb2.UploadArtifactRequest.Header(parent=self.org, digest=digest, size_bytes=len(data))

        async def parts() -> AsyncIterator[registry_pb2.UploadArtifactRequest]:
            yield registry_pb2.UploadArtifactRequest(header=header)
            for start in range(0, len(data), CHUNK_BYTES):
                yield registry_pb2.UploadArtifactRequest(chunk=data[start : start + CHUNK_BYTES])

        return await self.artifacts.UploadArtifact(parts())

    async def push(
        self,
        data: bytes,
        filename: str,
        *,
        visibility: registry_pb2.Visibility = registry_pb2.VISIBILITY_UNSPECIFIED,
        validate_only: bool = False,
    ) -> registry_pb2.CreateReleaseResponse:
        """Upload a file and make a draft of it; a code file's header is read in the jail first.

        Raises InvalidArgument with the manifest's findings, AlreadyExists for a version that has other bytes.
        """
        header = None
        if PurePath(filename).suffix.lower() in CODE_SUFFIXES:
            asked = executor_pb2.ReadHeaderRequest(parent=self.org, filename=filename, source=data)
            header = (await self.executor.ReadHeader(asked)).header
        artifact = await self.upload(data)
        return await self.registry.CreateRelease(
            registry_pb2.CreateReleaseRequest(
                parent=self.org,
                digest=artifact.digest,
                filename=filename,
                header=header,
                visibility=visibility,
                validate_only=validate_only,
                request_id=new_request_id(),
            )
        )

    async def publish(self, release: str) -> registry_pb2.Release:
        """Submit a draft for its checks; the answer is PUBLISHED, or REJECTED with findings."""
        return await self.registry.PublishRelease(
            registry_pb2.PublishReleaseRequest(name=release, request_id=new_request_id())
        )

    async def install(
        self,
        capability: str,
        *,
        constraint: str = "",
        installation_id: str = "",
        grants: manifest_pb2.Authority | None = None,
    ) -> installation_pb2.Installation:
        """Install a capability with exactly the grants given; none means that it may reach nothing."""
        return await self.installations.CreateInstallation(
            installation_pb2.CreateInstallationRequest(
                parent=self.org,
                capability=capability,
                constraint=constraint,
                installation_id=installation_id,
                grants=grants,
                request_id=new_request_id(),
            )
        )

    async def set_secret(self, installation: str, key: str, value: str) -> config_pb2.Settings:
        """Store a secret value and bind it to a key of an installation's settings; a second value replaces the first."""
        settings = f"{self.org}/settings/{installation}"
        secret_id = f"{installation}-{key}".lower().replace("_", "-")[:63].strip("-")
        name = f"{self.org}/secrets/{secret_id}"
        create = config_pb2.CreateSecretRequest(
            parent=self.org, secret_id=secret_id, value=value.encode(), request_id=new_request_id()
        )
        try:
            await self.config.CreateSecret(create)
        except AlreadyExists:
            rotate = config_pb2.RotateSecretRequest(name=name, value=value.encode(), request_id=new_request_id())
            await self.config.RotateSecret(rotate)
        return await self._update_settings(config_pb2.Settings(name=settings, secrets={key: name}))

    async def set_settings(self, installation: str, values: Mapping[str, Any]) -> config_pb2.Settings:
        """Set plain values of an installation's settings, by key; the other keys stay as they are."""
        settings = config_pb2.Settings(name=f"{self.org}/settings/{installation}", values=to_struct(values))
        return await self._update_settings(settings)

    async def attach(self, agent: str, installation: str, *, priority: int = 0) -> agent_pb2.Attachment:
        """Switch an installation (its id) on for an agent (its id)."""
        return await self.agents.AttachCapability(
            agent_pb2.AttachCapabilityRequest(
                parent=f"{self.org}/agents/{agent}",
                installation=f"{self.org}/installations/{installation}",
                priority=priority,
                request_id=new_request_id(),
            )
        )

    async def detach(self, agent: str, installation: str) -> None:
        """Switch an installation off for an agent; a running call ends normally."""
        name = f"{self.org}/agents/{agent}/attachments/{installation}"
        await self.agents.DetachCapability(
            agent_pb2.DetachCapabilityRequest(name=name, request_id=new_request_id())
        )

    async def tools(self, agent: str) -> Sequence[agent_pb2.Tool]:
        """What an agent (its id) may call now."""
        listed = await self.agents.ListTools(agent_pb2.ListToolsRequest(agent=f"{self.org}/agents/{agent}"))
        return listed.tools

    async def call(
        self, agent: str, action: str, params: Mapping[str, Any] | None = None, *, seconds: float = CALL_SECONDS
    ) -> agent_pb2.CallActionResponse:
        """Call "{capability}.{action}" as an agent (its id)."""
        request = agent_pb2.CallActionRequest(
            agent=f"{self.org}/agents/{agent}", action=action, input=to_struct(params or {})
        )
        return await self.agents.CallAction(request, timeout=seconds)

    async def events(self, unit: str, *, resource: str = "", page_token: str = "") -> audit_pb2.ListEventsResponse:
        """What was done in a unit with a database ("config", "registry", "marketplace", "runtime"), newest first."""
        request = audit_pb2.ListEventsRequest(parent=self.org, resource=resource, page_token=page_token)
        return await self._audit[unit].ListEvents(request, metadata=((UNIT_METADATA, unit),))

    async def _update_settings(self, settings: config_pb2.Settings) -> config_pb2.Settings:
        return await self.config.UpdateSettings(
            config_pb2.UpdateSettingsRequest(settings=settings, request_id=new_request_id())
        )


def new_request_id() -> str:
    """An id that makes a write safe to repeat: the server answers the second as it answered the first."""
    return str(uuid.uuid4())


def output_of(response: agent_pb2.CallActionResponse) -> Any:
    """The output of a call as plain Python."""
    return from_value(response.output)
