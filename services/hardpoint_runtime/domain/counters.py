"""Owns what is counted of calls: a sum that comes out the same however the calls are grouped."""

from dataclasses import dataclass
from datetime import datetime
from typing import Self


@dataclass(frozen=True, slots=True)
class Counters:
    """Executions counted; time is in whole microseconds, since sums of integers do not depend on their order.

    `usages` are the executions that ended well, `errors` those that failed; one that its caller cancelled is neither.
    """

    executions: int = 0
    errors: int = 0
    usages: int = 0
    total_us: int = 0
    last_used: datetime | None = None

    def __add__(self, other: Self) -> Self:
        used = [at for at in (self.last_used, other.last_used) if at is not None]
        return type(self)(
            self.executions + other.executions,
            self.errors + other.errors,
            self.usages + other.usages,
            self.total_us + other.total_us,
            max(used, default=None),
        )

    @property
    def average_ms(self) -> float:
        """Mean duration in milliseconds, 0 without an execution."""
        return self.total_us / self.executions / 1000 if self.executions else 0.0

    @property
    def success_rate(self) -> float:
        """The part of the executions that ended by themselves that ended well, 0 to 1; 0 without any."""
        ended = self.usages + self.errors
        return self.usages / ended if ended else 0.0


NOTHING = Counters()
