"""One process of Hardpoint: the chosen units on one port, with the laptop's defaults where nothing is configured."""

import asyncio
import gc
import signal
from collections.abc import Callable, Sequence

import grpc.aio

from hardpoint_kit.caller import DOOR_ROLE, SERVICE_ROLE
from hardpoint_kit.clock import SystemClock
from hardpoint_kit.errors import InvalidArgument
from hardpoint_kit.platform import Platform
from hardpoint_kit.rpc.client import channel
from hardpoint_kit.rpc.server import Server
from hardpoint_kit.telemetry import Telemetry, setup
from hardpoint_kit.unit import Unit
from hardpointd.catalog import PEERS, WITHOUT_TOKEN, server_module
from hardpointd.defaults import Laptop
from hardpointd.listening import address_to_serve
from hardpointd.options import DaemonOptions


class Daemon:
    """Starts units, serves them, and stops them in order."""

    def __init__(self, units: Sequence[str], options: DaemonOptions) -> None:
        self.units = units
        self.options = options.model_copy(update={"listen": address_to_serve(options.listen)})
        self.laptop = Laptop(self.options)
        self._channels: list[grpc.aio.Channel] = []
        self._server: Server | None = None
        self._telemetry: Telemetry | None = None

    @property
    def address(self) -> str:
        """host:port where the units are served."""
        return self.options.listen

    async def start(self) -> None:
        """Start everything and serve; raises what a unit raises when it cannot start, having stopped the others."""
        self._check_peers()
        name = f"hardpoint-{self.units[0]}" if len(self.units) == 1 else "hardpoint"
        self._telemetry = setup(name, self.options)
        try:
            modules = {unit: server_module(unit) for unit in self.units}
            filled = await self.laptop.start({unit: module.Options() for unit, module in modules.items()})
            built = [modules[unit].build(filled[unit], self._platform(unit)) for unit in self.units]
            await self._serve(built)
        except BaseException:
            await self.stop()
            raise
        # What is there now stays: to look through it for garbage stopped every call for a fifth of a second.
        gc.freeze()
        gc.enable()

    async def stop(self) -> None:
        """Let running calls end, stop the units, leave the database, send the last spans."""
        if self._server is not None:
            await self._server.stop()
        for opened in self._channels:
            await opened.close()
        await self.laptop.stop()
        if self._telemetry is not None:
            await asyncio.to_thread(self._telemetry.shutdown)

    async def run(self, started: Callable[["Daemon"], None]) -> None:
        """Start, say so, and serve until SIGINT or SIGTERM."""
        stopping = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        await self.start()
        started(self)
        await stopping.wait()
        await self.stop()

    async def _serve(self, units: list[Unit]) -> None:
        assert self._telemetry is not None
        self._server = Server(self.options, units, self.laptop.verifier())
        await self._server.start()

    def _check_peers(self) -> None:
        for unit in self.units:
            for peer in PEERS[unit]:
                if peer not in self.units and not self.options.address_of(peer):
                    raise InvalidArgument(
                        f"{unit} calls {peer}, which this process does not serve",
                        fix=f"set HARDPOINT_{peer.upper()}_ADDRESS to its host:port, or serve {peer} here too",
                    )

    def _platform(self, unit: str) -> Platform:
        # The executor shows no token: it runs beside strangers' code, and all it may do is in the tickets it is given.
        silent = unit in WITHOUT_TOKEN or not PEERS[unit]
        role = DOOR_ROLE if unit == "door" else SERVICE_ROLE
        token = None if silent else self.laptop.service_token(f"units/{unit}", role)

        def to_peer(peer: str) -> grpc.aio.Channel:
            address = self.options.address_of(peer) or self.address
            opened = channel(address, token=token, act_for=token is not None and role == SERVICE_ROLE)
            self._channels.append(opened)
            return opened

        return Platform(SystemClock(), to_peer, self.options.state)


def serve(units: Sequence[str], options: DaemonOptions, started: Callable[[Daemon], None]) -> None:
    """Run a daemon on uvloop until it is told to stop."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(Daemon(units, options).run(started))
