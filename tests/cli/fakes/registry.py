"""The registry: capabilities, releases, and the files that were uploaded."""

from collections.abc import AsyncIterator
from typing import Any

import yaml

from hardpoint.registry.v1 import registry_pb2, registry_pb2_grpc
from hardpoint_kit.errors import AlreadyExists

from .world import Fake, known, release


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
