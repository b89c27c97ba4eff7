"""The runtime's view of the registry: releases, and tickets to their artifacts."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Protocol

import grpc.aio

from hardpoint.manifest.v1 import manifest_pb2
from hardpoint.registry.v1 import registry_pb2, registry_pb2_grpc
from hardpoint_kit.documents import from_struct, from_value
from hardpoint_kit.names import CapabilityName, ReleaseName
from hardpoint_manifest.authority import Authority
from hardpoint_manifest.handles import present
from hardpoint_manifest.model import Example
from hardpoint_runtime.domain.executions import Ticket
from hardpoint_runtime.domain.releases import (
    Action,
    DeclaredTrigger,
    Effect,
    OAuth2,
    RecordedExample,
    Release,
    Requirement,
    Verifier,
)


class Registry(Protocol):
    """Where releases come from; asked as the caller of the moment."""

    async def resolve(self, capability: CapabilityName, constraint: str) -> Release:
        """The best published release for a constraint; raises NotFound, Conflict NO_MATCHING_RELEASE."""

    async def release(self, name: ReleaseName) -> Release:
        """A release that the caller's org may see; raises NotFound."""

    async def artifact_ticket(self, name: ReleaseName) -> Ticket:
        """A ticket to read the release's artifact; raises NotFound."""

    async def recorded_examples(self, name: ReleaseName) -> Sequence[RecordedExample]:
        """The examples of a release that came with cassettes; raises NotFound."""

    async def finish_checks(
        self, name: ReleaseName, failures: Mapping[str, tuple[str, str]], late: Mapping[str, tuple[str, str]]
    ) -> bool:
        """End the checks of a release; message and fix of the examples that did not hold, or did not end in time.

        False while nothing is decided, since what is late may be so another time. Raises Conflict.
        """


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

    async def recorded_examples(self, name: ReleaseName) -> Sequence[RecordedExample]:
        """See Registry."""
        request = registry_pb2.ListRecordedExamplesRequest(release=str(name))
        found = await self._releases.ListRecordedExamples(request)
        return [RecordedExample(_example(one.example), one.cassette) for one in found.examples]

    async def finish_checks(
        self, name: ReleaseName, failures: Mapping[str, tuple[str, str]], late: Mapping[str, tuple[str, str]]
    ) -> bool:
        """See Registry."""
        told, told_late = (
            [
                registry_pb2.ExampleFailure(example=example, message=message[:4096], fix=fix[:4096])
                for example, (message, fix) in examples.items()
            ]
            for examples in (failures, late)
        )
        request = registry_pb2.FinishChecksRequest(
            release=str(name), failures=told, late=told_late, request_id=uuid.uuid4().hex
        )
        state = (await self._releases.FinishChecks(request)).state
        return state != registry_pb2.RELEASE_STATE_CHECKING


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
                present(from_struct(action.input_schema)),
                present(from_struct(action.output_schema)),
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


def _example(example: manifest_pb2.Example) -> Example:
    return Example(
        name=example.name,
        action=example.action,
        input=from_struct(example.input),
        expected_output=from_value(example.expected_output),
        expected_error=example.expected_error,
        steps=from_struct(example.steps),
        settings=from_struct(example.settings),
        trigger=from_struct(example.trigger) if example.HasField("trigger") else None,
    )


def _declared_trigger(declared: manifest_pb2.DeclaredTrigger) -> DeclaredTrigger:
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
        verifier_from_proto(declared.verifier) if declared.HasField("verifier") else None,
        declared.order_by,
    )


def verifier_from_proto(verifier: manifest_pb2.Verifier) -> Verifier:
    """Read how deliveries prove where they come from."""
    headers = (verifier.header, verifier.id_header, verifier.timestamp_header)
    return Verifier(verifier.kind, verifier.secret, *(name.lower() for name in headers))


def _oauth2(declared: manifest_pb2.OAuth2) -> OAuth2:
    return OAuth2(
        declared.setting,
        declared.grant,
        declared.authorization_url,
        declared.token_url,
        tuple(declared.scopes),
        declared.pkce,
        declared.revocation_url,
    )
