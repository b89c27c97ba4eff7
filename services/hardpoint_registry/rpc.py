"""The registry's gRPC shell: unpack, call, pack."""

from collections.abc import AsyncIterator
from typing import Any

import grpc

from hardpoint.registry.v1 import registry_pb2 as pb
from hardpoint.registry.v1 import registry_pb2_grpc
from hardpoint_kit.caller import caller
from hardpoint_kit.documents import from_struct
from hardpoint_kit.idempotency import request_fingerprint
from hardpoint_kit.masks import etag
from hardpoint_kit.names import CapabilityName, OrgName, ReleaseName
from hardpoint_kit.paging import query_fingerprint
from hardpoint_registry.artifacts import Artifacts
from hardpoint_registry.domain import (
    Artifact,
    Capability,
    CapabilityState,
    Release,
    ReleaseState,
    Submission,
    Visibility,
)
from hardpoint_registry.manifest_proto import example_to_proto, finding_to_proto, manifest_to_proto
from hardpoint_registry.service import PageRequest, Registry
from hardpoint_registry.upload import Announcement

CHUNK_BYTES = 64 * 1024

Context = grpc.aio.ServicerContext[Any, Any]

_VISIBILITIES = {
    Visibility.PRIVATE: pb.VISIBILITY_PRIVATE,
    Visibility.ORGANIZATION: pb.VISIBILITY_ORGANIZATION,
    Visibility.PUBLIC: pb.VISIBILITY_PUBLIC,
}
_VISIBILITIES_FROM_PROTO = {number: visibility for visibility, number in _VISIBILITIES.items()}
_CAPABILITY_STATES = {
    CapabilityState.ACTIVE: pb.CAPABILITY_STATE_ACTIVE,
    CapabilityState.DEPRECATED: pb.CAPABILITY_STATE_DEPRECATED,
}
_RELEASE_STATES = {
    ReleaseState.DRAFT: pb.RELEASE_STATE_DRAFT,
    ReleaseState.CHECKING: pb.RELEASE_STATE_CHECKING,
    ReleaseState.PUBLISHED: pb.RELEASE_STATE_PUBLISHED,
    ReleaseState.REJECTED: pb.RELEASE_STATE_REJECTED,
    ReleaseState.YANKED: pb.RELEASE_STATE_YANKED,
}


class RegistryRpc(registry_pb2_grpc.RegistryServiceServicer):
    """RegistryService over a Registry."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def GetCapability(self, request: pb.GetCapabilityRequest, context: Context) -> pb.Capability:
        """See the proto."""
        return capability_to_proto(await self._registry.capability(caller(context), CapabilityName.parse(request.name)))

    async def BatchGetCapabilities(
        self, request: pb.BatchGetCapabilitiesRequest, context: Context
    ) -> pb.BatchGetCapabilitiesResponse:
        """See the proto."""
        names = [CapabilityName.parse(name, f"names[{index}]") for index, name in enumerate(request.names)]
        found = await self._registry.capabilities_named(caller(context), names)
        return pb.BatchGetCapabilitiesResponse(capabilities=[capability_to_proto(capability) for capability in found])

    async def ListCapabilities(
        self, request: pb.ListCapabilitiesRequest, context: Context
    ) -> pb.ListCapabilitiesResponse:
        """See the proto."""
        parent = OrgName.parse(request.parent, "parent")
        page = await self._registry.capabilities(caller(context), parent, request.query, page_from_proto(request))
        return pb.ListCapabilitiesResponse(
            capabilities=[capability_to_proto(capability) for capability in page.items],
            next_page_token=page.next_page_token,
        )

    async def UpdateCapability(self, request: pb.UpdateCapabilityRequest, context: Context) -> pb.Capability:
        """See the proto."""
        changed = await self._registry.update_capability(
            caller(context),
            CapabilityName.parse(request.capability.name, "capability.name"),
            _VISIBILITIES_FROM_PROTO.get(request.capability.visibility),
            tuple(request.update_mask.paths),
            request.capability.etag,
            request_fingerprint(request),
        )
        return capability_to_proto(changed)

    async def DeprecateCapability(self, request: pb.DeprecateCapabilityRequest, context: Context) -> pb.Capability:
        """See the proto."""
        name = CapabilityName.parse(request.name)
        deprecated = await self._registry.deprecate_capability(
            caller(context), name, request.note, request_fingerprint(request)
        )
        return capability_to_proto(deprecated)

    async def CreateRelease(self, request: pb.CreateReleaseRequest, context: Context) -> pb.CreateReleaseResponse:
        """See the proto."""
        parent = OrgName.parse(request.parent, "parent")
        created = await self._registry.create_release(
            caller(context), parent, submission_from_proto(request), request_fingerprint(request)
        )
        return pb.CreateReleaseResponse(release=release_to_proto(created.release), created=created.created)

    async def GetRelease(self, request: pb.GetReleaseRequest, context: Context) -> pb.Release:
        """See the proto."""
        return release_to_proto(await self._registry.release(caller(context), ReleaseName.parse(request.name)))

    async def ListReleases(self, request: pb.ListReleasesRequest, context: Context) -> pb.ListReleasesResponse:
        """See the proto."""
        parent = CapabilityName.parse(request.parent, "parent")
        page = await self._registry.releases(caller(context), parent, page_from_proto(request))
        return pb.ListReleasesResponse(
            releases=[release_to_proto(release) for release in page.items], next_page_token=page.next_page_token
        )

    async def PublishRelease(self, request: pb.PublishReleaseRequest, context: Context) -> pb.Release:
        """See the proto."""
        name = ReleaseName.parse(request.name)
        return release_to_proto(
            await self._registry.publish_release(caller(context), name, request_fingerprint(request))
        )

    async def ListRecordedExamples(
        self, request: pb.ListRecordedExamplesRequest, context: Context
    ) -> pb.ListRecordedExamplesResponse:
        """See the proto."""
        name = ReleaseName.parse(request.release, "release")
        found = await self._registry.recorded_examples(caller(context), name)
        return pb.ListRecordedExamplesResponse(
            examples=[pb.RecordedExample(example=example_to_proto(example), cassette=data) for example, data in found]
        )

    async def FinishChecks(self, request: pb.FinishChecksRequest, context: Context) -> pb.Release:
        """See the proto."""
        name = ReleaseName.parse(request.release, "release")
        failures, late = (
            {failure.example: (failure.message, failure.fix) for failure in told}
            for told in (request.failures, request.late)
        )
        return release_to_proto(
            await self._registry.finish_checks(caller(context), name, failures, late, request_fingerprint(request))
        )

    async def YankRelease(self, request: pb.YankReleaseRequest, context: Context) -> pb.Release:
        """See the proto."""
        name = ReleaseName.parse(request.name)
        return release_to_proto(
            await self._registry.yank_release(caller(context), name, request.note, request_fingerprint(request))
        )

    async def DeleteRelease(self, request: pb.DeleteReleaseRequest, context: Context) -> pb.DeleteReleaseResponse:
        """See the proto."""
        name = ReleaseName.parse(request.name)
        await self._registry.delete_release(caller(context), name, request_fingerprint(request))
        return pb.DeleteReleaseResponse()

    async def ResolveRelease(self, request: pb.ResolveReleaseRequest, context: Context) -> pb.Release:
        """See the proto."""
        name = CapabilityName.parse(request.capability, "capability")
        return release_to_proto(await self._registry.resolve_release(caller(context), name, request.constraint))


class ArtifactRpc(registry_pb2_grpc.ArtifactServiceServicer):
    """ArtifactService over Artifacts."""

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts

    async def UploadArtifact(
        self, request_iterator: AsyncIterator[pb.UploadArtifactRequest], context: Context
    ) -> pb.Artifact:
        """See the proto."""
        parts = (part_from_proto(request) async for request in request_iterator)
        return artifact_to_proto(await self._artifacts.upload(caller(context), parts))

    async def CreateArtifactTicket(
        self, request: pb.CreateArtifactTicketRequest, context: Context
    ) -> pb.ArtifactTicket:
        """See the proto."""
        ticket = await self._artifacts.ticket(caller(context), ReleaseName.parse(request.release, "release"))
        return pb.ArtifactTicket(ticket=ticket.text, expire_time=ticket.expire_time)

    async def ReadArtifact(
        self, request: pb.ReadArtifactRequest, _context: Context
    ) -> AsyncIterator[pb.ReadArtifactResponse]:
        """See the proto."""
        data = await self._artifacts.read(request.digest, request.ticket)
        for start in range(0, len(data), CHUNK_BYTES):
            yield pb.ReadArtifactResponse(chunk=data[start : start + CHUNK_BYTES])


def page_from_proto(request: pb.ListCapabilitiesRequest | pb.ListReleasesRequest) -> PageRequest:
    """Read which part of a list is asked for."""
    return PageRequest(query_fingerprint(request), request.page_size, request.page_token)


def part_from_proto(request: pb.UploadArtifactRequest) -> Announcement | bytes:
    """Read one message of an upload."""
    if request.WhichOneof("part") == "chunk":
        return request.chunk
    header = request.header
    return Announcement(OrgName.parse(header.parent, "header.parent"), Artifact(header.digest, header.size_bytes))


def submission_from_proto(request: pb.CreateReleaseRequest) -> Submission:
    """Read what is to be released; raises InvalidArgument for a number that JSON cannot hold."""
    header = from_struct(request.header, "header") if request.HasField("header") else None
    return Submission(
        digest=request.digest,
        filename=request.filename,
        header=header,
        visibility=_VISIBILITIES_FROM_PROTO.get(request.visibility, Visibility.PRIVATE),
        validate_only=request.validate_only,
        cassettes=dict(request.cassettes),
    )


def capability_to_proto(capability: Capability) -> pb.Capability:
    """Convert a capability."""
    return pb.Capability(
        name=str(capability.name),
        display_name=capability.display_name,
        description=capability.description,
        icon=capability.icon,
        category=capability.category,
        tags=capability.tags,
        visibility=_VISIBILITIES[capability.visibility],
        state=_CAPABILITY_STATES[capability.state],
        deprecation_note=capability.deprecation_note,
        latest_version=capability.latest_version,
        create_time=capability.create_time,
        update_time=capability.update_time,
        etag=etag(capability),
    )


def release_to_proto(release: Release) -> pb.Release:
    """Convert a release."""
    return pb.Release(
        name=str(release.name),
        state=_RELEASE_STATES[release.state],
        manifest=manifest_to_proto(release.manifest),
        artifact=artifact_to_proto(release.artifact),
        findings=[finding_to_proto(finding) for finding in release.findings],
        yank_note=release.yank_note,
        create_time=release.create_time,
        publish_time=release.publish_time,
        etag=release.etag,
    )


def artifact_to_proto(artifact: Artifact) -> pb.Artifact:
    """Convert an artifact."""
    return pb.Artifact(digest=artifact.digest, size_bytes=artifact.size_bytes, filename=artifact.filename)
