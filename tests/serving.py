"""A unit served for a test, a clock that the test moves, and waiting for what comes by itself."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hardpoint_kit.rpc.server import Server
from hardpoint_kit.unit import Unit

Serve = Callable[[Unit], Awaitable[Server]]


@dataclass
class SetClock:
    """A clock that stands still until it is moved."""

    time: datetime = field(default_factory=lambda: datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC))

    def now(self) -> datetime:
        return self.time

    def move(self, **by: float) -> None:
        self.time += timedelta(**by)


async def eventually(holds: Callable[[], Awaitable[bool]], seconds: float = 10.0) -> None:
    """Ask again and again until it holds; fails when it does not within `seconds`."""
    async with asyncio.timeout(seconds):
        while not await holds():
            await asyncio.sleep(0.01)
