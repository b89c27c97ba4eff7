"""Owns what every stretch of this process is walked with."""

from dataclasses import dataclass

from hardpoint_kit.caller import SERVICE_ROLE, Caller
from hardpoint_kit.clock import Clock
from hardpoint_runtime.domain.workflows import Workflow
from hardpoint_runtime.service.calls import Calls
from hardpoint_runtime.service.changes import Changes
from hardpoint_runtime.service.children import Children
from hardpoint_runtime.service.executions import Executions
from hardpoint_runtime.service.ledger import Ledger
from hardpoint_runtime.service.snapshots import Snapshots
from hardpoint_runtime.store import Store


@dataclass
class Means:
    """The parts; `worker` is this process's name in rows, and while it is `draining` no step is begun."""

    store: Store
    snapshots: Snapshots
    calls: Calls
    executions: Executions
    ledger: Ledger
    changes: Changes
    children: Children
    clock: Clock
    worker: str
    draining: bool = False

    def caller(self, workflow: Workflow) -> Caller:
        """Who acts in a run: this unit, for whoever started it."""
        run = workflow.run
        return Caller(run.subject, run.name.org, frozenset({SERVICE_ROLE}), on_behalf_of=run.on_behalf_of)
