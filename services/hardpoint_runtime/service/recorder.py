"""Owns the group commit: runs that end at the same time are written in one transaction, before any is answered."""

import asyncio
from dataclasses import dataclass, field

import structlog

from hardpoint_kit.background import Background
from hardpoint_kit.errors import HardpointError, Unavailable
from hardpoint_runtime.domain.runs import Record
from hardpoint_runtime.store import RunLog

CAPACITY = 10_000
LARGEST_BATCH = 500
RECORD_SECONDS = 10.0

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Waiting:
    record: Record
    written: "asyncio.Future[bool]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Recorder:
    """One writer that takes whatever waits and writes it together; while it writes, the next batch gathers.

    A call that is answered has its run on disk. A call that was in flight when the process was killed was not
    acknowledged and leaves no run: nobody was told that it ran.
    """

    def __init__(self, log: RunLog) -> None:
        self._log = log
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue(CAPACITY)
        self._writing = Background(self._write_forever)

    async def start(self) -> None:
        """Write from now on."""
        self._writing.start()

    async def stop(self) -> None:
        """Write what waits, then stop."""
        if self._writing.begun:
            await self._queue.join()
        await self._writing.stop()
        await self._log.close()

    async def record(self, record: Record) -> None:
        """Return when the run is on disk; raises Unavailable when it is not within seconds."""
        waiting = _Waiting(record)
        try:
            self._queue.put_nowait(waiting)
            async with asyncio.timeout(RECORD_SECONDS):
                if await waiting.written:
                    return
        except (asyncio.QueueFull, TimeoutError):
            pass
        raise Unavailable(
            "the action ran, but its run could not be recorded",
            fix="it may have taken effect: look before you repeat it",
            retry_after=1.0,
            run=record.run.name,
        )

    def leave(self, record: Record) -> None:
        """Have the run written although nobody waits for it any more."""
        try:
            self._queue.put_nowait(_Waiting(record))
        except asyncio.QueueFull:
            _log.error("run lost: too many wait to be written", run=str(record.run.name))

    async def _write_forever(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while len(batch) < LARGEST_BATCH and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            await self._write(batch)
            for _ in batch:
                self._queue.task_done()

    async def _write(self, batch: list[_Waiting]) -> None:
        try:
            await self._log.write([waiting.record for waiting in batch])
        except HardpointError as error:
            _log.error("runs not recorded", runs=len(batch), reason=error.reason, problem=error.message)
            _settle(batch, False)
        except Exception:
            _log.exception("runs not recorded", runs=len(batch))
            if len(batch) == 1:
                _settle(batch, False)
            else:
                # A row that the database refuses must not take the others with it.
                for waiting in batch:
                    await self._write([waiting])
        else:
            _settle(batch, True)


def _settle(batch: list[_Waiting], written: bool) -> None:
    for waiting in batch:
        if not waiting.written.done():
            waiting.written.set_result(written)
