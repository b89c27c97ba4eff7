"""Owns how the marketplace is put together: its options, and what it opens and closes."""

from collections.abc import Callable, Sequence

from hardpoint.audit.v1.audit_pb2_grpc import add_AuditServiceServicer_to_server
from hardpoint.marketplace.v1.marketplace_pb2_grpc import add_MarketplaceServiceServicer_to_server
from hardpoint.registry.v1.registry_pb2_grpc import RegistryServiceStub
from hardpoint_kit import options
from hardpoint_kit.audit import AuditRpc
from hardpoint_kit.database import Database, migrate
from hardpoint_kit.platform import Platform
from hardpoint_kit.retention import Retention, common_terms
from hardpoint_kit.unit import Unit
from hardpoint_marketplace.peers import RegistryCapabilities, RegistryReleases
from hardpoint_marketplace.rpc import MarketplaceRpc
from hardpoint_marketplace.service import MarketplaceService
from hardpoint_marketplace.store import Store
from hardpoint_standard import Shipped, shipped


class Options(options.Options):
    """What the marketplace can be told."""

    marketplace_database_url: str = ""
    """PostgreSQL of this unit alone."""


def build(options: Options, platform: Platform, standard: Callable[[], Sequence[Shipped]] = shipped) -> Unit:
    """Put the unit together; nothing is opened before its start, which lists the standard capabilities."""
    database = Database(options.marketplace_database_url)
    registry = RegistryServiceStub(platform.channel("registry"))
    service = MarketplaceService(
        store=Store(database),
        capabilities=RegistryCapabilities(registry),
        releases=RegistryReleases(registry),
        clock=platform.clock,
    )

    retention = Retention(database, platform.clock, common_terms(options))

    async def start() -> None:
        await migrate(options.marketplace_database_url, "hardpoint_marketplace")
        await service.list_standard(standard())
        await retention.start()

    async def stop() -> None:
        await retention.stop()
        await database.close()

    return Unit(
        name="marketplace",
        services=[
            (add_MarketplaceServiceServicer_to_server, MarketplaceRpc(service)),
            (add_AuditServiceServicer_to_server, AuditRpc(database)),
        ],
        start=start,
        stop=stop,
        ready=database.reasons_not_ready,
    )
