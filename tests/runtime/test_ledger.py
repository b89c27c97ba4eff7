"""What walkers write: in their turn alone, once, many runs together."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from hardpoint_kit.caller import SYSTEM
from hardpoint_kit.clock import SystemClock
from hardpoint_kit.database import Database
from hardpoint_kit.errors import Unavailable
from hardpoint_kit.names import InstallationName, ReleaseName, RunName
from hardpoint_kit.rpc.server import Server
from hardpoint_runtime.domain.counters import Counters
from hardpoint_runtime.domain.runs import CountedFor, Failure, Inner, Run, RunState, Share, Usage
from hardpoint_runtime.domain.workflows import StepRun, Workflow
from hardpoint_runtime.durable.stretches import Stretch
from hardpoint_runtime.service import ledger as ledgers
from hardpoint_runtime.service.changes import Changes
from hardpoint_runtime.service.children import Children
from hardpoint_runtime.service.ledger import Ledger, Pages, Replaced
from hardpoint_runtime.service.means import Means
from hardpoint_runtime.service.stretch import Way
from hardpoint_runtime.service.walker import Walker
from hardpoint_runtime.store import Store
from hardpoint_runtime.store.steps import Page, StepLog
from runtime.conftest import Query
from runtime.workflows import workflow

AT = datetime(2030, 1, 1, tzinfo=UTC)
RELEASE = ReleaseName("acme", "orders", "1.0.0")


class Unqueued:
    """A queue that nobody takes anything from."""

    async def put(self, *_: Any) -> None:
        pass


class Tables:
    """The tables of a runtime whose runs the test walks itself."""

    def __init__(self, url: str) -> None:
        self.database = Database(url)
        self.store = Store(self.database, Unqueued())  # type: ignore[arg-type]
        self.log = StepLog(url, "w1")

    async def add(self, run: str) -> Stretch:
        name = RunName("acme", run)
        began = Run(name, "helper", "orders.run", RELEASE, RunState.QUEUED, Failure(), AT, 0, Usage(), "", "ada")
        async with self.store.transaction(SYSTEM("acme")) as tx:
            await tx.workflows.add(Workflow(began, InstallationName("acme", "orders"), workflow(), {}))
        return Stretch(name, 1)

    async def take(self, stretch: Stretch) -> Workflow:
        async with self.store.transaction(SYSTEM("acme")) as tx:
            taken = await tx.workflows.take(stretch)
        assert taken is not None
        return taken

    async def steps(self, stretch: Stretch) -> dict[str, RunState]:
        async with self.store.transaction(SYSTEM("acme")) as tx:
            return {row.step: row.state for row in await tx.workflows.steps(stretch.run)}


@pytest.fixture
async def tables(server: Server, url: str) -> AsyncIterator[Tables]:
    tables = Tables(url)
    yield tables
    await tables.log.close()
    await tables.database.close()


def step(stretch: Stretch, place: str, state: RunState = RunState.RUNNING, **more: Any) -> StepRun:
    return StepRun(stretch.run, place, state=state, started_at=AT, **more)


def page(taken: Workflow, number: int, *rows: StepRun, **more: Any) -> Page:
    return Page(taken.turn, number, len(rows), rows, **more)


async def test_what_is_written_out_of_turn_changes_nothing(tables: Tables) -> None:
    """Two walkers of one stretch: the one that took the run up last writes, beside the run of somebody else."""
    stretch, other = await tables.add("r1"), await tables.add("r2")
    stale, beside = await tables.take(stretch), await tables.take(other)
    newest = await tables.take(stretch)
    written = await tables.log.write(
        [page(stale, 1, step(stretch, "mine", number=1)), page(beside, 1, step(other, "put", number=1))]
    )
    assert set(written) == {other.run}
    assert await tables.steps(stretch) == {}
    assert await tables.steps(other) == {"put": RunState.RUNNING}
    assert set(await tables.log.write([page(newest, 1, step(stretch, "put", number=1))])) == {stretch.run}
    assert await tables.steps(stretch) == {"put": RunState.RUNNING}


async def test_two_walkers_of_one_run_in_one_process_write_apart(tables: Tables) -> None:
    """A process that was taken for dead may take up again what it walks, while it has not heard of it."""
    stretch = await tables.add("r1")
    log = Counting(tables.log)
    stale, newest = [Pages(log.ledger, await tables.take(stretch), []) for _ in range(2)]
    puts = [asyncio.create_task(pages.put(step(stretch, place))) for pages, place in ((stale, "a"), (newest, "b"))]
    await asyncio.wait(puts, timeout=0)
    async with walking(log):
        ended = await asyncio.gather(*puts, return_exceptions=True)
    assert isinstance(ended[0], Replaced)
    assert await tables.steps(stretch) == {"b": RunState.RUNNING}


async def test_after_a_page_that_was_not_written_comes_no_other(tables: Tables) -> None:
    """Else what a step made of another one's output would stand there without it."""
    stretch, other = await tables.add("r1"), await tables.add("r2")
    log = Counting(tables.log)
    async with walking(log):
        pages, beside = [Pages(log.ledger, await tables.take(one), []) for one in (stretch, other)]
        with pytest.raises(Exception, match="NUL"):
            await pages.put(step(stretch, "put", action="\0"))
        pages.note(step(stretch, "mail"))
        with pytest.raises(Exception, match="NUL"):
            await pages.settle()
        await beside.put(step(other, "put"))
        assert await tables.steps(stretch) == {}
        await pages.close()


async def test_who_fails_by_a_defect_ends_no_run_that_is_another_s_by_now(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    stretch = await tables.add("r1")
    others: list[Workflow] = []

    async def walk(_way: Way) -> None:
        if not others:
            others.append(await tables.take(stretch))
        raise RuntimeError("a defect")

    monkeypatch.setattr(Way, "walk", walk)
    nothing: Any = None
    clock = SystemClock()
    children = Children(tables.store, nothing, clock)
    means = Means(tables.store, nothing, nothing, nothing, nothing, Changes(), children, clock, "w1")

    async def state() -> RunState:
        async with tables.store.transaction(SYSTEM("acme")) as tx:
            return (await tx.workflows.get(stretch.run)).run.state

    await Walker(means).walk(stretch)
    assert await state() is RunState.RUNNING
    await Walker(means).walk(stretch)
    assert await state() is RunState.FAILED


async def test_what_is_written_again_is_written_once(tables: Tables, query: Query) -> None:
    """A writer whose connection died does not know whether it wrote."""
    stretch = await tables.add("r1")
    taken = await tables.take(stretch)
    whole = page(
        taken,
        1,
        step(stretch, "put", RunState.SUCCEEDED, number=1, output={"a": ["\0", 1.50]}),
        inner=[(2, Inner("put/look", "shop.look", RELEASE, RunState.SUCCEEDED, Failure(), AT, 5, Usage()))],
        shares=[Share(CountedFor("a", "i"), Counters(1, 0, 1, 5, AT), frozenset({"ai.call"}))],
        end=replace(taken.run, state=RunState.SUCCEEDED, duration_us=7),
        output=[1],
    )
    assert await tables.log.write([whole]) == await tables.log.write([whole]) == {stretch.run: taken.sequence + 1}
    assert await query("SELECT executions, usages, total_us FROM usage_counters") == [(1, 1, 5)]
    assert await query("SELECT granted, executions FROM grant_uses") == [("ai.call", 1)]
    assert await query("SELECT position, path FROM inner_steps") == [(2, "put/look")]
    async with tables.store.transaction(SYSTEM("acme")) as tx:
        ended = await tx.workflows.get(stretch.run)
        (row,) = await tx.workflows.steps(stretch.run)
    assert (ended.run.state, ended.run.duration_us, ended.output) == (RunState.SUCCEEDED, 7, [1])
    assert ended.run_sequence == ended.sequence == row.sequence
    assert row.output == {"a": ["\0", 1.50]}
    async with tables.store.transaction(SYSTEM("acme")) as tx:
        assert await tx.workflows.take(stretch) is None


async def test_an_end_is_written_with_the_next_begin_or_soon(tables: Tables) -> None:
    stretch = await tables.add("r1")
    log = Counting(tables.log)
    async with walking(log):
        pages = Pages(log.ledger, await tables.take(stretch), [])
        first = await pages.put(step(stretch, "a"))
        pages.note(replace(first, state=RunState.SUCCEEDED))
        second = await pages.put(step(stretch, "b"))
        assert (first.number, second.number) == (1, 2)
        assert [[row.step for row in written] for written in log.written] == [["a"], ["a", "b"]]
        pages.note(replace(second, state=RunState.SUCCEEDED))
        await pages.settle()
        assert await tables.steps(stretch) == {"a": RunState.SUCCEEDED, "b": RunState.SUCCEEDED}
        pages.note(replace(second, state=RunState.FAILED))
        async with asyncio.timeout(10):
            while (await tables.steps(stretch))["b"] is not RunState.FAILED:
                await asyncio.sleep(0.005)
        await pages.close()


async def test_a_refused_row_takes_no_other_run_with_it(tables: Tables) -> None:
    """Neither one that is another's by now, nor one that the database cannot store."""
    stretches = [await tables.add(f"r{number}") for number in range(3)]
    log = Counting(tables.log)
    async with walking(log):
        stale, broken, well = [Pages(log.ledger, await tables.take(stretch), []) for stretch in stretches]
        await tables.take(stretches[0])
        ended = await asyncio.gather(
            stale.put(step(stretches[0], "put")),
            broken.put(step(stretches[1], "put", action="\0")),
            well.put(step(stretches[2], "put")),
            return_exceptions=True,
        )
        assert isinstance(ended[0], Replaced)
        assert isinstance(ended[1], Exception)
        assert not isinstance(ended[1], Replaced)
        assert isinstance(ended[2], StepRun)
        assert [len(await tables.steps(stretch)) for stretch in stretches] == [0, 0, 1]
        for one in (stale, broken, well):
            await one.close()


async def test_a_database_that_is_away_is_waited_for(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a step did is known to its walker alone: to forget it would make it doubtful."""
    monkeypatch.setattr(ledgers, "AGAIN_SECONDS", 0.0)
    stretch = await tables.add("r1")
    log = Counting(tables.log, away=3)
    async with walking(log):
        pages = Pages(log.ledger, await tables.take(stretch), [])
        await pages.put(step(stretch, "put", RunState.SUCCEEDED))
        assert await tables.steps(stretch) == {"put": RunState.SUCCEEDED}
        monkeypatch.setattr(ledgers, "PATIENCE_SECONDS", 0.0)
        log.away = 1_000_000
        with pytest.raises(Unavailable):
            await pages.put(step(stretch, "mail"))
        await pages.close()


class Counting:
    """The log, with what was written together; `away` times it cannot be reached."""

    def __init__(self, log: StepLog, away: int = 0) -> None:
        self._log = log
        self.away = away
        self.written: list[Sequence[StepRun]] = []
        self.ledger = Ledger(self)  # type: ignore[arg-type]

    async def write(self, pages: Sequence[Page]) -> dict[RunName, int]:
        if self.away:
            self.away -= 1
            raise Unavailable("away")
        self.written.append([row for page in pages for row in page.rows])
        return await self._log.write(pages)

    async def close(self) -> None:
        pass


@asynccontextmanager
async def walking(log: Counting) -> AsyncIterator[None]:
    await log.ledger.start()
    try:
        yield
    finally:
        await log.ledger.stop()
