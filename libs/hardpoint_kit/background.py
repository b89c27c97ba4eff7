"""Owns work that goes on beside everything else, from a unit's start to its stop."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine


class Background:
    """Work that runs as a task from `start` until it ends, or `stop` cancels it."""

    def __init__(self, work: Callable[[], Coroutine[None, None, None]]) -> None:
        self._work = work
        self._task: asyncio.Task[None] | None = None

    @property
    def begun(self) -> bool:
        """Whether it was started."""
        return self._task is not None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """Cancel it and wait for its end; nothing to do for what was never begun."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
