"""A Hardpoint server as a process of its own, for the demonstration and the system tests."""

import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

UNITS = ("config", "registry", "marketplace", "files", "executor", "runtime", "door")
START_SECONDS = 90.0
"""The first start on a machine builds the jails' root folders."""
STOP_SECONDS = 20.0
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def serve(units: Sequence[str], environment: Mapping[str, str], log: Path) -> asyncio.subprocess.Process:
    """Start `hardpointd serve`, whose log goes on where it ended."""
    with log.open("ab") as output:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "hardpointd", "serve", *units, env=environment, stdout=output, stderr=output
        )


@dataclass
class Process:
    """One `hardpointd serve`, with what it was started with, so that it can be started again."""

    units: Sequence[str]
    address: str
    environment: dict[str, str]
    log: Path
    running: asyncio.subprocess.Process | None = None

    async def start(self, status: int = SERVING) -> None:
        """Start it and wait until its health has a status; raises RuntimeError with the end of its log without one."""
        self.running = await serve(self.units, self.environment, self.log)
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._says(status)
        except (TimeoutError, ChildProcessError):
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
            wanted = health_pb2.HealthCheckResponse.ServingStatus.Name(status)
            raise RuntimeError(f"hardpointd {' '.join(self.units)} does not say {wanted}:\n{tail}") from None

    async def stop(self) -> None:
        """Ask it to end, and wait."""
        await self.end(signal.SIGTERM)

    async def kill(self) -> None:
        """End it as a power cut would."""
        await self.end(signal.SIGKILL)

    async def end(self, number: signal.Signals) -> None:
        """Send a signal and wait until it has ended; the kernel's kill when it does not."""
        if self.running is None or self.running.returncode is not None:
            return
        self.running.send_signal(number)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self.running.wait()
        except TimeoutError:
            self.running.kill()
            await self.running.wait()

    async def _says(self, status: int) -> None:
        assert self.running is not None
        async with grpc.aio.insecure_channel(self.address) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            while True:
                if self.running.returncode is not None:
                    raise ChildProcessError
                try:
                    answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=1)
                    if answer.status == status:
                        return
                except grpc.aio.AioRpcError:
                    pass
                await asyncio.sleep(0.05)


@dataclass
class Deployment:
    """A Hardpoint, whole unless `units` says less: one process, or one for each unit, over one state folder."""

    state: Path
    separate: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    units: Sequence[str] = UNITS
    processes: dict[str, Process] = field(default_factory=dict)
    door: str = field(default_factory=lambda: f"127.0.0.1:{free_port()}")

    @property
    def address(self) -> str:
        """Where the runtime is served, and with one process everything."""
        return self.processes["runtime"].address

    @property
    def door_url(self) -> str:
        """Where the door is reached."""
        return f"http://{self.door}"

    def addresses(self) -> dict[str, str]:
        """Where each unit is served."""
        return {unit: process.address for unit, process in self.processes.items()}

    async def start(self) -> None:
        """Start every process and wait until all serve; when one does not, none is left running."""
        self.state.mkdir(parents=True, exist_ok=True)
        groups = [(unit,) for unit in self.units] if self.separate else [self.units]
        places = {unit: f"127.0.0.1:{port}" for group in groups for port in [free_port()] for unit in group}
        for group in groups:
            process = Process(group, places[group[0]], self._environment(places, group), self.state / f"{group[0]}.log")
            self.processes.update(dict.fromkeys(group, process))
        try:
            await asyncio.gather(*(process.start() for process in self._distinct()))
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop every process."""
        await asyncio.gather(*(process.stop() for process in self._distinct()))

    def log(self, since: Mapping[Path, int] | None = None) -> str:
        """All that the processes wrote, or what they wrote since their logs ended as `ends` said."""
        return "\n".join(_read(process.log, (since or {}).get(process.log, 0)) for process in self._distinct())

    def ends(self) -> dict[Path, int]:
        """How many bytes are in the log of each process."""
        return {process.log: process.log.stat().st_size for process in self._distinct()}

    def _distinct(self) -> list[Process]:
        return list({id(process): process for process in self.processes.values()}.values())

    def _environment(self, places: Mapping[str, str], group: Sequence[str]) -> dict[str, str]:
        code = os.pathsep.join(sys.path)
        settings = {
            "STATE": str(self.state),
            "LISTEN": places[group[0]],
            "LOG_FORMAT": "json",
            "DOOR_LISTEN": self.door,
            "RUNTIME_DOOR_URL": self.door_url,
            **{f"{unit.upper()}_ADDRESS": place for unit, place in places.items() if unit not in group},
            **{
                name.upper(): value if isinstance(value, str) else json.dumps(value)
                for name, value in self.options.items()
            },
        }
        own = {f"HARDPOINT_{name}": value for name, value in settings.items()}
        quick_spans = {"OTEL_BSP_SCHEDULE_DELAY": "200", "OTEL_METRIC_EXPORT_INTERVAL": "500"}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("HARDPOINT_", "OTEL_"))}
        return {**inherited, "PYTHONPATH": code, "PYTHONUNBUFFERED": "1", **quick_spans, **own}


def _read(path: Path, start: int) -> str:
    with path.open("rb") as file:
        file.seek(start)
        return file.read().decode(errors="replace")


def free_port() -> int:
    """A port that nobody listens on, below those that who dials is given: it stays free while a server is down."""
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", 20_000 + secrets.randbelow(12_000)))
            return int(probe.getsockname()[1])
