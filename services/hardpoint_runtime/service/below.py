"""Owns a step that calls another workflow: which run it names, and what has become of that."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from hardpoint_kit.errors import DeadlineExceeded, HardpointError, Unavailable
from hardpoint_kit.names import RunName
from hardpoint_manifest.plan import Step
from hardpoint_runtime.domain.calls import Call
from hardpoint_runtime.domain.children import child_name
from hardpoint_runtime.domain.runs import RunState
from hardpoint_runtime.domain.workflows import StepRun, Waits, Workflow
from hardpoint_runtime.service.children import failure_of_run
from hardpoint_runtime.service.ledger import Replaced

if TYPE_CHECKING:
    from hardpoint_runtime.service.stretch import Way

Prepare = Callable[[], Awaitable[tuple[Call, dict[str, Any]]]]
"""What the step calls at this moment, and with what input."""


class Below:
    """The runs below one that is walked, for one stretch."""

    def __init__(self, way: "Way") -> None:
        self._way = way
        self._looked: set[str] = set()

    async def name(self, step: Step, row: StepRun, call: Call) -> StepRun:
        """Write down which run this attempt of a step begins, before it is begun; raises Replaced."""
        seconds = step.timeout_seconds
        due = None if seconds is None else self._way.means.clock.now() + timedelta(seconds=seconds)
        attempts = row.attempts + 1
        return await self._way.pages.put(
            replace(
                row,
                action=str(call.name),
                release=str(call.release.name),
                state=RunState.WAITING,
                attempts=attempts,
                waits=Waits.RUN,
                shown=None,
                decision=None,
                due_at=due,
                child=child_name(row.run, row.step, attempts).run,
            )
        )

    async def look(self, step: str, prepare: Prepare) -> Workflow | HardpointError | None:
        """The run of the step at this place when it was successful, else why it fails, or None while it goes on.

        It is begun if it is not there: whoever named it may have died. Raises Replaced.
        """
        way = self._way
        row = way.rows[step]
        child = RunName(row.run.org, row.child)
        if row.decision is not None or step not in self._looked:
            found = await way.means.children.find(way.means.caller(way.workflow), child)
            if found is not None and found.ended:
                return found if found.run.state is RunState.SUCCEEDED else failure_of_run(found)
            if found is None:
                try:
                    await self._begin(child, prepare)
                except Unavailable:
                    raise
                except HardpointError as error:
                    return error
            # Each stretch looks once: what ends later finds the step waiting, and decides about it.
            self._looked.add(step)
        if row.due_at is None:
            return None
        if row.due_at <= way.means.clock.now():
            await way.means.children.cancel(child)
            return DeadlineExceeded(f"run {child} did not end in time", reason="TIMEOUT")
        way.wake_at(row.due_at)
        return None

    async def _begin(self, child: RunName, prepare: Prepare) -> None:
        way = self._way
        call, given = await prepare()
        if not await way.means.children.begin(way.means.caller(way.workflow), way.workflow, child, call, given):
            raise Replaced
