"""Owns what the marketplace asks of the registry, and how: in the caller's name, with short deadlines."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from hardpoint.registry.v1 import registry_pb2, registry_pb2_grpc
from hardpoint_kit.names import CapabilityName, ReleaseName
from hardpoint_marketplace.domain import Capability, Details

SECONDS = 3.0


class Capabilities(Protocol):
    """Capabilities as far as the caller may see them."""

    async def get(self, name: CapabilityName) -> Capability:
        """Return a capability; raises NotFound, Unavailable."""
        ...

    async def get_all(self, names: Sequence[CapabilityName]) -> Mapping[CapabilityName, Capability]:
        """Return those of the capabilities that are there and seen; raises Unavailable."""
        ...


class Releases(Protocol):
    """Releases as far as the caller may see them."""

    async def details(self, name: ReleaseName) -> Details:
        """Return the page that a release's manifest makes; raises NotFound, Unavailable."""
        ...


class RegistryCapabilities:
    """Capabilities, asked of the registry."""

    def __init__(self, stub: "registry_pb2_grpc.RegistryServiceAsyncStub") -> None:
        self._stub = stub

    async def get(self, name: CapabilityName) -> Capability:
        """Return a capability; raises NotFound, Unavailable."""
        found = await self._stub.GetCapability(registry_pb2.GetCapabilityRequest(name=str(name)), timeout=SECONDS)
        return _capability(found)

    async def get_all(self, names: Sequence[CapabilityName]) -> Mapping[CapabilityName, Capability]:
        """Return those of the capabilities that are there and seen; raises Unavailable."""
        request = registry_pb2.BatchGetCapabilitiesRequest(names=map(str, names))
        answer = await self._stub.BatchGetCapabilities(request, timeout=SECONDS)
        return {found.name: found for found in map(_capability, answer.capabilities)}


class RegistryReleases:
    """Releases, asked of the registry."""

    def __init__(self, stub: "registry_pb2_grpc.RegistryServiceAsyncStub") -> None:
        self._stub = stub

    async def details(self, name: ReleaseName) -> Details:
        """Return the page that a release's manifest makes; raises NotFound, Unavailable."""
        found = await self._stub.GetRelease(registry_pb2.GetReleaseRequest(name=str(name)), timeout=SECONDS)
        manifest = found.manifest
        return Details.of_release(
            display_name=manifest.name,
            icon=manifest.icon,
            summary=manifest.description,
            license=manifest.license,
            documentation_url=manifest.documentation_url,
            support_url=manifest.support_url,
            repository_url=manifest.repository_url,
            category=manifest.category,
            tags=manifest.tags,
        )


def _capability(found: registry_pb2.Capability) -> Capability:
    return Capability(
        name=CapabilityName.parse(found.name),
        is_public=found.visibility == registry_pb2.VISIBILITY_PUBLIC,
        latest_version=found.latest_version,
    )
