"""Owns how much may come in how little time: a bucket for each name, filled as time passes. Of this process alone."""

import time
from collections import OrderedDict
from collections.abc import Callable

MOST_NAMES = 10_000


class Rates:
    """Allows each name `per_minute` things in the long run, and as many at once as a tenth of that, ten at least."""

    def __init__(self, per_minute: float, now: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_minute / 60
        self._burst = max(per_minute / 10, 10.0)
        self._now = now
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str) -> float:
        """Take one: 0 when it was there, else the seconds until it is."""
        now = self._now()
        left, at = self._left.pop(name, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._per_second)
        self._left[name] = (left - 1 if left >= 1 else left, now)
        if len(self._left) > MOST_NAMES:
            self._left.popitem(last=False)
        return 0.0 if left >= 1 else (1 - left) / self._per_second
