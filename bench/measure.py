"""How figures are taken: probes take turns, so that a machine that slows down slows all of them."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from hardpoint_kit.errors import ResourceExhausted

Probe = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Times:
    """How long single calls took, in milliseconds."""

    milliseconds: list[float]

    @property
    def p50(self) -> float:
        """The median."""
        return statistics.median(self.milliseconds)

    @property
    def p95(self) -> float:
        """What one call in twenty exceeds."""
        return sorted(self.milliseconds)[int(len(self.milliseconds) * 0.95)]

    @property
    def p99(self) -> float:
        """What one call in a hundred exceeds."""
        return sorted(self.milliseconds)[int(len(self.milliseconds) * 0.99)]


@dataclass
class Patient:
    """A probe whose refused calls are made again and counted: of more callers than are served some lose their place."""

    probe: Probe
    refused: int = 0

    async def __call__(self) -> object:
        while True:
            try:
                return await self.probe()
            except ResourceExhausted:
                self.refused += 1


async def one_by_one(probes: Mapping[str, Probe], turns: int, pause: float = 0.0) -> dict[str, Times]:
    """Time one call of every probe in each turn; `pause` (seconds) comes before each call.

    No probe is called twice in a row: one that is finds its code in the processor's caches, which none of them would
    among other work.
    """
    taken: dict[str, list[float]] = {name: [] for name in probes}
    for _ in range(turns):
        for name, probe in probes.items():
            if pause:
                await asyncio.sleep(pause)
            started = time.perf_counter()
            await probe()
            taken[name].append((time.perf_counter() - started) * 1000)
    return {name: Times(milliseconds) for name, milliseconds in taken.items()}


async def at_once(probes: Mapping[str, tuple[Probe, int]], turns: int, seconds: float) -> dict[str, float]:
    """Calls per second of every probe, made by that many callers at once: the median of the turns."""
    rates: dict[str, list[float]] = {name: [] for name in probes}
    for _ in range(turns):
        for name, (probe, callers) in probes.items():
            rates[name].append(await _rate(probe, callers, seconds))
    return {name: statistics.median(measured) for name, measured in rates.items()}


async def _rate(probe: Probe, callers: int, seconds: float) -> float:
    started = time.perf_counter()

    async def call_on() -> int:
        calls = 0
        while time.perf_counter() - started < seconds:
            await probe()
            calls += 1
        return calls

    calls = sum(await asyncio.gather(*(call_on() for _ in range(callers))))
    return calls / (time.perf_counter() - started)
