"""A server of stand-ins: real gRPC, real authorization, real field rules, and no service behind them."""

import asyncio
import threading
from typing import Any

from cli import fakes
from hardpoint.audit.v1.audit_pb2_grpc import add_AuditServiceServicer_to_server
from hardpoint.config.v1.config_pb2_grpc import add_ConfigServiceServicer_to_server
from hardpoint.executor.v1.executor_pb2_grpc import add_ExecutorServiceServicer_to_server
from hardpoint.files.v1.files_pb2_grpc import add_FileServiceServicer_to_server
from hardpoint.marketplace.v1.marketplace_pb2_grpc import add_MarketplaceServiceServicer_to_server
from hardpoint.registry.v1 import registry_pb2_grpc
from hardpoint.runtime.v1 import agent_pb2_grpc, installation_pb2_grpc, policy_pb2_grpc, run_pb2_grpc, trigger_pb2_grpc
from hardpoint_kit.auth import DevKeys, Verifier
from hardpoint_kit.options import Options
from hardpoint_kit.rpc.server import Server
from hardpoint_kit.telemetry import setup
from hardpoint_kit.unit import Unit


class Serving:
    """A server of stand-ins in a thread of its own, since the command line runs a loop of its own."""

    def __init__(self, keys: DevKeys) -> None:
        self.world = fakes.World()
        self.port = 0
        self._keys = keys
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self.not_ready: dict[str, list[str]] = {}

    def start(self) -> None:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result(30)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._server.stop(0), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()

    def report_health(self) -> None:
        """Say at once how the units are."""
        asyncio.run_coroutine_threadsafe(self._server._report_health(), self._loop).result(30)

    async def _serve(self) -> None:
        options = Options(listen="127.0.0.1:0")
        verifier = Verifier(self._keys.jwks(), issuer="hardpoint")
        setup("tests", options)
        self._server = Server(options, self._units(), verifier)
        await self._server.start()
        self.port = self._server.port

    def _units(self) -> list[Unit]:
        def audit(unit: str) -> Any:
            return (add_AuditServiceServicer_to_server, fakes.Audit(self.world, unit))

        services: dict[str, list[Any]] = {
            "config": [(add_ConfigServiceServicer_to_server, fakes.Config(self.world)), audit("config")],
            "registry": [
                (registry_pb2_grpc.add_RegistryServiceServicer_to_server, fakes.Registry(self.world)),
                (registry_pb2_grpc.add_ArtifactServiceServicer_to_server, fakes.Artifacts(self.world)),
                audit("registry"),
            ],
            "marketplace": [
                (add_MarketplaceServiceServicer_to_server, fakes.Marketplace(self.world)),
                audit("marketplace"),
            ],
            "files": [(add_FileServiceServicer_to_server, fakes.Files(self.world)), audit("files")],
            "executor": [(add_ExecutorServiceServicer_to_server, fakes.Executor(self.world))],
            "runtime": [
                (agent_pb2_grpc.add_AgentServiceServicer_to_server, fakes.Agents(self.world)),
                (installation_pb2_grpc.add_InstallationServiceServicer_to_server, fakes.Installations(self.world)),
                (policy_pb2_grpc.add_PolicyServiceServicer_to_server, fakes.Policy(self.world)),
                (run_pb2_grpc.add_RunServiceServicer_to_server, fakes.Runs(self.world)),
                (trigger_pb2_grpc.add_TriggerServiceServicer_to_server, fakes.Triggers(self.world)),
                audit("runtime"),
            ],
        }

        def ready(unit: str) -> Any:
            async def reasons() -> list[str]:
                return self.not_ready.get(unit, [])

            return reasons

        return [Unit(name, offered, ready=ready(name)) for name, offered in services.items()]
