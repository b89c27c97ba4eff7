"""The registry as the marketplace sees it: the real contract on a real port, answered from what a test says."""

from collections.abc import Mapping
from typing import Any

from hardpoint.manifest.v1 import manifest_pb2
from hardpoint.registry.v1 import registry_pb2, registry_pb2_grpc
from hardpoint_kit.caller import caller
from hardpoint_kit.errors import NotFound, Unavailable
from hardpoint_kit.unit import Unit


class Registry(registry_pb2_grpc.RegistryServiceServicer):
    """Knows the capabilities that were published with `publish`; `down` refuses every call."""

    def __init__(self) -> None:
        self.down = False
        self.batches = 0
        self._capabilities: dict[str, registry_pb2.Capability] = {}
        self._releases: dict[str, registry_pb2.Release] = {}

    def publish(
        self, name: str, version: str = "1.0.0", public: bool = True, manifest: Mapping[str, Any] | None = None
    ) -> None:
        """Publish a release of `orgs/{org}/capabilities/{capability}`; no version publishes none."""
        visibility = registry_pb2.VISIBILITY_PUBLIC if public else registry_pb2.VISIBILITY_ORGANIZATION
        self._capabilities[name] = registry_pb2.Capability(name=name, visibility=visibility, latest_version=version)
        said = {"name": name.rpartition("/")[2].replace("-", " ").title(), **(manifest or {})}
        release = f"{name}/releases/{version}"
        self._releases[release] = registry_pb2.Release(name=release, manifest=manifest_pb2.Manifest(**said))

    async def GetCapability(self, request: registry_pb2.GetCapabilityRequest, context: Any) -> registry_pb2.Capability:
        found = self._seen(request.name, context)
        if found is None:
            raise NotFound("capability", request.name)
        return found

    async def BatchGetCapabilities(
        self, request: registry_pb2.BatchGetCapabilitiesRequest, context: Any
    ) -> registry_pb2.BatchGetCapabilitiesResponse:
        self.batches += 1
        found = [self._seen(name, context) for name in request.names]
        return registry_pb2.BatchGetCapabilitiesResponse(capabilities=[one for one in found if one is not None])

    async def GetRelease(self, request: registry_pb2.GetReleaseRequest, context: Any) -> registry_pb2.Release:
        found = self._releases.get(request.name)
        if found is None or self._seen(request.name.partition("/releases/")[0], context) is None:
            raise NotFound("release", request.name)
        return found

    def _seen(self, name: str, context: Any) -> registry_pb2.Capability | None:
        if self.down:
            raise Unavailable("the registry is down")
        found = self._capabilities.get(name)
        own = name.startswith(f"orgs/{caller(context).org}/")
        return found if found and (own or found.visibility == registry_pb2.VISIBILITY_PUBLIC) else None

    def unit(self) -> Unit:
        """The registry, ready to be served."""
        return Unit("registry", [(registry_pb2_grpc.add_RegistryServiceServicer_to_server, self)])
