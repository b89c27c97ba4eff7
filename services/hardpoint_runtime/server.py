"""Owns how the runtime is put together: its options, and what it opens and closes."""

from collections.abc import Callable, Sequence

from pydantic import Field

from hardpoint.audit.v1.audit_pb2_grpc import add_AuditServiceServicer_to_server
from hardpoint.runtime.v1.agent_pb2_grpc import add_AgentServiceServicer_to_server
from hardpoint.runtime.v1.installation_pb2_grpc import add_InstallationServiceServicer_to_server
from hardpoint.runtime.v1.run_pb2_grpc import add_RunServiceServicer_to_server
from hardpoint_kit import options
from hardpoint_kit.audit import AuditRpc
from hardpoint_kit.clock import Clock
from hardpoint_kit.database import Database, migrate
from hardpoint_kit.platform import Platform
from hardpoint_kit.retention import Retention, common_terms
from hardpoint_kit.unit import Unit
from hardpoint_runtime.peers import GrpcConfig, GrpcExecutor, GrpcFiles, GrpcMarketplace, GrpcRegistry, Peers
from hardpoint_runtime.rpc.agents import AgentRpc
from hardpoint_runtime.rpc.installations import InstallationRpc
from hardpoint_runtime.rpc.runs import RunRpc
from hardpoint_runtime.service.agents import Agents
from hardpoint_runtime.service.announcer import Announcer
from hardpoint_runtime.service.calls import Calls
from hardpoint_runtime.service.composition import Composition
from hardpoint_runtime.service.installations import Installations
from hardpoint_runtime.service.recorder import Recorder
from hardpoint_runtime.service.runs import Runs
from hardpoint_runtime.service.snapshots import Snapshots
from hardpoint_runtime.service.standard import Standard
from hardpoint_runtime.service.tickets import Tickets
from hardpoint_runtime.store import RunLog, Store
from hardpoint_runtime.store.listener import Listener
from hardpoint_standard import Shipped, shipped


class Options(options.Options):
    """What the runtime can be told."""

    runtime_database_url: str = ""
    """PostgreSQL of this unit alone. LISTEN must work on it: not through a pooler that shares connections."""
    runtime_action_seconds: float = Field(default=30.0, gt=0)
    """Wall time that one execution may take; the executor's own limit may be lower."""


def build(options: Options, platform: Platform) -> Unit:
    """Put the unit together with its peers' units; nothing is opened before its start."""
    peers = Peers(
        registry=GrpcRegistry(platform.channel("registry")),
        config=GrpcConfig(platform.channel("config")),
        marketplace=GrpcMarketplace(platform.channel("marketplace")),
        files=GrpcFiles(platform.channel("files")),
        executor=GrpcExecutor(platform.channel("executor")),
    )
    return assemble(options, platform.clock, peers)


def assemble(options: Options, clock: Clock, peers: Peers, standard: Callable[[], Sequence[Shipped]] = shipped) -> Unit:
    """Put the unit together with any peers, and any standard capabilities."""
    url = options.runtime_database_url
    database = Database(url)
    store = Store(database)
    snapshots = Snapshots(store, clock)
    store.on_change = snapshots.hear
    listener = Listener(url, snapshots.hear, snapshots.listen)
    tickets = Tickets(peers.registry, peers.config, clock)
    recorder = Recorder(RunLog(url))
    announcer = Announcer(store, peers.marketplace)
    retention = Retention(database, clock, common_terms(options))

    versions = [(one.manifest.id, one.manifest.version) for one in standard()]
    everywhere = Standard(store, peers.registry, clock, versions)
    composition = Composition(snapshots, store, tickets)
    calls = Calls(snapshots, tickets, composition, recorder, peers, clock, options.runtime_action_seconds)
    agents = Agents(store, peers.config, everywhere, clock)
    installations = Installations(store, peers.registry, peers.config, everywhere, announcer, clock)

    async def start() -> None:
        await migrate(url, "hardpoint_runtime")
        for part in (recorder, listener, tickets, announcer, retention):
            await part.start()

    async def stop() -> None:
        for part in (retention, announcer, tickets, listener, recorder):
            await part.stop()
        await database.close()

    return Unit(
        name="runtime",
        services=[
            (add_AgentServiceServicer_to_server, AgentRpc(agents, calls)),
            (add_InstallationServiceServicer_to_server, InstallationRpc(installations)),
            (add_RunServiceServicer_to_server, RunRpc(Runs(store))),
            (add_AuditServiceServicer_to_server, AuditRpc(database)),
        ],
        start=start,
        stop=stop,
        ready=database.reasons_not_ready,
    )
