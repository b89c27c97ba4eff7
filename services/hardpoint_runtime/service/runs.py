"""Owns reading the record of what ran."""

from collections.abc import Sequence

from hardpoint_kit.caller import Caller
from hardpoint_kit.errors import NotFound
from hardpoint_kit.names import AgentName, OrgName, RunName
from hardpoint_kit.paging import Page
from hardpoint_runtime.domain.paging import Window
from hardpoint_runtime.domain.runs import LogLine, Run, Step
from hardpoint_runtime.domain.workflows import StepRun
from hardpoint_runtime.store import Store


class Runs:
    """The record of an org's runs."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get_run(self, caller: Caller, name: RunName) -> Run:
        """Return a run; raises NotFound."""
        async with self._store.transaction(caller) as tx:
            return await tx.runs.get(name)

    async def list_runs(
        self, caller: Caller, parent: OrgName, window: Window, agent: AgentName | None, state: str
    ) -> Page[Run]:
        """Return a page of runs, newest first; of one agent, also one that is gone, and in one state when given."""
        if agent is not None and agent.org != parent.org:
            raise NotFound("agent", agent)
        async with self._store.transaction(caller) as tx:
            found = await tx.runs.within(parent.org, window, agent.agent if agent else "", state)
            return window.page(found, lambda run: run.name.run)

    async def list_steps(self, caller: Caller, run: RunName) -> Sequence[Step | StepRun]:
        """Return the steps of a run in the order in which they started; raises NotFound for the run.

        What ran inside of a workflow's step comes when that has ended. A run that nothing ran inside of is its own only
        step.
        """
        async with self._store.transaction(caller) as tx:
            whole = await tx.runs.get(run)
            turn, _ = await tx.workflows.pulse(run)
            inner = await tx.runs.steps(run)
            if turn:
                return sorted([*await tx.workflows.steps(run), *inner], key=_number)
        return inner or [whole.only_step()]

    async def logs(self, caller: Caller, run: RunName) -> Sequence[LogLine]:
        """Return what the code of a run logged, step by step; raises NotFound."""
        async with self._store.transaction(caller) as tx:
            await tx.runs.get(run)
            return await tx.runs.logs(run)


def _number(step: Step | StepRun) -> int:
    return step.number if isinstance(step, StepRun) else int(step.name.step)
