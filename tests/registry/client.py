"""A caller of the registry over the wire, and manifests to upload."""

import hashlib
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import grpc

from hardpoint.audit.v1.audit_pb2 import Event, ListEventsRequest
from hardpoint.audit.v1.audit_pb2_grpc import AuditServiceStub
from hardpoint.registry.v1 import registry_pb2 as pb
from hardpoint.registry.v1.registry_pb2_grpc import ArtifactServiceStub, RegistryServiceStub

CAPABILITY = "orgs/acme/capabilities/weather"


def weather(
    version: str = "1.0.0",
    id: str = "weather",
    name: str = "Weather",
    description: str = "What the sky does",
    tags: Iterable[str] = (),
    permissions: Iterable[str] = ("network.http.get",),
) -> bytes:
    """A manifest without findings that are errors."""
    return f"""
capability:
  id: {id}
  name: "{name}"
  version: "{version}"
  description: "{description}"
  tags: [{", ".join(tags)}]
  actions:
    - id: get
      name: Get
      inputs: [{{name: location, type: string, required: true}}]
      outputs: [{{name: temperature, type: number}}]
  integration:
    endpoint: https://api.example.com/v1/current
    params: {{location: "${{input.location}}"}}
    response_mapping: {{temperature: data.temp}}
  permissions: [{", ".join(permissions)}]
""".encode()


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def header(data: bytes, org: str = "acme", digest: str = "", size: int | None = None) -> pb.UploadArtifactRequest:
    return pb.UploadArtifactRequest(
        header=pb.UploadArtifactRequest.Header(
            parent=f"orgs/{org}", digest=digest or digest_of(data), size_bytes=len(data) if size is None else size
        )
    )


def chunks(data: bytes, size: int = 100) -> Iterator[pb.UploadArtifactRequest]:
    for start in range(0, len(data), size):
        yield pb.UploadArtifactRequest(chunk=data[start : start + size])


class Client:
    """One caller."""

    def __init__(self, channel: grpc.aio.Channel, org: str) -> None:
        self.org = org
        self.registry = RegistryServiceStub(channel)
        self.artifacts = ArtifactServiceStub(channel)
        self.audit = AuditServiceStub(channel)

    async def upload(self, *messages: pb.UploadArtifactRequest) -> pb.Artifact:
        async def sent() -> AsyncIterator[pb.UploadArtifactRequest]:
            for message in messages:
                yield message

        return await self.artifacts.UploadArtifact(sent())

    async def create(self, source: bytes, filename: str = "weather.yaml", **fields: Any) -> pb.CreateReleaseResponse:
        """Upload bytes and make a release of them."""
        artifact = await self.upload(header(source, self.org), *chunks(source))
        request = pb.CreateReleaseRequest(
            parent=f"orgs/{self.org}", digest=artifact.digest, filename=filename, **fields
        )
        return await self.registry.CreateRelease(request)

    async def draft(self, source: bytes, filename: str = "weather.yaml", **fields: Any) -> pb.Release:
        return (await self.create(source, filename, **fields)).release

    async def publish(self, name: str, request_id: str = "") -> pb.Release:
        return await self.registry.PublishRelease(pb.PublishReleaseRequest(name=name, request_id=request_id))

    async def released(self, source: bytes, **fields: Any) -> pb.Release:
        """Upload, create and publish."""
        return await self.publish((await self.draft(source, **fields)).name)

    async def yank(self, name: str, note: str = "") -> pb.Release:
        return await self.registry.YankRelease(pb.YankReleaseRequest(name=name, note=note))

    async def delete(self, name: str) -> None:
        await self.registry.DeleteRelease(pb.DeleteReleaseRequest(name=name))

    async def release(self, name: str) -> pb.Release:
        return await self.registry.GetRelease(pb.GetReleaseRequest(name=name))

    async def capability(self, name: str = CAPABILITY) -> pb.Capability:
        return await self.registry.GetCapability(pb.GetCapabilityRequest(name=name))

    async def named(self, *names: str) -> list[str]:
        """Those of the capabilities that are seen."""
        answer = await self.registry.BatchGetCapabilities(pb.BatchGetCapabilitiesRequest(names=names))
        return [capability.name for capability in answer.capabilities]

    async def resolve(self, constraint: str = "", name: str = CAPABILITY) -> pb.Release:
        return await self.registry.ResolveRelease(pb.ResolveReleaseRequest(capability=name, constraint=constraint))

    async def capabilities(
        self, query: str = "", org: str = "acme", page_size: int = 0, page_token: str = ""
    ) -> pb.ListCapabilitiesResponse:
        return await self.registry.ListCapabilities(
            pb.ListCapabilitiesRequest(parent=f"orgs/{org}", query=query, page_size=page_size, page_token=page_token)
        )

    async def ids(self, query: str = "", org: str = "acme") -> list[str]:
        found = await self.capabilities(query, org)
        return [capability.name.rpartition("/")[2] for capability in found.capabilities]

    async def releases(
        self, parent: str = CAPABILITY, page_size: int = 0, page_token: str = ""
    ) -> pb.ListReleasesResponse:
        return await self.registry.ListReleases(
            pb.ListReleasesRequest(parent=parent, page_size=page_size, page_token=page_token)
        )

    async def versions(self, parent: str = CAPABILITY) -> list[str]:
        return [release.manifest.version for release in (await self.releases(parent)).releases]

    async def show(self, visibility: "pb.Visibility", name: str = CAPABILITY, etag: str = "") -> pb.Capability:
        """Change who sees a capability."""
        return await self.registry.UpdateCapability(
            pb.UpdateCapabilityRequest(capability=pb.Capability(name=name, visibility=visibility, etag=etag))
        )

    async def ticket(self, release: str) -> pb.ArtifactTicket:
        return await self.artifacts.CreateArtifactTicket(pb.CreateArtifactTicketRequest(release=release))

    async def read(self, digest: str, ticket: str) -> list[bytes]:
        """The chunks of an artifact."""
        request = pb.ReadArtifactRequest(digest=digest, ticket=ticket)
        return [part.chunk async for part in self.artifacts.ReadArtifact(request)]

    async def events(self) -> list[Event]:
        answer = await self.audit.ListEvents(ListEventsRequest(parent=f"orgs/{self.org}"))
        return list(answer.events)
