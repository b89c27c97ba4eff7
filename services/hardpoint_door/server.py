"""Owns how the door is put together: its options, and the HTTP server that it opens and closes."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn

from hardpoint_door.edge import application
from hardpoint_door.peers import GrpcRuntime, Runtime
from hardpoint_kit import options
from hardpoint_kit.clock import Clock
from hardpoint_kit.errors import Conflict
from hardpoint_kit.platform import Platform
from hardpoint_kit.unit import Unit

MOST_CONNECTIONS = 512
BACKLOG = 256
IDLE_SECONDS = 10
STOP_SECONDS = 5


class Options(options.Options):
    """What the door can be told."""

    door_listen: str = "127.0.0.1:7780"
    """Host and port to serve HTTP on; for senders outside, behind a proxy that ends TLS."""


def build(options: Options, platform: Platform) -> Unit:
    """Put the unit together with the runtime's unit; nothing is opened before its start."""
    return assemble(options, platform.clock, GrpcRuntime(platform.channel("runtime")))


def assemble(options: Options, clock: Clock, runtime: Runtime) -> Unit:
    """Put the unit together with any runtime."""
    door = _Door(options.door_listen, clock, runtime)
    return Unit("door", [], start=door.start, drain=door.stop, stop=door.stop, ready=door.reasons_not_ready)


class _Http(uvicorn.Server):
    """Uvicorn as a guest in our loop: signals are the daemon's business."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Door:
    def __init__(self, listen: str, clock: Clock, runtime: Runtime) -> None:
        self._listen = listen
        self._socket: socket.socket | None = None
        self._serving: asyncio.Task[None] | None = None
        self._http = _Http(
            uvicorn.Config(
                application(runtime, clock),
                lifespan="off",
                loop="none",
                http="h11",
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                proxy_headers=False,
                limit_concurrency=MOST_CONNECTIONS,
                backlog=BACKLOG,
                timeout_keep_alive=IDLE_SECONDS,
                timeout_graceful_shutdown=STOP_SECONDS,
            )
        )

    async def start(self) -> None:
        """Take the port and serve; raises Conflict for a taken port."""
        host, _, port = self._listen.rpartition(":")
        try:
            self._socket = socket.create_server((host.strip("[]"), int(port)), backlog=BACKLOG)
        except (OSError, ValueError, OverflowError) as error:  # a port that is none is one of the last two
            fix = "stop what uses the port, or set HARDPOINT_DOOR_LISTEN to host:port"
            raise Conflict(f"cannot listen on {self._listen}", fix=fix) from error
        self._serving = asyncio.create_task(self._http.serve([self._socket]))

    async def stop(self) -> None:
        """Take no new deliveries and answer those that came."""
        self._http.should_exit = True
        if self._serving is not None:
            await self._serving
            self._serving = None
        if self._socket is not None:
            self._socket.close()

    async def reasons_not_ready(self) -> list[str]:
        """Why no delivery can be taken, nothing when they can."""
        return [] if self._http.started and self._serving is not None else ["the door is not open"]
