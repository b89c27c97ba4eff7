"""Who waits for a run to change hears what concerns them, and reads the database for nothing else."""

import asyncio

import pytest

from hardpoint_kit.names import RunName
from hardpoint_runtime.service.changes import Changes

RUN = RunName("acme", "r1")


@pytest.mark.parametrize(
    ("told", "but", "steps", "hears"),
    [
        (f"{RUN} ", "", True, True),
        (f"{RUN} ", "w1", True, True),
        (f"{RUN} ", "", False, True),
        (f"{RUN} w1", "", True, True),
        (f"{RUN} w1", "w2", True, True),
        (f"{RUN} w1", "w1", True, False),
        (f"{RUN} w1", "", False, False),
        ("orgs/acme/runs/r2 ", "", True, False),
    ],
)
async def test_who_hears_of_a_change(told: str, but: str, steps: bool, hears: bool) -> None:
    changes = Changes()
    with changes.of(RUN, but, steps=steps) as signal:
        waiting = asyncio.create_task(signal.wait(60))
        await asyncio.sleep(0)
        changes.hear(told)
        for _ in range(5):
            await asyncio.sleep(0)
        assert waiting.done() is hears
        changes.wake()
        await waiting
