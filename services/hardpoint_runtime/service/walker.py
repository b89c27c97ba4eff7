"""Owns the walking of stretches in this process: what they share, and what happens when one cannot go on."""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace

import sqlalchemy.exc
import structlog
from opentelemetry import context as otel

from hardpoint_kit.caller import ANY_ORG, SYSTEM, acting_as
from hardpoint_kit.errors import DeadlineExceeded, NotFound, Unavailable
from hardpoint_kit.telemetry import extract, tracer
from hardpoint_runtime.domain.runs import Failure, RunState
from hardpoint_runtime.domain.workflows import Workflow
from hardpoint_runtime.durable.stretches import Stretch
from hardpoint_runtime.service.ledger import Replaced
from hardpoint_runtime.service.means import Means
from hardpoint_runtime.service.stretch import Way

AGAIN_SECONDS = 1.0
MEND_BATCH = 200

_log = structlog.stdlib.get_logger(__name__)


class Walker:
    """Walks what the engine takes from the queue."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._store = means.store
        self._walking: set[asyncio.Task[None]] = set()

    async def walk(self, stretch: Stretch) -> None:
        """Walk a stretch; one that is not the run's newest any more is over. Ends whatever happens."""
        task = asyncio.current_task()
        assert task is not None
        self._walking.add(task)
        try:
            await self._walk(stretch)
        finally:
            self._walking.discard(task)

    async def drain(self) -> None:
        """Begin no step any more; return when those that run have ended."""
        self._means.draining = True
        self._means.changes.wake()
        if self._walking:
            await asyncio.wait(self._walking)

    async def stop(self) -> None:
        """Kill what is still executed; another process goes on with it."""
        for task in self._walking:
            task.cancel()
        await asyncio.gather(*self._walking, return_exceptions=True)

    async def mend(self) -> None:
        """Queue the stretches that runs are waiting for and that are in no queue: it was lost, or is an older one.

        And tell runs of others that they wait for and that have ended.
        """
        while True:
            async with self._store.transaction(SYSTEM(ANY_ORG)) as tx:
                lost = await tx.workflows.lost(MEND_BATCH)
            for stretch in lost:
                await self._continue(stretch)
            if len(lost) < MEND_BATCH:
                break
        await self._means.children.mend()

    async def _walk(self, stretch: Stretch) -> None:
        while not self._means.draining:
            workflow = None
            try:
                async with self._store.transaction(SYSTEM(stretch.run.org)) as tx:
                    workflow = await tx.workflows.take(stretch)
                    rows = await tx.workflows.steps(stretch.run)
                if workflow is None:
                    await self._means.children.settle(stretch.run)  # whoever ended it may have died before
                    return
                with (
                    acting_as(self._means.caller(workflow)),
                    _within(workflow.carrier),
                    tracer.start_as_current_span(f"run {workflow.run.action}"),
                ):
                    way = Way(self._means, workflow, rows)
                    await way.walk()
                if workflow.descent is not None or any(row.child for row in way.rows.values()):
                    await self._means.children.settle(stretch.run)
                return
            except (Replaced, NotFound):
                return
            except (Unavailable, DeadlineExceeded, sqlalchemy.exc.SQLAlchemyError) as error:
                _log.warning("a run cannot go on now", run=str(stretch.run), problem=type(error).__name__)
                await asyncio.sleep(AGAIN_SECONDS)
            except Exception:
                _log.exception("a run failed by a defect", run=str(stretch.run))
                await self._give_up(stretch, workflow)
                return
        # What comes while this process is about to end is left to others.
        await asyncio.sleep(AGAIN_SECONDS)
        await self._continue(stretch)

    async def _give_up(self, stretch: Stretch, taken: Workflow | None) -> None:
        async with self._store.transaction(SYSTEM(stretch.run.org)) as tx:
            workflow = await tx.workflows.get(stretch.run, lock=True)
            mine = workflow.stretch == stretch.number and (taken is None or workflow.turn == taken.turn)
            if mine and not workflow.ended:
                failure = Failure("INTERNAL", "the run could not go on by a defect of ours")
                used = [step.usage for step in await tx.workflows.steps(stretch.run)]
                run = workflow.run.over(RunState.FAILED, failure, self._means.clock.now(), used)
                await tx.workflows.move(workflow, run, workflow.stretch + 1)
                await tx.workflows.cancel_steps(stretch.run)
        await self._means.children.settle(stretch.run)

    async def _continue(self, lost: Stretch) -> None:
        async with self._store.transaction(SYSTEM(lost.run.org)) as tx:
            workflow = await tx.workflows.get(lost.run, lock=True)
            if workflow.stretch != lost.number or workflow.ended:
                return
            following = Stretch(lost.run, lost.number + 1)
            await tx.workflows.move(workflow, replace(workflow.run, state=RunState.QUEUED), following.number)
            await tx.workflows.queue(following)
            _log.warning("a run whose stretch was lost is queued again", run=str(lost.run))


@contextlib.contextmanager
def _within(carrier: Mapping[str, str]) -> Iterator[None]:
    """Be part of the trace that began a run."""
    token = otel.attach(extract(carrier))
    try:
        yield
    finally:
        otel.detach(token)
