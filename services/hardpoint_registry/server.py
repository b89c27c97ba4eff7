"""Puts the registry together: the only place that names concrete classes."""

from collections.abc import Callable, Sequence

from pydantic import Field

from hardpoint.audit.v1 import audit_pb2_grpc
from hardpoint.registry.v1 import registry_pb2_grpc
from hardpoint_kit import options
from hardpoint_kit.audit import AuditRpc
from hardpoint_kit.database import Database, migrate
from hardpoint_kit.platform import Platform
from hardpoint_kit.retention import Retention, Term, common_terms
from hardpoint_kit.unit import Unit
from hardpoint_registry.artifacts import Artifacts
from hardpoint_registry.blobs import forget_unused
from hardpoint_registry.rpc import ArtifactRpc, RegistryRpc
from hardpoint_registry.service import Registry
from hardpoint_registry.store import Store
from hardpoint_standard import Shipped, shipped


class Options(options.Options):
    """What the registry can be told."""

    registry_database_url: str = ""
    """The registry's own PostgreSQL database, as a role that is granted nothing else."""
    registry_artifact_days: float = Field(default=7, gt=0)
    """How long uploaded bytes are kept that no release uses."""


def build(options: Options, platform: Platform, standard: Callable[[], Sequence[Shipped]] = shipped) -> Unit:
    """Return the registry as a unit.

    Starting it migrates its database, ends checks that were left behind, and publishes the standard capabilities.
    """
    database = Database(options.registry_database_url)
    store = Store(database)
    registry = Registry(store, platform.clock)
    unused = Term("unused artifacts", options.registry_artifact_days, forget_unused, batch=50)
    retention = Retention(database, platform.clock, (*common_terms(options), unused))

    async def start() -> None:
        await migrate(options.registry_database_url, "hardpoint_registry")
        await registry.resume()
        await registry.publish_standard(standard())
        await retention.start()

    async def stop() -> None:
        await retention.stop()
        await database.close()

    return Unit(
        name="registry",
        services=[
            (registry_pb2_grpc.add_RegistryServiceServicer_to_server, RegistryRpc(registry)),
            (registry_pb2_grpc.add_ArtifactServiceServicer_to_server, ArtifactRpc(Artifacts(store, platform.clock))),
            (audit_pb2_grpc.add_AuditServiceServicer_to_server, AuditRpc(database)),
        ],
        start=start,
        stop=stop,
        ready=database.reasons_not_ready,
    )
