"""Work beside everything else: what is looked for, and when."""

import asyncio

import pytest
from structlog.testing import capture_logs

from hardpoint_kit.background import Looks
from hardpoint_kit.errors import Unavailable


async def test_what_is_there_is_taken_at_once_and_what_comes_when_it_is_said(monkeypatch) -> None:
    """Nothing ends it but `stop`; nobody waits for its rest, which would be an hour here."""
    monkeypatch.setattr("hardpoint_kit.background.AGAIN_SECONDS", 0.0001)
    answers: list[bool | Exception] = [True, Unavailable("away"), True, ValueError("a defect"), False]
    looked = asyncio.Semaphore(0)

    async def look() -> bool:
        looked.release()
        answer = answers.pop(0) if answers else False
        if isinstance(answer, Exception):
            raise answer
        return answer

    looks = Looks(look, 3600.0, "things")
    looks.start()
    async with asyncio.timeout(10):
        for _ in range(5):
            await looked.acquire()
        for _ in range(3):
            looks.wake()
            await looked.acquire()
    await looks.stop()
    looks.wake()
    await asyncio.sleep(0)
    assert looked.locked()


async def test_what_fails_once_and_goes_on_is_no_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardpoint_kit.background.AGAIN_SECONDS", 0.0001)
    answers: list[bool | Exception] = [Unavailable("a"), True, Unavailable("b"), Unavailable("c"), Unavailable("d")]
    looked = asyncio.Event()

    async def look() -> bool:
        if not answers:
            looked.set()
            return False
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    looks = Looks(look, 3600.0, "things")
    with capture_logs() as logs:
        looks.start()
        async with asyncio.timeout(10):
            await looked.wait()
        await looks.stop()
    assert [one["log_level"] for one in logs] == ["info", "info", "warning", "warning"]
