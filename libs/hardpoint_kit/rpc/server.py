"""Owns the gRPC server of a process: its units' services, health, reflection and a graceful end."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health
from grpc_reflection.v1alpha import reflection

from hardpoint_kit.auth import Verifier, rules
from hardpoint_kit.errors import Conflict
from hardpoint_kit.options import Options
from hardpoint_kit.rpc.gate import Gate, Handler
from hardpoint_kit.rpc.wire import LARGEST_MESSAGE, UNIT_METADATA
from hardpoint_kit.unit import Unit

READY_SECONDS = 1.0
STOP_SECONDS = 10.0

_HEALTH = "grpc.health.v1.Health"
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", LARGEST_MESSAGE),
    ("grpc.max_send_message_length", LARGEST_MESSAGE),
    ("grpc.max_metadata_size", 64 * 1024),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    # Two processes on one port would share the calls between them without a word.
    ("grpc.so_reuseport", 0),
)
_log = structlog.stdlib.get_logger(__name__)


class Server:
    """Serves the units of one process on one port.

    Raises ValueError for a service with an RPC that has no usable rule. A service that several units offer is told
    apart by the metadata `hardpoint-unit`; without it the first unit answers.
    """

    def __init__(self, options: Options, units: Sequence[Unit], verifier: Verifier) -> None:
        self.port = 0
        self._options = options
        self._units = units
        self._services = {name for unit in units for name in unit.handlers}
        self._gate = Gate(verifier, rules(sorted(self._services)))
        self._health = health.HealthServicer()
        self._reasons: dict[str, list[str]] = {}
        self._started: list[Unit] = []
        self._watching: asyncio.Task[None] | None = None
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Take the port, start the units, serve, and report health from then on.

        They start side by side, and must not wait for each other. Raises Conflict for a taken port, and what the first
        unit raises that cannot start.
        """
        self._server = server = grpc.aio.server(options=_CHANNEL_OPTIONS)
        try:
            self.port = server.add_insecure_port(self._options.listen)
        except RuntimeError as error:
            raise Conflict(
                f"cannot listen on {self._options.listen}",
                fix="stop what uses the port, or set HARDPOINT_LISTEN to another host:port",
            ) from error
        server.add_generic_rpc_handlers(
            tuple(_ServiceOfUnits(name, self._units, self._gate) for name in sorted(self._services))
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection([*self._services, _HEALTH, reflection.SERVICE_NAME], server)
        try:
            await self._start_units()
            await self._report_health()
            await server.start()
        except BaseException:
            await self.stop(grace=0)
            raise
        self._watching = asyncio.create_task(self._watch_health())
        _log.info("serving", port=self.port, units=[unit.name for unit in self._units])

    async def wait(self) -> None:
        """Return when the server has stopped."""
        assert self._server is not None
        await self._server.wait_for_termination()

    async def stop(self, grace: float = STOP_SECONDS) -> None:
        """Take no new calls, let running ones end for `grace` seconds, then stop the units in reverse order."""
        if self._watching is not None:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching
        await self._health.enter_graceful_shutdown()
        if self._server is not None:
            stopping = asyncio.create_task(self._server.stop(grace))
            await asyncio.sleep(0)  # from here on no call is taken, so a stream that is ended cannot begin anew
            await asyncio.gather(*(self._bounded(unit, unit.drain) for unit in self._started))
            await stopping
        while self._started:
            unit = self._started.pop()
            await self._bounded(unit, unit.stop)

    async def _start_units(self) -> None:
        self._started = list(self._units)
        # All have ended when one raises: what is half started cannot be stopped.
        for error in await asyncio.gather(*(unit.start() for unit in self._units), return_exceptions=True):
            if error is not None:
                raise error

    async def _bounded(self, unit: Unit, end: Callable[[], Awaitable[None]]) -> None:
        """Let a unit end something, for a while; what goes wrong is logged, since everything else must end too."""
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await end()
        except Exception:
            _log.exception("unit did not stop cleanly", unit=unit.name)

    async def _watch_health(self) -> None:
        while True:
            await asyncio.sleep(READY_SECONDS)
            await self._report_health()

    async def _report_health(self) -> None:
        all_reasons = await asyncio.gather(*(self._reasons_of(unit) for unit in self._units))
        for unit, reasons in zip(self._units, all_reasons, strict=True):
            if reasons != self._reasons.get(unit.name, []):
                _log.warning("readiness changed", unit=unit.name, reasons=reasons)
            self._reasons[unit.name] = reasons
        for name in self._services:
            hindered = any(self._reasons[unit.name] for unit in self._units if name in unit.handlers)
            await self._health.set(name, _NOT_SERVING if hindered else _SERVING)
        await self._health.set("", _NOT_SERVING if any(self._reasons.values()) else _SERVING)

    async def _reasons_of(self, unit: Unit) -> list[str]:
        try:
            async with asyncio.timeout(3 * READY_SECONDS):
                return await unit.ready()
        except TimeoutError:
            return [f"{unit.name} does not say whether it is ready"]
        except Exception as error:
            _log.exception("readiness check failed", unit=unit.name)
            return [f"{unit.name}: {type(error).__name__}"]


class _ServiceOfUnits(grpc.GenericRpcHandler):
    """Finds the handler of a call to one service, in the unit that the call names when several offer the service."""

    def __init__(self, name: str, units: Sequence[Unit], gate: Gate) -> None:
        self._prefix = f"/{name}/"
        self._gate = gate
        self._by_unit = {unit.name: unit.handlers[name] for unit in units if name in unit.handlers}
        self._first = next(iter(self._by_unit))
        self._guarded: dict[tuple[str, str], Handler] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler:
        """Return the handler behind the gate, None for a method of another service."""
        method = handler_call_details.method
        if not method.startswith(self._prefix):
            return None
        unit = self._first
        if len(self._by_unit) > 1:
            asked = str(dict(handler_call_details.invocation_metadata).get(UNIT_METADATA))
            unit = asked if asked in self._by_unit else unit
        guarded = self._guarded.get((unit, method))
        if guarded is None:
            handler = self._by_unit[unit].service(handler_call_details)
            if handler is None:
                return None
            guarded = self._guarded[unit, method] = self._gate.guard(method, handler)
        return guarded
