"""A unit served for a test, and a clock that the test moves."""

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
