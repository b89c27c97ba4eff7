"""Owns how the runtime is put together: its options, and what it opens and closes."""

import asyncio
from collections.abc import Callable, Sequence

from pydantic import Field

from hardpoint.audit.v1.audit_pb2_grpc import add_AuditServiceServicer_to_server
from hardpoint.runtime.v1.agent_pb2_grpc import add_AgentServiceServicer_to_server
from hardpoint.runtime.v1.installation_pb2_grpc import add_InstallationServiceServicer_to_server
from hardpoint.runtime.v1.policy_pb2_grpc import add_PolicyServiceServicer_to_server
from hardpoint.runtime.v1.run_pb2_grpc import add_RunServiceServicer_to_server
from hardpoint.runtime.v1.trigger_pb2_grpc import add_TriggerServiceServicer_to_server
from hardpoint_kit import options
from hardpoint_kit.audit import AuditRpc
from hardpoint_kit.clock import Clock
from hardpoint_kit.database import Database, migrate
from hardpoint_kit.platform import Platform
from hardpoint_kit.retention import Retention, Term, common_terms
from hardpoint_kit.unit import Unit
from hardpoint_runtime.durable.engine import Engine
from hardpoint_runtime.durable.stretches import Stretches
from hardpoint_runtime.peers import GrpcConfig, GrpcExecutor, GrpcFiles, GrpcMarketplace, GrpcRegistry, Peers
from hardpoint_runtime.rpc.agents import AgentRpc
from hardpoint_runtime.rpc.installations import InstallationRpc
from hardpoint_runtime.rpc.policies import PolicyRpc
from hardpoint_runtime.rpc.triggers import TriggerRpc
from hardpoint_runtime.rpc.workflows import WorkflowRpc
from hardpoint_runtime.service.agents import Agents
from hardpoint_runtime.service.announcer import Announcer
from hardpoint_runtime.service.calls import Calls
from hardpoint_runtime.service.changes import Changes
from hardpoint_runtime.service.checking import Checking
from hardpoint_runtime.service.children import Children
from hardpoint_runtime.service.composition import Composition
from hardpoint_runtime.service.dispatcher import Dispatcher
from hardpoint_runtime.service.effect_plans import EffectPlans
from hardpoint_runtime.service.executions import Executions
from hardpoint_runtime.service.inbox import Inbox
from hardpoint_runtime.service.installations import Installations
from hardpoint_runtime.service.ledger import Ledger
from hardpoint_runtime.service.means import Means
from hardpoint_runtime.service.policies import Policies
from hardpoint_runtime.service.recorder import Recorder
from hardpoint_runtime.service.recordings import Recordings
from hardpoint_runtime.service.rehearsals import Rehearsals
from hardpoint_runtime.service.run_events import RunEvents
from hardpoint_runtime.service.runs import Runs
from hardpoint_runtime.service.scheduler import Scheduler
from hardpoint_runtime.service.snapshots import Snapshots
from hardpoint_runtime.service.standard import Standard
from hardpoint_runtime.service.steering import Steering
from hardpoint_runtime.service.step_plans import StepPlans
from hardpoint_runtime.service.tickets import Tickets
from hardpoint_runtime.service.triggers import Triggers
from hardpoint_runtime.service.uploads import Uploads
from hardpoint_runtime.service.walker import Walker
from hardpoint_runtime.service.workflows import Workflows
from hardpoint_runtime.store import RunLog, Store
from hardpoint_runtime.store.deliveries import forget_deliveries
from hardpoint_runtime.store.effect_plans import forget_effect_plans
from hardpoint_runtime.store.events import forget_events
from hardpoint_runtime.store.listener import Listener
from hardpoint_runtime.store.run_events import RUN_EVENTS
from hardpoint_runtime.store.run_logs import forget_logs
from hardpoint_runtime.store.steps import RUN_CHANGES, StepLog
from hardpoint_runtime.store.store import CHANGES
from hardpoint_runtime.store.workflows import forget_contents
from hardpoint_standard import Shipped, shipped

STRETCH_DAYS = 1.0
"""How long DBOS keeps stretches that are over: all that is of use of them stands in the runtime's own rows."""


class Options(options.Options):
    """What the runtime can be told."""

    runtime_database_url: str = ""
    """PostgreSQL of this unit alone. LISTEN must work on it: not through a pooler that shares connections."""
    runtime_action_seconds: float = Field(default=30.0, gt=0)
    """Wall time that one execution may take; the executor's own limit may be lower."""
    runtime_run_days: float = Field(default=30.0, gt=0)
    """How long the inputs and outputs of a workflow's run are kept after its end, and plans of dry runs."""
    runtime_door_url: str = ""
    """What addresses of webhooks begin with: where the door is reached from outside, https://hooks.example.com."""
    runtime_trigger_deliveries_per_minute: float = Field(default=600, gt=0)
    """What one webhook may be sent in the long run, at each process of the runtime; more is answered with 429."""
    runtime_org_deliveries_per_minute: float = Field(default=3000, gt=0)
    """What all webhooks of an org together may be sent."""
    runtime_delivery_days: float = Field(default=30, gt=0)
    """How long the history of triggers is kept, and so how long what is sent again is known."""


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


def assemble(
    options: Options,
    clock: Clock,
    peers: Peers,
    standard: Callable[[], Sequence[Shipped]] = shipped,
    *,
    walks: bool = True,
) -> Unit:
    """Put the unit together with any peers, and any standard capabilities.

    One that does not walk workflows leaves them to other processes; a process can hold one that walks.
    """
    url = options.runtime_database_url
    database = Database(url)
    stretches = Stretches(url)
    store = Store(database, stretches)
    snapshots = Snapshots(store, clock)
    store.on_change = snapshots.hear
    changes = Changes()
    tickets = Tickets(peers.registry, peers.config, clock)
    recorder = Recorder(RunLog(url))
    announcer = Announcer(store, peers.marketplace)
    terms = (
        *common_terms(options),
        Term("contents of runs", options.runtime_run_days, forget_contents),
        Term("events of runs", options.runtime_run_days, forget_events),
        Term("logs of runs", options.runtime_run_days, forget_logs),
        Term("effect plans", options.runtime_run_days, forget_effect_plans),
        Term("deliveries", options.runtime_delivery_days, forget_deliveries),
        *((Term("stretches", STRETCH_DAYS, stretches.forget),) if walks else ()),
    )
    retention = Retention(database, clock, terms)

    versions = [(one.manifest.id, one.manifest.version) for one in standard()]
    everywhere = Standard(store, peers.registry, clock, versions)
    children = Children(store, peers.config, clock)
    workflows = Workflows(store, snapshots, changes, peers.config, clock)
    steering = Steering(store, children, clock)
    composition = Composition(store, tickets)
    plans = EffectPlans(store, peers.config)
    executions = Executions(snapshots, tickets, composition, peers, options.runtime_action_seconds)
    recordings, rehearsals = Recordings(store), Rehearsals(snapshots, executions, recorder, workflows, clock)
    calls = Calls(snapshots, composition, executions, recorder, peers, clock, workflows, plans, recordings, rehearsals)
    step_plans = StepPlans(store, snapshots, calls)
    dispatcher = Dispatcher(store, calls, workflows, clock)
    scheduler = Scheduler(store, dispatcher, clock)
    events = RunEvents(store, dispatcher, clock)
    ears = {CHANGES: snapshots.hear, RUN_CHANGES: changes.hear, RUN_EVENTS: events.hear}
    listener = Listener(url, ears, snapshots.listen)
    uploads = Uploads(store, peers.files, dispatcher, clock)
    triggers = Triggers(store, snapshots, dispatcher, clock)
    inbox = Inbox(
        store,
        peers.config,
        dispatcher,
        clock,
        options.runtime_trigger_deliveries_per_minute,
        options.runtime_org_deliveries_per_minute,
    )
    agents = Agents(store, peers.config, everywhere, clock)
    installations = Installations(store, peers.registry, peers.config, everywhere, announcer, clock)

    engine = Engine(url, database, lambda: walker.mend())
    store.on_queued = engine.wake
    ledger = Ledger(StepLog(url, engine.worker))
    means = Means(store, snapshots, calls, executions, ledger, changes, children, clock, engine.worker)
    walker = Walker(means)

    async def start() -> None:
        await migrate(url, "hardpoint_runtime")
        for part in (recorder, ledger, listener, tickets, announcer, dispatcher, scheduler, uploads, events):
            await part.start()
        if walks:
            await engine.start(walker.walk)
        await retention.start()

    async def drain() -> None:
        workflows.drain()
        # First, or it would take what its own walkers leave to others.
        await engine.drain()
        await walker.drain()

    async def stop() -> None:
        await retention.stop()
        await events.stop()
        await uploads.stop()
        await scheduler.stop()
        await dispatcher.stop()
        if walks:
            await walker.stop()
            await engine.stop()
        for other in (ledger, announcer, tickets, listener, recorder):
            await other.stop()
        await asyncio.to_thread(stretches.close)
        await database.close()

    async def ready() -> list[str]:
        return [*await database.reasons_not_ready(), *await engine.reasons_not_ready()]

    return Unit(
        name="runtime",
        services=[
            (add_AgentServiceServicer_to_server, AgentRpc(agents, calls, Checking(calls, peers.registry))),
            (add_InstallationServiceServicer_to_server, InstallationRpc(installations)),
            (add_PolicyServiceServicer_to_server, PolicyRpc(Policies(store, clock))),
            (
                add_RunServiceServicer_to_server,
                WorkflowRpc(Runs(store), workflows, steering, step_plans),
            ),
            (add_TriggerServiceServicer_to_server, TriggerRpc(triggers, inbox, options.runtime_door_url)),
            (add_AuditServiceServicer_to_server, AuditRpc(database)),
        ],
        start=start,
        drain=drain,
        stop=stop,
        ready=ready,
    )
