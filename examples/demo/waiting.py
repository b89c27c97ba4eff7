"""How the demonstration waits: for something with a name, and never for ever."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

WAIT_SECONDS = 60.0
LOOK_SECONDS = 0.02
Answer = TypeVar("Answer")


@asynccontextmanager
async def within(what: str) -> AsyncIterator[None]:
    """Let what happens inside take WAIT_SECONDS; raises RuntimeError with what did not come."""
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            yield
    except TimeoutError:
        raise RuntimeError(f"{what} did not come within {WAIT_SECONDS:.0f} s") from None


async def eventually(what: str, holds: Callable[[], Awaitable[Answer | None]]) -> Answer:
    """Ask until the answer is true; the answer."""
    async with within(what):
        while not (answer := await holds()):
            await asyncio.sleep(LOOK_SECONDS)
    return answer
