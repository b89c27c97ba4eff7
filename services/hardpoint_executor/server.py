"""Builds the executor: its options, and the only place that names what it is made of. It has no database."""

import asyncio
from dataclasses import asdict, astuple
from pathlib import Path

import structlog
from pydantic import Field

from hardpoint.executor.v1.executor_pb2_grpc import add_ExecutorServiceServicer_to_server
from hardpoint_executor.broker.http import HttpClient
from hardpoint_executor.domain import Limits
from hardpoint_executor.jail.holding import clear_unused
from hardpoint_executor.jail.jails import JailOptions, Jails
from hardpoint_executor.jail.leftovers import clear_leftovers
from hardpoint_executor.jail.pool import PoolOptions
from hardpoint_executor.jail.rootfs import default_folder
from hardpoint_executor.jail.slots import SlotOptions
from hardpoint_executor.limits import check_all_read, seconds, whole
from hardpoint_executor.peers import ConfigLeases, RegistryArtifacts, UnitFiles
from hardpoint_executor.rpc import ExecutorRpc
from hardpoint_executor.service import Executor
from hardpoint_kit import options as kit
from hardpoint_kit.dial import parse_aliases
from hardpoint_kit.platform import Platform
from hardpoint_kit.unit import Unit

_log = structlog.get_logger(__name__)


class Options(kit.Options):
    """What the executor can be told. Limits are the operator's policy: no capability gets more."""

    executor_rootfs: Path | None = None
    """Folder for the jails' root folders; they are built at the first start. The machine's usual place when unset."""
    executor_slots: int = Field(default=whole("slots.most"), ge=0)
    """Slots at most, each running one call at a time; 0 means that every call gets an nsjail of its own."""
    executor_slots_clean: int = Field(default=whole("slots.clean"), ge=0)
    """Slots that are started ahead, for capabilities that have none yet."""
    executor_jails_waiting: int = Field(default=whole("single_use.waiting"), ge=0)
    """Single-use jails of each engine that are started ahead; of an engine that has slots there are none."""
    executor_jails_running: int = Field(default=whole("single_use.running"), ge=1)
    """Single-use jails of each engine that may run at once."""
    executor_queue: int = Field(default=whole("queue.calls"), ge=1)
    """Calls that may wait for a slot, and of each engine for a single-use jail; more are refused at once."""
    executor_require_cgroups: bool = False
    """Refuse to serve where a jail's memory and processes are bounded by rlimits alone."""
    executor_libraries: list[str] | None = None
    """Libraries that Python code may ask for, by name or as `numpy==2.4.6`; those that are installed when unset."""
    executor_libraries_from: Path | None = None
    """Folder that the libraries were installed to (`pip install --target`); beside the executor when unset."""
    executor_wall_seconds: float = Field(default=seconds("policy.wall_seconds"), gt=0)
    executor_memory_bytes: int = Field(default=whole("policy.memory_mib"), gt=0)
    executor_output_bytes: int = Field(default=whole("policy.output_kib"), gt=0)
    executor_log_bytes: int = Field(default=whole("policy.log_kib"), ge=0)
    executor_broker_calls: int = Field(default=whole("policy.broker_calls"), ge=0)
    executor_host_aliases: dict[str, str] = {}
    """For tests and demonstrations: a host's name to a loopback host:port that stands in for it, over plain http."""

    def limits(self) -> Limits:
        """The policy as limits."""
        return Limits(
            self.executor_wall_seconds,
            self.executor_memory_bytes,
            self.executor_output_bytes,
            self.executor_log_bytes,
            self.executor_broker_calls,
        )


def jail_of(options: Options) -> Jails:
    """The jail as the options want it, not yet started."""
    pool = PoolOptions(
        waiting=options.executor_jails_waiting, running=options.executor_jails_running, queue=options.executor_queue
    )
    slots = SlotOptions(most=options.executor_slots, clean=options.executor_slots_clean, queue=options.executor_queue)
    return Jails(
        JailOptions(
            folder=options.executor_rootfs,
            require_cgroups=options.executor_require_cgroups,
            pool=pool,
            slots=slots if options.executor_slots else None,
            libraries=None if options.executor_libraries is None else tuple(options.executor_libraries),
            libraries_from=options.executor_libraries_from,
        )
    )


def build(options: Options, platform: Platform) -> Unit:
    """The executor as a unit: ready when strangers' code can be jailed. Raises InvalidArgument for limits.toml."""
    check_all_read()
    jail = jail_of(options)
    http = HttpClient(parse_aliases(options.executor_host_aliases))
    executor = Executor(
        RegistryArtifacts(platform.channel("registry")),
        ConfigLeases(platform.channel("config")),
        jail,
        http,
        platform.clock,
        options.limits(),
        files=UnitFiles(platform.channel("files")),
    )

    async def start() -> None:
        cleared = await asyncio.to_thread(clear_leftovers)
        if any(astuple(cleared)):
            _log.warning("an executor died here; what it left is removed", **asdict(cleared))
        await jail.start()
        state = options.executor_rootfs or default_folder()
        if not jail.reasons_not_ready() and (unused := await asyncio.to_thread(clear_unused, state)):
            _log.info("what nobody runs on any more is removed", folder=str(state), removed=unused)

    async def stop() -> None:
        await jail.stop()
        executor.close()
        await http.close()

    async def ready() -> list[str]:
        return jail.reasons_not_ready()

    return Unit(
        "executor",
        [(add_ExecutorServiceServicer_to_server, ExecutorRpc(executor))],
        start=start,
        stop=stop,
        ready=ready,
    )
