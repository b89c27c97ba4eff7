"""Owns transactions: the tables of each noun over one connection, and word of what changed when it is committed."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from hardpoint_kit import audit, idempotency
from hardpoint_kit.caller import Caller
from hardpoint_kit.database import Database
from hardpoint_kit.names import AgentName, InstallationName, PolicyName
from hardpoint_runtime.durable.stretches import Stretches
from hardpoint_runtime.store.agents import Agents
from hardpoint_runtime.store.announcements import Announcements
from hardpoint_runtime.store.attachments import Attachments
from hardpoint_runtime.store.children import Children
from hardpoint_runtime.store.deliveries import Deliveries
from hardpoint_runtime.store.effect_plans import EffectPlans
from hardpoint_runtime.store.events import EarlyEvents
from hardpoint_runtime.store.installations import Installations
from hardpoint_runtime.store.policies import Policies
from hardpoint_runtime.store.run_events import RunEvents
from hardpoint_runtime.store.runs import Runs
from hardpoint_runtime.store.snapshots import Snapshots
from hardpoint_runtime.store.standard import Standard
from hardpoint_runtime.store.triggers import Triggers
from hardpoint_runtime.store.workflows import Workflows

T = TypeVar("T")
CHANGES = "hardpoint_runtime_changes"

_NOTIFY = text("SELECT pg_notify(:channel, :name)")


class Transaction:
    """Everything that one transaction can do."""

    def __init__(self, connection: AsyncConnection, caller: Caller, stretches: Stretches | None) -> None:
        self.agents = Agents(connection)
        self.installations = Installations(connection)
        self.attachments = Attachments(connection)
        self.runs = Runs(connection)
        self.workflows = Workflows(connection, stretches)
        self.children = Children(connection)
        self.early_events = EarlyEvents(connection)
        self.snapshots = Snapshots(connection)
        self.policies = Policies(connection)
        self.standard = Standard(connection)
        self.announcements = Announcements(connection)
        self.triggers = Triggers(connection)
        self.deliveries = Deliveries(connection)
        self.effect_plans = EffectPlans(connection)
        self.run_events = RunEvents(connection)
        self.changed: list[str] = []
        self._connection = connection
        self._caller = caller

    async def audit(self, action: str, resource: object, **facts: object) -> None:
        """Record what the caller does."""
        await audit.record(self._connection, self._caller, action, resource, **facts)

    async def tell(self, name: AgentName | InstallationName | PolicyName) -> None:
        """Tell every runtime process, when this is committed, that what it remembers of this noun is old."""
        self.changed.append(str(name))
        await self._connection.execute(_NOTIFY, {"channel": CHANGES, "name": str(name)})

    async def once(
        self, method: str, fingerprint: str, answer_type: type[T], work: Callable[["Transaction"], Awaitable[T]]
    ) -> T:
        """Do the caller's work unless its request was answered before."""
        return await idempotency.once(
            self._connection, self._caller, method, fingerprint, answer_type, lambda: work(self)
        )


class Store:
    """The runtime's database. `on_change` hears of this process's own changes as soon as they are committed.

    `stretches` is where runs of workflows are put to be walked, and `on_queued` hears when one of them can be.
    """

    def __init__(self, database: Database, stretches: Stretches | None = None) -> None:
        self._database = database
        self._stretches = stretches
        self.on_change: Callable[[str], None] = lambda _name: None
        self.on_queued: Callable[[], None] = lambda: None

    @asynccontextmanager
    async def transaction(self, caller: Caller) -> AsyncIterator[Transaction]:
        """Open a transaction that sees the rows of the caller's org."""
        async with self._database.transaction(caller.org) as connection:
            tx = Transaction(connection, caller, self._stretches)
            yield tx
        for name in tx.changed:
            self.on_change(name)
        if tx.workflows.queued:
            self.on_queued()

    async def once(
        self,
        caller: Caller,
        method: str,
        fingerprint: str,
        answer_type: type[T],
        work: Callable[[Transaction], Awaitable[T]],
    ) -> T:
        """Do a write in one transaction, or give the first answer to the same request again."""
        async with self.transaction(caller) as tx:
            return await tx.once(method, fingerprint, answer_type, work)
