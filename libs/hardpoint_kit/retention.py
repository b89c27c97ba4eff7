"""Owns forgetting: rows that are older than their term are deleted in the background, a batch to a transaction.

Each process that serves a unit sweeps; what another one is deleting is left to it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from hardpoint_kit.audit import forget_events
from hardpoint_kit.background import Background
from hardpoint_kit.caller import ANY_ORG
from hardpoint_kit.clock import Clock
from hardpoint_kit.database import Database
from hardpoint_kit.errors import HardpointError
from hardpoint_kit.idempotency import forget_requests
from hardpoint_kit.options import Options

SWEEP_SECONDS = 3600.0

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Term:
    """How long rows of one kind are kept, and what deletes, of those from before a moment, at most a batch."""

    what: str
    days: float
    forget: Callable[[AsyncConnection, datetime, int], Awaitable[int]]
    batch: int = 500


def common_terms(options: Options) -> tuple[Term, ...]:
    """Return the terms of what every unit with a database keeps."""
    return (
        Term("answered requests", options.request_days, forget_requests),
        Term("audit events", options.audit_days, forget_events),
    )


class Retention:
    """Forgets by terms, at the start and every hour from then on."""

    def __init__(self, database: Database, clock: Clock, terms: Sequence[Term]) -> None:
        self._database = database
        self._clock = clock
        self._terms = terms
        self._sweeping = Background(self._sweep_forever)

    async def start(self) -> None:
        """Begin to sweep."""
        self._sweeping.start()

    async def stop(self) -> None:
        """Stop; a batch that was begun is rolled back."""
        await self._sweeping.stop()

    async def sweep(self) -> None:
        """Delete all that is over now; what cannot be deleted is logged, and left to the next sweep."""
        for term in self._terms:
            try:
                forgotten = await self._forget(term)
            except HardpointError as error:
                _log.warning(f"{term.what} are not forgotten", reason=error.reason, problem=error.message)
                continue
            if forgotten:
                _log.info(f"{forgotten} {term.what} are forgotten", rows=forgotten)

    async def _forget(self, term: Term) -> int:
        before = self._clock.now() - timedelta(days=term.days)
        forgotten = 0
        while True:
            async with self._database.transaction(ANY_ORG) as connection:
                rows = await term.forget(connection, before, term.batch)
            forgotten += rows
            if rows < term.batch:
                return forgotten

    async def _sweep_forever(self) -> None:
        while True:
            try:
                await self.sweep()
            except Exception:
                _log.exception("what is over is not forgotten")  # a defect, which must not end the sweeping
            await asyncio.sleep(SWEEP_SECONDS)
