"""Owns work that goes on beside everything else, from a unit's start to its stop."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine

import structlog

from hardpoint_kit.errors import HardpointError

AGAIN_SECONDS = 1.0

_log = structlog.stdlib.get_logger(__name__)


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


class Looks:
    """Looks for something to do: again at once while `look` says that there is more, else after a rest or `wake`.

    A look that raises is logged as `what` that has to wait, and is tried again after a second; as a warning from the
    second time in a row on, since a peer that starts at the same moment is not there the first time.
    """

    def __init__(self, look: Callable[[], Awaitable[bool]], rest_seconds: float, what: str) -> None:
        self._look = look
        self._rest_seconds = rest_seconds
        self._what = what
        self._failed_before = False
        self._woken = asyncio.Event()
        self._looking = Background(self._look_forever)

    def start(self) -> None:
        """Look from now on."""
        self._looking.start()

    async def stop(self) -> None:
        """Stop, also in the middle of a look."""
        await self._looking.stop()

    def wake(self) -> None:
        """There is something to do: look now, and again where a look is under way."""
        self._woken.set()

    async def _look_forever(self) -> None:
        while True:
            rest = await self._looked()
            if rest:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(rest):
                        await self._woken.wait()
                self._woken.clear()

    async def _looked(self) -> float:
        """Look, and say for how long to rest then."""
        try:
            more = await self._look()
            self._failed_before = False
            return 0.0 if more else self._rest_seconds
        except HardpointError as error:
            level = logging.WARNING if self._failed_before else logging.INFO
            _log.log(level, f"{self._what} wait", reason=error.reason, problem=error.message)
        except Exception:
            _log.exception(f"{self._what} wait")  # a defect, which must not end the looking
        self._failed_before = True
        return min(self._rest_seconds, AGAIN_SECONDS)
