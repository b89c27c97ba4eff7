"""The runtime's view of other units: the registry, config, the marketplace, stored files and the executor.

Services depend on the Protocols; the Grpc classes speak to the units. They raise HardpointError.
"""

from dataclasses import dataclass

from hardpoint_runtime.peers.config import Config, GrpcConfig
from hardpoint_runtime.peers.executor import Executor, GrpcExecutor
from hardpoint_runtime.peers.files import Files, GrpcFiles, Upload
from hardpoint_runtime.peers.marketplace import GrpcMarketplace, Marketplace
from hardpoint_runtime.peers.registry import GrpcRegistry, Registry

__all__ = [
    "Config",
    "Executor",
    "Files",
    "GrpcConfig",
    "GrpcExecutor",
    "GrpcFiles",
    "GrpcMarketplace",
    "GrpcRegistry",
    "Marketplace",
    "Peers",
    "Registry",
    "Upload",
]


@dataclass(frozen=True, slots=True)
class Peers:
    """The units that the runtime calls."""

    registry: Registry
    config: Config
    marketplace: Marketplace
    files: Files
    executor: Executor
