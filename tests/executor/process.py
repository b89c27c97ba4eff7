"""An executor as a process of its own, whose registry is the test's: for what only a whole process can show."""

import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from demo.daemon import Process, free_port

from hardpoint.executor.v1 import executor_pb2, executor_pb2_grpc
from hardpoint.manifest.v1 import manifest_pb2
from hardpoint.registry.v1 import registry_pb2, registry_pb2_grpc
from hardpoint_kit.auth import DevKeys
from hardpoint_kit.caller import SERVICE_ROLE
from hardpoint_kit.rpc.client import channel
from hardpoint_kit.unit import Unit


class Artifacts(registry_pb2_grpc.ArtifactServiceServicer):
    """Gives the sources of the test by their digest."""

    def __init__(self) -> None:
        self._sources: dict[str, bytes] = {}

    def keep(self, source: str) -> str:
        digest = f"sha256:{sha256(source.encode()).hexdigest()}"
        self._sources[digest] = source.encode()
        return digest

    async def ReadArtifact(self, request: Any, context: Any) -> AsyncIterator[Any]:
        yield registry_pb2.ReadArtifactResponse(chunk=self._sources[request.digest])

    def unit(self) -> Unit:
        return Unit("registry", [(registry_pb2_grpc.add_ArtifactServiceServicer_to_server, self)])


@dataclass
class ExecutorProcess:
    """`hardpointd serve executor`, started, signalled and started again by a test."""

    state: Path
    artifacts: Artifacts
    registry: str
    options: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        address = f"127.0.0.1:{free_port()}"
        code = os.pathsep.join(sys.path)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("HARDPOINT_")}
        own = {
            "PYTHONPATH": code,
            "HARDPOINT_STATE": str(self.state),
            "HARDPOINT_LISTEN": address,
            "HARDPOINT_CONFIG_ADDRESS": self.registry,
            "HARDPOINT_REGISTRY_ADDRESS": self.registry,
            "HARDPOINT_FILES_ADDRESS": self.registry,
            "HARDPOINT_LOG_FORMAT": "json",
            **self.options,
        }
        self.process = Process(("executor",), address, {**inherited, **own}, self.state / "executor.log")

    @property
    def pid(self) -> int:
        assert self.process.running is not None
        return self.process.running.pid

    def log(self) -> str:
        return self.process.log.read_text(errors="replace")

    def signal(self, number: signal.Signals) -> None:
        assert self.process.running is not None
        self.process.running.send_signal(number)

    async def ended(self) -> int:
        """Its exit code, when it has ended."""
        assert self.process.running is not None
        return await self.process.running.wait()

    @asynccontextmanager
    async def caller(self, org: str = "acme") -> AsyncIterator[Any]:
        """What calls it as the runtime does, for an organisation."""
        token = DevKeys(self.state / "keys").mint("units/runtime", org, [SERVICE_ROLE])
        async with channel(self.process.address, token=token) as opened:
            yield executor_pb2_grpc.ExecutorServiceStub(opened)

    def request(self, source: str, filename: str, id: str, org: str = "acme") -> executor_pb2.ExecuteRequest:
        """To run the action `act` of a source once."""
        return executor_pb2.ExecuteRequest(
            org=f"orgs/{org}",
            execution_id=id,
            release=f"orgs/{org}/capabilities/tested/releases/1.0.0",
            digest=self.artifacts.keep(source),
            filename=filename,
            artifact_ticket="ticket",
            action=manifest_pb2.Action(id="act"),
            authority=manifest_pb2.Authority(
                permissions=["network.http.get", "compute.heavy"], hosts=["api.example.com"]
            ),
        )
