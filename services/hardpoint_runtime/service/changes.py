"""Owns who waits in this process for runs of workflows to change, wherever they are walked."""

import asyncio
import contextlib
from collections.abc import Iterator
from contextlib import contextmanager

from hardpoint_kit.names import RunName

UNHEARD_SECONDS = 1.0
"""How long anybody trusts that they would have been told: then they look."""


class Signal:
    """Says that something may have changed since the last `wait`."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        """Something changed."""
        self._event.set()

    async def wait(self, seconds: float = UNHEARD_SECONDS) -> None:
        """Return when something changed, at the latest after so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()
        self._event.clear()


class Changes:
    """Tells those who wait; `hear` takes what the database said: a run's name, and of a step who wrote it."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[tuple[Signal, str, bool]]] = {}

    @contextmanager
    def of(self, run: RunName, but: str = "", *, steps: bool = True) -> Iterator[Signal]:
        """A signal for the changes of a run, but for those that this worker writes; or not for those of its steps."""
        signal = Signal()
        entry = (signal, but, steps)
        self._waiting.setdefault(str(run), set()).add(entry)
        try:
            yield signal
        finally:
            self._waiting[str(run)].discard(entry)
            if not self._waiting[str(run)]:
                del self._waiting[str(run)]

    def hear(self, payload: str) -> None:
        """A run changed."""
        run, _, worker = payload.partition(" ")
        for signal, but, steps in self._waiting.get(run, ()):
            if not worker or (steps and worker != but):
                signal.set()

    def wake(self) -> None:
        """Have everybody look now: the unit stops."""
        for waiting in self._waiting.values():
            for signal, _, _ in waiting:
                signal.set()
