"""The runtime's view of other units: the registry, config, the marketplace and the executor.

Services depend on the Protocols; the classes below speak to the units over gRPC. They raise HardpointError.
"""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC
from functools import lru_cache
from typing import Any, Protocol

import grpc.aio

from hardpoint.config.v1 import config_pb2, config_pb2_grpc
from hardpoint.executor.v1 import executor_pb2, executor_pb2_grpc
from hardpoint.files.v1 import files_pb2, files_pb2_grpc
from hardpoint.manifest.v1 import manifest_pb2
from hardpoint.marketplace.v1 import marketplace_pb2, marketplace_pb2_grpc
from hardpoint.registry.v1 import registry_pb2, registry_pb2_grpc
from hardpoint_kit.documents import from_struct, from_value, to_struct, to_value
from hardpoint_kit.errors import DeadlineExceeded, HardpointError, Internal, InvalidArgument, Unavailable
from hardpoint_kit.names import (
    CapabilityName,
    ConnectionName,
    FileName,
    InstallationName,
    OrgName,
    ReleaseName,
    RunName,
    SettingsName,
)
from hardpoint_kit.rpc.status import from_status, to_status
from hardpoint_manifest.authority import Authority
from hardpoint_runtime.domain.callees import Refused
from hardpoint_runtime.domain.executions import Allowed, Ended, Execution, Handle, Lent, SaveLimits, Ticket
from hardpoint_runtime.domain.releases import Action, DeclaredTrigger, Effect, OAuth2, Release, Requirement, Verifier
from hardpoint_runtime.domain.runs import Failure, Inner, RunState, Usage

REACH_SECONDS = 0.8
VERIFY_SECONDS = 2.0
"""Slack waits three seconds for an answer."""
DELETE_SECONDS = 3.0
"""A row is locked meanwhile."""
STANDING_REQUESTS = 1024
"""Of actions, kept ready."""


class Registry(Protocol):
    """Where releases come from; asked as the caller of the moment."""

    async def resolve(self, capability: CapabilityName, constraint: str) -> Release:
        """The best published release for a constraint; raises NotFound, Conflict NO_MATCHING_RELEASE."""

    async def release(self, name: ReleaseName) -> Release:
        """A release that the caller's org may see; raises NotFound."""

    async def artifact_ticket(self, name: ReleaseName) -> Ticket:
        """A ticket to read the release's artifact; raises NotFound."""


class Config(Protocol):
    """Where settings and secrets are kept; the runtime sees keys and leases, never a value."""

    async def configured(self, settings: SettingsName) -> frozenset[str]:
        """The keys that have a value or a secret."""

    async def values(self, settings: SettingsName) -> Mapping[str, Any]:
        """The values that are no secrets, by key."""

    async def lease(self, settings: SettingsName) -> Ticket:
        """A ticket to the values of a settings document."""

    async def offer(self, connection: ConnectionName, oauth2: OAuth2) -> None:
        """Say where one signs in for a settings document; raises InvalidArgument for a place that is not public."""

    async def verify(self, settings: SettingsName, verifier: Verifier, headers: Mapping[str, str], body: bytes) -> str:
        """Why a delivery does not prove who sent it, as a reason; empty when it does."""

    async def delete(self, settings: SettingsName) -> None:
        """Remove a settings document; one that is not there is removed already."""

    def changes(self) -> AsyncIterator[tuple[SettingsName, ...]]:
        """The documents that change from the first message on, which names none and comes at once."""


class Marketplace(Protocol):
    """Where installations are counted."""

    async def record_installation(self, installation: InstallationName, capability: CapabilityName) -> None:
        """Count an installation, once however often it is said."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that somebody of an org uploaded, by its handle."""

    org: str
    handle: Handle


class Files(Protocol):
    """Where stored files are kept."""

    async def ticket(self, run: RunName, names: Sequence[FileName], save: SaveLimits) -> Lent:
        """Let a run open files and save some; raises NotFound whose metadata `resource` is a file that is not there."""

    def uploads(self, after: str) -> AsyncIterator[tuple[tuple[Upload, ...], str]]:
        """Uploads of all orgs behind a cursor, in their order, each time with the cursor behind them.

        Without a cursor those from now on; what comes first may be none.
        """


class Executor(Protocol):
    """What runs actions."""

    async def execute(self, execution: Execution) -> Ended:
        """Run an action once and say how it ended; cancelling kills it.

        Raises only for an execution that did not begin: Unavailable NO_EXECUTOR within a second, ResourceExhausted
        QUEUE_FULL, Unauthenticated TICKET_INVALID.
        """


@dataclass(frozen=True, slots=True)
class Peers:
    """The units that the runtime calls."""

    registry: Registry
    config: Config
    marketplace: Marketplace
    files: Files
    executor: Executor


class GrpcRegistry:
    """The registry's unit."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._releases = registry_pb2_grpc.RegistryServiceStub(channel)
        self._artifacts = registry_pb2_grpc.ArtifactServiceStub(channel)

    async def resolve(self, capability: CapabilityName, constraint: str) -> Release:
        """See Registry."""
        request = registry_pb2.ResolveReleaseRequest(capability=str(capability), constraint=constraint)
        return _release(await self._releases.ResolveRelease(request))

    async def release(self, name: ReleaseName) -> Release:
        """See Registry."""
        return _release(await self._releases.GetRelease(registry_pb2.GetReleaseRequest(name=str(name))))

    async def artifact_ticket(self, name: ReleaseName) -> Ticket:
        """See Registry."""
        request = registry_pb2.CreateArtifactTicketRequest(release=str(name))
        ticket = await self._artifacts.CreateArtifactTicket(request)
        return Ticket(ticket.ticket, ticket.expire_time.ToDatetime(tzinfo=UTC))


_VERDICTS = {
    config_pb2.SIGNATURE_VERDICT_VALID: "",
    config_pb2.SIGNATURE_VERDICT_MISSING: "SIGNATURE_MISSING",
    config_pb2.SIGNATURE_VERDICT_WRONG: "SIGNATURE_WRONG",
    config_pb2.SIGNATURE_VERDICT_TOO_OLD: "SIGNATURE_TOO_OLD",
    config_pb2.SIGNATURE_VERDICT_NO_SECRET: "SIGNING_SECRET_MISSING",
}


class GrpcConfig:
    """The config unit."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = config_pb2_grpc.ConfigServiceStub(channel)

    async def configured(self, settings: SettingsName) -> frozenset[str]:
        """See Config."""
        found = await self._stub.GetSettings(config_pb2.GetSettingsRequest(name=str(settings)))
        valued = {key for key, value in found.values.fields.items() if value.WhichOneof("kind") != "null_value"}
        connected = {found.connected_key} if found.connected_key else set()
        return frozenset(valued | set(found.secrets) | connected)

    async def values(self, settings: SettingsName) -> Mapping[str, Any]:
        """See Config."""
        found = await self._stub.GetSettings(config_pb2.GetSettingsRequest(name=str(settings)))
        return {key: value for key, value in from_struct(found.values).items() if value is not None}

    async def lease(self, settings: SettingsName) -> Ticket:
        """See Config."""
        lease = await self._stub.CreateLease(config_pb2.CreateLeaseRequest(settings=str(settings)))
        return Ticket(lease.token, lease.expire_time.ToDatetime(tzinfo=UTC))

    async def offer(self, connection: ConnectionName, oauth2: OAuth2) -> None:
        """See Config."""
        provider = config_pb2.Provider(
            setting=oauth2.setting,
            grant=oauth2.grant,
            authorization_url=oauth2.authorization_url,
            token_url=oauth2.token_url,
            scopes=oauth2.scopes,
        )
        await self._stub.OfferConnection(config_pb2.OfferConnectionRequest(name=str(connection), provider=provider))

    async def verify(self, settings: SettingsName, verifier: Verifier, headers: Mapping[str, str], body: bytes) -> str:
        """See Config."""
        request = config_pb2.VerifySignatureRequest(
            settings=str(settings),
            key=verifier.secret,
            scheme=f"SIGNATURE_SCHEME_{verifier.kind.upper().replace('-', '_')}",
            headers=headers,
            body=body,
            header=verifier.header,
        )
        return _VERDICTS[(await self._stub.VerifySignature(request, timeout=VERIFY_SECONDS)).verdict]

    async def delete(self, settings: SettingsName) -> None:
        """See Config."""
        request = config_pb2.DeleteSettingsRequest(name=str(settings), request_id=uuid.uuid4().hex)
        await self._stub.DeleteSettings(request, timeout=DELETE_SECONDS)

    async def changes(self) -> AsyncIterator[tuple[SettingsName, ...]]:
        """See Config."""
        async for message in self._stub.WatchChanges(config_pb2.WatchChangesRequest()):
            yield tuple(SettingsName.parse(name) for name in message.settings)


class GrpcMarketplace:
    """The marketplace's unit."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = marketplace_pb2_grpc.MarketplaceServiceStub(channel)

    async def record_installation(self, installation: InstallationName, capability: CapabilityName) -> None:
        """See Marketplace."""
        request = marketplace_pb2.RecordInstallationRequest(installation=str(installation), capability=str(capability))
        await self._stub.RecordInstallation(request)


class GrpcFiles:
    """The unit of stored files."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = files_pb2_grpc.FileServiceStub(channel)

    async def ticket(self, run: RunName, names: Sequence[FileName], save: SaveLimits) -> Lent:
        """See Files."""
        request = files_pb2.CreateFileTicketRequest(
            parent=str(OrgName(run.org)),
            names=map(str, names),
            run=str(run),
            execution_id=run.run,
            save_files=save.files,
            save_bytes=save.size_bytes,
        )
        answer = await self._stub.CreateFileTicket(request)
        return Lent(answer.ticket, tuple(map(_handle, answer.files)))

    async def uploads(self, after: str) -> AsyncIterator[tuple[tuple[Upload, ...], str]]:
        """See Files."""
        async for message in self._stub.WatchFiles(files_pb2.WatchFilesRequest(after=after)):
            yield tuple(Upload(FileName.parse(file.name).org, _handle(file)) for file in message.files), message.cursor


def _handle(file: files_pb2.File) -> Handle:
    return {"id": file.name, "name": file.display_name, "type": file.type, "size": file.size_bytes}


class GrpcExecutor:
    """The executor's unit."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self._stub = executor_pb2_grpc.ExecutorServiceStub(channel)

    async def execute(self, execution: Execution) -> Ended:
        """See Executor."""
        request = executor_pb2.ExecuteToEndRequest(execution=_request(execution))
        await self._reach()
        try:
            response = await self._stub.ExecuteToEnd(request, timeout=execution.timeout)
        except HardpointError as error:
            if error.from_transport or isinstance(error, Internal):
                return _lost(error)
            raise
        return _ended(response.finished)

    async def _reach(self) -> None:
        """Wait for a connection that is being made, but not long; raises Unavailable NO_EXECUTOR."""
        state = self._channel.get_state(try_to_connect=True)
        if state is grpc.ChannelConnectivity.READY:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REACH_SECONDS):
                while state in (grpc.ChannelConnectivity.IDLE, grpc.ChannelConnectivity.CONNECTING):
                    await self._channel.wait_for_state_change(state)
                    state = self._channel.get_state(try_to_connect=True)
        if state is not grpc.ChannelConnectivity.READY:
            raise _no_executor()


def _no_executor() -> Unavailable:
    return Unavailable(
        "no executor can be reached",
        reason="NO_EXECUTOR",
        fix="try again; if it persists, start an executor",
        retry_after=1.0,
    )


def _lost(error: HardpointError) -> Ended:
    if isinstance(error, DeadlineExceeded):
        error = DeadlineExceeded("the action did not end in time", reason="TIMEOUT", fix="allow the call more time")
    else:
        error = Unavailable(
            "the executor was lost while the action ran", fix="it may have taken effect: look before you repeat it"
        )
    return Ended(RunState.FAILED, None, error, Usage())


@dataclass(frozen=True, slots=True)
class _Standing:
    """What every execution of an action under one authority asks; a digest tells it apart from other content."""

    name: ReleaseName
    digest: str
    action_id: str
    authority: Authority
    called: bool
    release: Release = field(compare=False)
    action: Action = field(compare=False)


def _request(execution: Execution) -> executor_pb2.ExecuteRequest:
    release, action = execution.release, execution.action
    request = executor_pb2.ExecuteRequest(
        org=str(OrgName(execution.run.org)),
        execution_id=execution.id or execution.run.run,
        artifact_ticket=execution.artifact_ticket,
        lease_token=execution.lease_token,
        limits=manifest_pb2.Limits(wall_seconds=execution.wall_seconds),
        files_ticket=_lent(execution.files) if execution.files.ticket else None,
        agent=execution.agent,
        run=str(execution.run),
        idempotency_key=execution.idempotency_key,
        oversize_to_file=execution.oversize_to_file,
    )
    if execution.alone is not None:
        request.step = execution.alone.step
        request.pinned.CopyFrom(to_struct(execution.alone.pinned))
    standing = _Standing(release.name, release.digest, action.id, execution.authority, False, release, action)
    request.MergeFrom(_standing(standing))
    request.callees.extend(_callee(callee, request) for callee in execution.callees)
    request.callers.extend(
        executor_pb2.Calling(
            release=str(caller.release), authority=_authority(caller.authority), asked=_authority(caller.asks)
        )
        for caller in execution.callers
    )
    try:
        request.input.CopyFrom(to_struct(execution.input))
    except ValueError as error:
        raise InvalidArgument({"input": str(error)}, reason="INPUT_INVALID") from None
    return request


def _lent(lent: Lent) -> executor_pb2.FilesTicket:
    return executor_pb2.FilesTicket(
        ticket=lent.ticket, files=[executor_pb2.FileHandle(**handle) for handle in lent.handles]
    )


def _callee(given: Allowed | Refused, whole: executor_pb2.ExecuteRequest) -> executor_pb2.Callee:
    if isinstance(given, Refused):
        return executor_pb2.Callee(action=given.name, refusal=to_status(given.error))
    callee = given.callee
    release, action = callee.installed.release, callee.action
    execution = executor_pb2.ExecuteRequest(
        org=whole.org,
        execution_id=whole.execution_id,
        artifact_ticket=given.artifact_ticket,
        lease_token=given.lease_token,
        agent=whole.agent,
        run=whole.run,
    )
    execution.MergeFrom(
        _standing(_Standing(release.name, release.digest, action.id, callee.authority, True, release, action))
    )
    execution.callees.extend(_callee(inner, whole) for inner in given.callees)
    return executor_pb2.Callee(action=callee.name, execution=execution, installation=str(callee.installed.name))


def _authority(authority: Authority) -> manifest_pb2.Authority:
    return manifest_pb2.Authority(permissions=sorted(authority.permissions), hosts=sorted(authority.hosts))


@lru_cache(STANDING_REQUESTS)
def _standing(given: _Standing) -> executor_pb2.ExecuteRequest:
    release, action = given.release, given.action
    return executor_pb2.ExecuteRequest(
        release=str(release.name),
        digest=release.digest,
        filename=release.filename,
        action=manifest_pb2.Action(
            id=action.id,
            name=action.name,
            # Nobody but the executor can check the input of what is called from inside.
            input_schema=to_struct(action.input_schema) if given.called else None,
            output_schema=to_struct(action.output_schema),
            effect=f"EFFECT_{action.effect}",
            idempotent=action.idempotent,
        ),
        authority=_authority(given.authority),
        requirements=[
            manifest_pb2.Requirement(
                key=requirement.key,
                type=requirement.type,
                required=requirement.required,
                default_value=None if requirement.default is None else to_value(requirement.default),
                hosts=requirement.hosts,
                pointer=requirement.pointer,
            )
            for requirement in release.requirements
        ],
        engine=release.engine,
        libraries=release.libraries,
        isolation=release.isolation,
        asked=_authority(release.asks),
    )


_USAGE = tuple(field.name for field in fields(Usage))
_STATES = {
    executor_pb2.OUTCOME_OK: RunState.SUCCEEDED,
    executor_pb2.OUTCOME_CANCELLED: RunState.CANCELLED,
}


def _ended(finished: executor_pb2.Finished) -> Ended:
    state = _STATES.get(finished.outcome, RunState.FAILED)
    usage = _usage(finished.usage)
    used = Authority(frozenset(finished.used_permissions), frozenset(finished.used_hosts))
    steps = tuple(map(_inner, finished.steps))
    if state is RunState.SUCCEEDED:
        return Ended(state, finished.output, None, usage, used, steps, finished.output_in_file)
    error = from_status(finished.error)
    # It tells what the action did, and is not about the call that we made.
    error.from_peer = False
    return Ended(state, None, error, usage, used, steps)


def _usage(usage: manifest_pb2.Usage) -> Usage:
    return Usage(*(getattr(usage, field) for field in _USAGE))


def _inner(step: executor_pb2.InnerStep) -> Inner:
    state = _STATES.get(step.outcome, RunState.FAILED)
    return Inner(
        step.id,
        step.action,
        ReleaseName.parse(step.release),
        state,
        Failure() if state is RunState.SUCCEEDED else Failure.of(from_status(step.error)),
        step.start_time.ToDatetime(tzinfo=UTC),
        round(step.duration_ms * 1000),
        _usage(step.usage),
        step.installation,
        Authority(frozenset(step.used.permissions), frozenset(step.used.hosts)),
    )


def _release(release: registry_pb2.Release) -> Release:
    manifest = release.manifest
    return Release(
        ReleaseName.parse(release.name),
        release.artifact.digest,
        release.artifact.filename,
        tuple(
            Action(
                action.id,
                action.name,
                action.description,
                from_struct(action.input_schema),
                from_struct(action.output_schema),
                Effect.READ if action.effect == manifest_pb2.EFFECT_READ else Effect.WRITE,
                action.idempotent,
            )
            for action in manifest.actions
        ),
        tuple(
            Requirement(
                requirement.key,
                requirement.label,
                requirement.type,
                requirement.required,
                from_value(requirement.default_value),
                requirement.description,
                requirement.help_url,
                tuple(requirement.hosts),
                requirement.pointer,
            )
            for requirement in manifest.requirements
        ),
        Authority(frozenset(manifest.authority.permissions), frozenset(manifest.authority.hosts)),
        manifest.engine,
        tuple(manifest.libraries),
        manifest.isolation,
        _oauth2(manifest.oauth2) if manifest.HasField("oauth2") else None,
        from_struct(manifest.plan) if manifest.HasField("plan") else None,
        tuple(manifest.calls),
        manifest_pb2.Kind.Name(manifest.kind).removeprefix("KIND_"),
        tuple(map(_declared_trigger, manifest.triggers)),
    )


def _declared_trigger(declared: manifest_pb2.DeclaredTrigger) -> DeclaredTrigger:
    verifier = declared.verifier
    return DeclaredTrigger(
        declared.id,
        declared.type,
        declared.name,
        declared.event,
        declared.schedule,
        declared.time_zone,
        declared.filter,
        declared.action,
        from_struct(declared.input) if declared.HasField("input") else None,
        Verifier(verifier.kind, verifier.secret, verifier.header) if declared.HasField("verifier") else None,
    )


def _oauth2(declared: manifest_pb2.OAuth2) -> OAuth2:
    return OAuth2(
        declared.setting,
        declared.grant,
        declared.authorization_url,
        declared.token_url,
        tuple(declared.scopes),
        declared.pkce,
    )
