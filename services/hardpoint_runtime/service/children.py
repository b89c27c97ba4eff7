"""Owns runs that steps of other runs begin: begun once, waited for, told of to the step, and ended with their parent.

A step's row names its run before that is begun, by a name that follows from the step alone. Whoever walks the parent
begins what is not there; who ends a run tells the run above it and ends those below it, and `mend` does what was left.
"""

from collections.abc import Container, Mapping
from typing import Any

from hardpoint_kit.caller import ANY_ORG, SYSTEM, Caller
from hardpoint_kit.clock import Clock
from hardpoint_kit.errors import ActionFailed, Conflict, HardpointError, NotFound, ResourceExhausted
from hardpoint_kit.names import RunName, SettingsName
from hardpoint_kit.telemetry import inject, trace_id
from hardpoint_manifest.plan import Step
from hardpoint_runtime.domain.calls import Call
from hardpoint_runtime.domain.children import MOST_DESCENDANTS, Above, Descent
from hardpoint_runtime.domain.releases import Release
from hardpoint_runtime.domain.runs import Failure, Run, RunState, Usage
from hardpoint_runtime.domain.workflows import Decision, Verdict, Waits, Workflow
from hardpoint_runtime.peers import Config
from hardpoint_runtime.service.moves import cancel, decide
from hardpoint_runtime.store import Store

MEND_BATCH = 100


class Children:
    """What whoever walks a run, or ends one, does about the runs above and below it."""

    def __init__(self, store: Store, config: Config, clock: Clock) -> None:
        self._store = store
        self._config = config
        self._clock = clock

    async def find(self, caller: Caller, name: RunName) -> Workflow | None:
        """The run of a step, None while it was not begun."""
        async with self._store.transaction(caller) as tx:
            try:
                return await tx.workflows.get(name)
            except NotFound:
                return None

    async def begin(
        self, caller: Caller, parent: Workflow, name: RunName, call: Call, given: Mapping[str, Any]
    ) -> bool:
        """Begin the run of a step for whom its parent is for; false, and nothing, when that is another's to walk.

        Raises ResourceExhausted CALLEE_LIMIT.
        """
        assert call.installation is not None
        above = parent.descent or Descent()
        own = Above(parent.installation, parent.release.name, parent.release.asks)
        tree = parent.run.tree
        descent = Descent((*above.above, own), parent.name.run, tree.run)
        settings = await settings_of(self._config, call.release, call.settings)
        run = Run(
            name=name,
            agent=parent.run.agent,
            action=str(call.name),
            release=call.release.name,
            state=RunState.QUEUED,
            failure=Failure(),
            started_at=self._clock.now(),
            duration_us=0,
            usage=Usage(),
            trace_id=trace_id(),
            subject=parent.run.subject,
            on_behalf_of=parent.run.on_behalf_of,
            depth=parent.run.depth,
            root=tree.run,
        )
        child = Workflow(
            run,
            call.installation,
            call.release,
            {"input": dict(given), "trigger": dict(given), "settings": settings},
            carrier=inject(),
            context=call.known,
            starters=parent.all_starters,
            descent=descent,
        )
        async with self._store.transaction(caller) as tx:
            if await tx.workflows.lock(parent.turn) is None:
                return False
            if await tx.children.full(tree):
                raise ResourceExhausted(
                    f"run {tree.run} and those that it began have begun {MOST_DESCENDANTS} runs",
                    reason="CALLEE_LIMIT",
                    fix="let the workflows call fewer others",
                    limit=f"{MOST_DESCENDANTS} runs",
                )
            await tx.workflows.add(child)
            await tx.audit("run.start", name, tool=run.action, release=run.release, parent=parent.name)
        return True

    async def settle(self, name: RunName) -> None:
        """Tell the run above one that has ended, and end those below it; nothing for one that has not."""
        async with self._store.transaction(SYSTEM(name.org)) as tx:
            workflow = await tx.workflows.get(name)
        if not workflow.ended:
            return
        if workflow.descent is not None and workflow.descent.parent:
            await self._tell(RunName(name.org, workflow.descent.parent), name)
        await self.end_below(name)

    async def end_below(self, name: RunName, only: Container[str] | None = None) -> None:
        """End the runs that steps of this one began and nobody waits for any more: all, or those of these ids."""
        async with self._store.transaction(SYSTEM(name.org)) as tx:
            below = await tx.children.alive(name)
        for child in below:
            if only is None or child.run in only:
                await self.cancel(child)

    async def cancel(self, name: RunName) -> None:
        """End a run that nobody waits for any more, with those below it."""
        async with self._store.transaction(SYSTEM(name.org)) as tx:
            workflow = await tx.workflows.get(name, lock=True)
            if not workflow.ended:
                await cancel(tx, workflow, self._clock.now())
                await tx.audit("run.cancel", name)
        await self.settle(name)

    async def mend(self) -> None:
        """Do what whoever ended a run had no time to do."""
        async with self._store.transaction(SYSTEM(ANY_ORG)) as tx:
            untold = await tx.children.untold(MEND_BATCH)
        for name in untold:
            await self.settle(name)

    async def _tell(self, parent: RunName, child: RunName) -> None:
        async with self._store.transaction(SYSTEM(parent.org)) as tx:
            workflow = await tx.workflows.get(parent, lock=True)
            steps = [] if workflow.ended else await tx.workflows.steps(parent)
            for step in steps:
                if step.child == child.run and step.waits is Waits.RUN and step.decision is None:
                    await decide(tx, workflow, step, Decision(Verdict.ENDED, ""))


def failure_of_run(child: Workflow) -> HardpointError:
    """Why a step fails whose run did not succeed: for its reason, and with its name."""
    if child.run.state is RunState.CANCELLED:
        return ActionFailed(f"run {child.name} was cancelled", reason="CANCELLED")
    error = child.run.failure.error()
    error.message = f"run {child.name}: {error.message}"
    return error


def check_begins(step: Step, call: Call, plan: str) -> None:
    """Refuse what a step that calls a workflow cannot promise: another attempt, or to hold the run to a plan.

    Raises Conflict CALLEE_WORKFLOW, NO_DRY_RUN.
    """
    if step.retry.attempts > 1 and not step.retry.harmless:
        raise Conflict(
            f"{call.name} is a workflow: a step begins one run of it, whose own steps say how often they are tried",
            reason="CALLEE_WORKFLOW",
            fix="leave out the step's own retry",
            callee=call.name,
        )
    if plan:
        raise Conflict(
            f"{call.name} is a workflow: a run of it cannot be held to a plan",
            reason="NO_DRY_RUN",
            fix="approve what the step shows, without a plan",
            callee=call.name,
        )


async def settings_of(config: Config, release: Release, settings: SettingsName | None) -> dict[str, Any]:
    """What a run is given of the settings of its installation, none of it secret."""
    requirements = [r for r in release.requirements if r.type != "secret"]
    if not requirements or settings is None:
        return {}
    values = await config.values(settings)
    return {r.key: values.get(r.key, r.default) for r in requirements}
