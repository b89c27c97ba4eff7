"""The runtime's view of the marketplace: where installations are counted."""

from typing import Protocol

import grpc.aio

from hardpoint.marketplace.v1 import marketplace_pb2, marketplace_pb2_grpc
from hardpoint_kit.names import CapabilityName, InstallationName


class Marketplace(Protocol):
    """Where installations are counted."""

    async def record_installation(self, installation: InstallationName, capability: CapabilityName) -> None:
        """Count an installation, once however often it is said."""


class GrpcMarketplace:
    """The marketplace's unit."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = marketplace_pb2_grpc.MarketplaceServiceStub(channel)

    async def record_installation(self, installation: InstallationName, capability: CapabilityName) -> None:
        """See Marketplace."""
        request = marketplace_pb2.RecordInstallationRequest(installation=str(installation), capability=str(capability))
        await self._stub.RecordInstallation(request)
