"""Owns how steps come to disk: what the runs of this process have to write at the same time is one transaction.

A step is written before it begins, since it may have an effect that nobody can repeat. How it ended is written with
whatever begins next, at the latest a moment later: until then nothing was done that could not be known from its row.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import structlog

from hardpoint_kit.background import Background
from hardpoint_kit.errors import HardpointError, Unavailable
from hardpoint_kit.names import RunName
from hardpoint_runtime.domain.runs import Inner, LogLine, Run, Share
from hardpoint_runtime.domain.workflows import StepRun, Workflow
from hardpoint_runtime.store.steps import Page, StepLog

TOGETHER_SECONDS = 0.003
"""How long the end of a step waits for the begin of the next one."""
LARGEST_BATCH = 100
PATIENCE_SECONDS = 10.0
"""How long a database that is away is waited for: what a step did is known here, and nowhere else."""
AGAIN_SECONDS = 0.25
CLOSE_SECONDS = 2.0

_log = structlog.stdlib.get_logger(__name__)


class Replaced(Exception):
    """Somebody else goes on with this run, or nobody does."""


class Ledger:
    """One writer for all runs of this process; while it writes, what comes next gathers."""

    def __init__(self, log: StepLog) -> None:
        self._log = log
        self._waiting: dict[Pages, None] = {}
        self._news = asyncio.Event()
        self._writing = Background(self._write_forever)

    async def start(self) -> None:
        """Write from now on."""
        self._writing.start()

    async def stop(self) -> None:
        """Stop; whoever walks has ended."""
        await self._writing.stop()
        await self._log.close()

    def write(self, pages: "Pages") -> None:
        """Have written what these hold then."""
        self._waiting[pages] = None
        self._news.set()

    async def _write_forever(self) -> None:
        while True:
            await self._news.wait()
            taken = self._next()
            if not self._waiting:
                self._news.clear()
            if not taken:
                continue
            try:
                await self._write([(one, one.take()) for one in taken])
            except Exception as error:
                _log.exception("steps are not written")  # a defect, which must not end the writing
                for one in taken:
                    one.break_off(error)

    def _next(self) -> list["Pages"]:
        """Take what is written next. Of each run one page, since one statement cannot tell two walkers of it apart."""
        taken: dict[RunName, Pages] = {}
        for one in [*self._waiting]:
            if one.failed:
                del self._waiting[one]
            elif one.run not in taken and len(taken) < LARGEST_BATCH:
                taken[one.run] = one
                del self._waiting[one]
        return [*taken.values()]

    async def _write(self, taken: Sequence[tuple["Pages", Page]]) -> None:
        try:
            sequences = await self._written([page for _, page in taken])
        except HardpointError as error:
            for pages, _ in taken:
                pages.break_off(error)
        except Exception as error:
            if len(taken) == 1:
                taken[0][0].break_off(error)
                return
            _log.warning("steps are written one by one", problem=type(error).__name__)
            # A row that the database refuses must not take the others with it.
            for one in taken:
                await self._write([one])
        else:
            for pages, page in taken:
                pages.written(page, sequences.get(page.turn.run))

    async def _written(self, pages: Sequence[Page]) -> dict[RunName, int]:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return await self._log.write(pages)
            except Unavailable:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(AGAIN_SECONDS)


class Pages:
    """The rows of one run while this process walks it; `broken` raises when what it wrote was not written.

    That is Replaced when the run is another's by now.
    """

    def __init__(self, ledger: Ledger, workflow: Workflow, rows: Sequence[StepRun]) -> None:
        loop = asyncio.get_running_loop()
        self.rows = {row.step: row for row in rows}
        self.broken: asyncio.Future[None] = loop.create_future()
        self.sequence = workflow.sequence
        """Of the run when it was read or written here last: at a later one somebody decided something."""
        self._ledger = ledger
        self._turn = workflow.turn
        self._begun = workflow.begun
        self._number = 0
        self._noted: dict[str, StepRun] = {}
        self._inner: list[tuple[int, Inner]] = []
        self._logs: list[tuple[str, int, Sequence[LogLine]]] = []
        self._shares: list[Share] = []
        self._end: Run | None = None
        self._output: Any = None
        self._later: asyncio.TimerHandle | None = None
        self._gathering: asyncio.Future[None] = loop.create_future()
        self._flying: asyncio.Future[None] | None = None

    @property
    def run(self) -> RunName:
        """Whose pages these are."""
        return self._turn.run

    @property
    def failed(self) -> bool:
        """Whether a page was not written: then no later one is, which would stand for what is not there."""
        return self.broken.done() and not self.broken.cancelled()

    def note(self, row: StepRun) -> StepRun:
        """Have a row written with the next one."""
        row = row if row.number else replace(row, number=self._next())
        self.rows[row.step] = self._noted[row.step] = row
        if self._later is None:
            self._later = asyncio.get_running_loop().call_later(TOGETHER_SECONDS, self._hand_in)
        return row

    def record(self, row: StepRun, inner: Iterable[Inner], logs: Sequence[LogLine], shares: Iterable[Share]) -> None:
        """Have written with the next row what ran inside of an attempt, what it logged and what it adds to counters."""
        self._inner += [(self._next(), replace(one, path=f"{row.step}/{one.path}")) for one in inner]
        self._shares += shares
        if logs:
            self._logs.append((row.step, row.attempts, logs))

    async def put(self, row: StepRun) -> StepRun:
        """Write a row, and all that was noted; raises as `broken`."""
        row = self.note(row)
        await self.settle()
        return row

    async def end(self, run: Run, output: Any, shares: Iterable[Share]) -> None:
        """Write that the run is over; raises as `broken`."""
        self._end, self._output = run, output
        self._shares += shares
        await self._written()

    async def settle(self) -> None:
        """Return when all that was noted is on disk; raises as `broken`."""
        if self._noted:
            await self._written()
        elif self._flying is not None:
            await self._until(self._flying)

    async def close(self) -> None:
        """Write what is still noted, if it can be: whoever stops here knows how these steps ended."""
        with contextlib.suppress(Replaced, HardpointError, TimeoutError):
            if not self.broken.done():
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self.settle()
        if not self.broken.cancel():
            self.broken.exception()  # whoever waited has it

    def take(self) -> Page:
        """What is to be written now; what comes meanwhile is for the next page."""
        if self._later is not None:
            self._later.cancel()
            self._later = None
        self._number += 1
        rows = tuple(self._noted.values())
        page = Page(
            self._turn,
            self._number,
            self._begun,
            rows,
            self._inner,
            self._logs,
            self._shares,
            self._end,
            self._output,
        )
        self._noted, self._inner, self._logs, self._shares = {}, [], [], []
        self._flying, self._gathering = self._gathering, asyncio.get_running_loop().create_future()
        return page

    def written(self, page: Page, sequence: int | None) -> None:
        """A page is on disk as this sequence of its run, or was refused."""
        if sequence is None:
            self.break_off(Replaced())
            return
        least = self.sequence + 1  # of a page that was written twice, what came after it may have been answered
        if sequence == least:
            self.sequence = sequence
        for row in page.rows:
            # It may have been written again meanwhile, or be decided about.
            if self.rows.get(row.step) is row:
                self.rows[row.step] = replace(row, sequence=least)
        if self._flying is not None:
            self._flying.set_result(None)
            self._flying = None

    def break_off(self, error: Exception) -> None:
        """Have nothing more written: the run goes on from what is on disk."""
        if not self.broken.done():
            self.broken.set_exception(error)

    def _next(self) -> int:
        self._begun += 1
        return self._begun

    def _hand_in(self) -> None:
        self._ledger.write(self)

    async def _written(self) -> None:
        gathering = self._gathering
        self._hand_in()
        await self._until(gathering)

    async def _until(self, written: asyncio.Future[None]) -> None:
        await asyncio.wait({written, self.broken}, return_when=asyncio.FIRST_COMPLETED)
        if self.broken.done():
            self.broken.result()
