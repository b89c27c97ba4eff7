"""The client: the contracts' own typed stubs over one channel, and the walks that take more than one call.

Every call raises the HardpointError that the server raised.
"""

import hashlib
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import PurePath
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio
from google.protobuf.struct_pb2 import Struct

from hardpoint.audit.v1 import audit_pb2
from hardpoint.audit.v1.audit_pb2_grpc import AuditServiceStub
from hardpoint.config.v1 import config_pb2
from hardpoint.config.v1.config_pb2_grpc import ConfigServiceStub
from hardpoint.executor.v1 import executor_pb2
from hardpoint.executor.v1.executor_pb2_grpc import ExecutorServiceStub
from hardpoint.files.v1 import files_pb2
from hardpoint.files.v1.files_pb2_grpc import FileServiceStub
from hardpoint.manifest.v1 import manifest_pb2
from hardpoint.marketplace.v1.marketplace_pb2_grpc import MarketplaceServiceStub
from hardpoint.registry.v1 import registry_pb2
from hardpoint.registry.v1.registry_pb2_grpc import ArtifactServiceStub, RegistryServiceStub
from hardpoint.runtime.v1 import agent_pb2, installation_pb2
from hardpoint.runtime.v1.agent_pb2_grpc import AgentServiceStub
from hardpoint.runtime.v1.installation_pb2_grpc import InstallationServiceStub
from hardpoint.runtime.v1.policy_pb2_grpc import PolicyServiceStub
from hardpoint.runtime.v1.run_pb2_grpc import RunServiceStub
from hardpoint.runtime.v1.trigger_pb2_grpc import TriggerServiceStub
from hardpoint_client import files as stored
from hardpoint_client.context import CallContext
from hardpoint_client.login import UNITS, Login
from hardpoint_kit.documents import from_value, to_struct
from hardpoint_kit.errors import AlreadyExists, InvalidArgument, OutOfRange
from hardpoint_kit.names import check_setting_key
from hardpoint_kit.rpc.client import channel
from hardpoint_kit.rpc.wire import UNIT_METADATA

CODE_SUFFIXES = frozenset({".js", ".mjs", ".ts", ".mts", ".py"})
CHUNK_BYTES = 64 * 1024
CALL_SECONDS = 60.0
"""Longer than any action may run."""
CHECK_SECONDS = 300.0
"""For the replays of all examples of a release."""


class Hardpoint:
    """A connection to a Hardpoint server on behalf of one org.

    The attributes `config`, `registry`, `artifacts`, `marketplace`, `files`, `executor`, `agents`, `installations`,
    `policy`, `runs` and `triggers` are the stubs of the contracts; the methods are walks over several of them. Where a
    method takes an agent, an installation or a settings document, an id of the own org is as good as the resource name.
    """

    def __init__(self, login: Login) -> None:
        self.login = login
        self.org = f"orgs/{login.org}"
        places = {login.address_of(unit) for unit in UNITS}
        self._channels = {place: channel(place, token=login.token) for place in places}
        opened = (self._channels[login.address_of(unit)] for unit in UNITS)
        config, registry, marketplace, files, executor, runtime = opened
        self.config = ConfigServiceStub(config)
        self.registry = RegistryServiceStub(registry)
        self.artifacts = ArtifactServiceStub(registry)
        self.marketplace = MarketplaceServiceStub(marketplace)
        self.files = FileServiceStub(files)
        self.executor = ExecutorServiceStub(executor)
        self.agents = AgentServiceStub(runtime)
        self.installations = InstallationServiceStub(runtime)
        self.policy = PolicyServiceStub(runtime)
        self.runs = RunServiceStub(runtime)
        self.triggers = TriggerServiceStub(runtime)
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

    def channel(self, unit: str) -> grpc.aio.Channel:
        """The channel to a unit, for contracts that have no stub here: health, reflection."""
        return self._channels[self.login.address_of(unit)]

    def unreachable(self) -> tuple[str, ...]:
        """The addresses that were called and do not answer: what went wrong there never reached a server."""
        connecting = {grpc.ChannelConnectivity.CONNECTING, grpc.ChannelConnectivity.TRANSIENT_FAILURE}
        return tuple(place for place, opened in self._channels.items() if opened.get_state() in connecting)

    def named(self, collection: str, name: str) -> str:
        """The resource name of what is called by an id of the own org or by its resource name."""
        return name if name.startswith("orgs/") else f"{self.org}/{collection}/{name}"

    async def upload(self, data: bytes) -> registry_pb2.Artifact:
        """Store bytes and answer with their digest; the same bytes again are no new artifact.

        Raises OutOfRange for more than an artifact may have, before anything is sent.
        """
        from hardpoint_manifest.load import MAX_BYTES  # here, since it brings all of the manifest language

        if len(data) > MAX_BYTES:
            raise OutOfRange(
                f"the file has {len(data):,} bytes; an artifact has at most {MAX_BYTES:,}",
                reason="ARTIFACT_TOO_LARGE",
                fix="make the file smaller; data belongs in settings or files, not in a capability",
                limit_bytes=MAX_BYTES,
            )
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        header = registry_pb2.UploadArtifactRequest.Header(parent=self.org, digest=digest, size_bytes=len(data))

        async def parts() -> AsyncIterator[registry_pb2.UploadArtifactRequest]:
            yield registry_pb2.UploadArtifactRequest(header=header)
            for start in range(0, len(data), CHUNK_BYTES):
                yield registry_pb2.UploadArtifactRequest(chunk=data[start : start + CHUNK_BYTES])

        return await self.artifacts.UploadArtifact(parts())

    async def upload_file(
        self, data: bytes, name: str, *, type: str = "", expire_time: datetime | None = None
    ) -> files_pb2.File:
        """Store bytes as a file of the org; `type` counts where the bytes are text. `handle_of` makes it an input.

        Raises OutOfRange for more than 32 MiB, ResourceExhausted FILE_QUOTA, InvalidArgument FILE_NAME_INVALID.
        """
        return await stored.upload(self.files, self.org, data, name, type, expire_time)

    async def read_file(self, name: str) -> bytes:
        """All bytes of a stored file; raises NotFound."""
        return b"".join([part async for part in stored.read(self.files, self.named("files", name))])

    async def read_header(self, data: bytes, filename: str) -> Struct:
        """What a code file exports, read in the server's jail; raises InvalidArgument HEADER_UNREADABLE."""
        request = executor_pb2.ReadHeaderRequest(parent=self.org, filename=filename, source=data)
        return (await self.executor.ReadHeader(request)).header

    async def push(
        self,
        data: bytes,
        filename: str,
        *,
        visibility: registry_pb2.Visibility = registry_pb2.VISIBILITY_UNSPECIFIED,
        header: Struct | None = None,
        validate_only: bool = False,
        cassettes: Mapping[str, bytes] | None = None,
    ) -> registry_pb2.CreateReleaseResponse:
        """Upload a file and make a draft of it; a code file's header is read in the jail first, unless it is given.

        `cassettes` are those of its examples, by name: it is published when they hold. Raises InvalidArgument with the
        manifest's findings, AlreadyExists for a version that has other bytes.
        """
        if header is None and PurePath(filename).suffix.lower() in CODE_SUFFIXES:
            header = await self.read_header(data, filename)
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
                cassettes=cassettes or {},
            )
        )

    async def publish(self, release: str) -> registry_pb2.Release:
        """Submit a draft for its checks; the answer is PUBLISHED, or REJECTED with findings.

        Examples that came with cassettes are replayed. Where that cannot be done now it raises Unavailable or
        ResourceExhausted, and the release stays in CHECKING: publish it again.
        """
        submitted = await self.registry.PublishRelease(
            registry_pb2.PublishReleaseRequest(name=release, request_id=new_request_id())
        )
        if submitted.state != registry_pb2.RELEASE_STATE_CHECKING:
            return submitted
        await self.agents.CheckRelease(agent_pb2.CheckReleaseRequest(release=release), timeout=CHECK_SECONDS)
        return await self.registry.GetRelease(registry_pb2.GetReleaseRequest(name=release))

    async def install(
        self,
        capability: str,
        *,
        constraint: str = "",
        installation_id: str = "",
        own_name: bool = False,
        grants: manifest_pb2.Authority | None = None,
        validate_only: bool = False,
    ) -> installation_pb2.Installation:
        """Install a capability with exactly the grants given; none means that it may reach nothing.

        With `own_name` its actions are called by `installation_id`, so that several of one capability stay apart.
        """
        return await self.installations.CreateInstallation(
            installation_pb2.CreateInstallationRequest(
                parent=self.org,
                capability=capability,
                constraint=constraint,
                installation_id=installation_id,
                own_name=own_name,
                grants=grants,
                validate_only=validate_only,
                request_id=new_request_id(),
            )
        )

    async def set_secret(self, installation: str, key: str, value: str) -> config_pb2.Settings:
        """Give a key of an installation's settings its secret value; one that the key has already gets a new version.

        A secret that belongs to another key is never written to, even where both ask for the same id. Raises
        InvalidArgument for a key that cannot have one; then none is stored.
        """
        check_setting_key(key)
        name = self.named("settings", installation)
        settings = await self.config.GetSettings(config_pb2.GetSettingsRequest(name=name))
        if key in settings.secrets:
            await self._rotate_secret(settings.secrets[key], value)
            return settings
        if key in settings.values.fields:
            short = name.rpartition("/")[2]
            raise InvalidArgument(
                f"{key} of {short} has a plain value", fix=f"take it away first: hardpoint setting unset {short} {key}"
            )
        bound = await self._create_secret(name.rpartition("/")[2], key, value)
        try:
            return await self._update_settings(config_pb2.Settings(name=name, secrets={key: bound}))
        except InvalidArgument:
            await self.config.DeleteSecret(config_pb2.DeleteSecretRequest(name=bound, request_id=new_request_id()))
            raise

    async def set_settings(self, installation: str, values: Mapping[str, Any]) -> config_pb2.Settings:
        """Set plain values of an installation's settings, by key; the other keys stay as they are."""
        name = self.named("settings", installation)
        return await self._update_settings(config_pb2.Settings(name=name, values=to_struct(values)))

    async def attach(
        self, agent: str, installation: str, *, priority: int = 0, require_approval: Iterable[str] = ()
    ) -> agent_pb2.Attachment:
        """Switch an installation on for an agent; calls of the actions to approve are runs that wait for it."""
        return await self.agents.AttachCapability(
            agent_pb2.AttachCapabilityRequest(
                parent=self.named("agents", agent),
                installation=self.named("installations", installation),
                priority=priority,
                require_approval=require_approval,
                request_id=new_request_id(),
            )
        )

    async def detach(self, agent: str, installation: str) -> None:
        """Switch an installation off for an agent; a running call ends normally."""
        name = f"{self.named('agents', agent)}/attachments/{installation.rpartition('/')[2]}"
        await self.agents.DetachCapability(agent_pb2.DetachCapabilityRequest(name=name, request_id=new_request_id()))

    async def tools(self, agent: str) -> Sequence[agent_pb2.Tool]:
        """What an agent may call now."""
        listed = await self.agents.ListTools(agent_pb2.ListToolsRequest(agent=self.named("agents", agent)))
        return listed.tools

    async def call(
        self,
        agent: str,
        action: str,
        params: Mapping[str, Any] | None = None,
        *,
        seconds: float = CALL_SECONDS,
        oversize_to_file: bool = False,
        context: CallContext | None = None,
        dry_run: bool = False,
        expect_plan: str = "",
        record: bool = False,
    ) -> agent_pb2.CallActionResponse:
        """Call "{capability}.{action}" as an agent; an output that is too large is stored with `oversize_to_file`.

        `context` is what the agent knows and gives along. With `dry_run` nothing is written, and the answer's `plan`
        says what would be; with the digest of such a plan as `expect_plan` the call writes that and nothing else.
        With `record` the answer has a cassette, or says why not; it is an answer of an action that failed, too.
        Raises InvalidArgument INPUT_INVALID for params that JSON cannot hold, before anything is sent.
        """
        request = agent_pb2.CallActionRequest(
            agent=self.named("agents", agent),
            action=action,
            input=_input(params),
            oversize=agent_pb2.OVERSIZE_FILE if oversize_to_file else agent_pb2.OVERSIZE_UNSPECIFIED,
            context=context.message(lambda file: self.named("files", file)) if context else None,
            dry_run=dry_run,
            expect_plan=expect_plan,
            record=record,
        )
        return await self.agents.CallAction(request, timeout=seconds)

    async def test(
        self,
        release: str,
        action: str,
        params: Mapping[str, Any] | None = None,
        *,
        settings: str = "",
        step: str = "",
        steps: Mapping[str, Any] | None = None,
        record: bool = False,
        cassette: bytes = b"",
        seconds: float = CALL_SECONDS,
    ) -> agent_pb2.CallActionResponse:
        """Run an action of a release of the own org, a draft too, with a settings document if one is named.

        Of a flow it can be one `step` alone, as if those before it had given what `steps` has for them. With `record`
        the answer has a cassette of it; with a `cassette` it runs on that, and reaches nobody.
        """
        request = agent_pb2.TestActionRequest(
            release=release,
            action=action,
            input=_input(params),
            settings=self.named("settings", settings) if settings else "",
            step=step,
            steps=to_struct(steps) if steps else None,
            record=record,
            cassette=cassette,
        )
        return await self.agents.TestAction(request, timeout=seconds)

    async def events(self, unit: str, *, resource: str = "", page_token: str = "") -> audit_pb2.ListEventsResponse:
        """What was done in a unit with a database ("config", "registry", "marketplace", "files",
        "runtime"), newest first."""
        request = audit_pb2.ListEventsRequest(parent=self.org, resource=resource, page_token=page_token)
        return await self._audit[unit].ListEvents(request, metadata=((UNIT_METADATA, unit),))

    async def _create_secret(self, installation: str, key: str, value: str) -> str:
        plain = f"{installation}-{key}".lower().replace("_", "-")[:63].strip("-")
        # "weather" with PRO_KEY and "weather-pro" with KEY would share the plain id; the digest tells them apart.
        digest = hashlib.sha256(f"{installation}/{key}".encode()).hexdigest()[:10]
        unique = f"{plain[:52].strip('-')}-{digest}"
        for secret_id in (plain, unique):
            request = config_pb2.CreateSecretRequest(
                parent=self.org,
                secret_id=secret_id,
                description=f"{key} of {installation}",
                value=value.encode(),
                request_id=new_request_id(),
            )
            try:
                return (await self.config.CreateSecret(request)).name
            except AlreadyExists:
                continue
        # Made by a call that ended before it could bind it.
        name = f"{self.org}/secrets/{unique}"
        await self._rotate_secret(name, value)
        return name

    async def _rotate_secret(self, name: str, value: str) -> None:
        await self.config.RotateSecret(
            config_pb2.RotateSecretRequest(name=name, value=value.encode(), request_id=new_request_id())
        )

    async def _update_settings(self, settings: config_pb2.Settings) -> config_pb2.Settings:
        return await self.config.UpdateSettings(
            config_pb2.UpdateSettingsRequest(settings=settings, request_id=new_request_id())
        )


def _input(params: Mapping[str, Any] | None) -> Struct:
    """An action's input as it travels; raises InvalidArgument INPUT_INVALID for what JSON cannot hold."""
    try:
        return to_struct(params or {})
    except ValueError as error:  # half a character too, which a model may write and Python's JSON reads
        raise InvalidArgument(
            {"input": str(error)}, reason="INPUT_INVALID", fix="give finite numbers, whole texts, lists and objects"
        ) from None


def new_request_id() -> str:
    """An id that makes a write safe to repeat: the server answers the second as it answered the first."""
    return str(uuid.uuid4())


def output_of(response: agent_pb2.CallActionResponse) -> Any:
    """The output of a call as plain Python."""
    return from_value(response.output)
