"""Who makes few and short calls beside one that takes all it can keeps its slot, and the processor goes to neither."""

import asyncio
import os
from pathlib import Path

import pytest

from hardpoint_executor.jail import ClosedDoor, JailOptions, Jails, PoolOptions, SlotOptions

from .programs import javascript, python


async def test_who_takes_little_keeps_a_warm_slot_beside_who_takes_all() -> None:
    options = SlotOptions(most=4, clean=1, queue=100, queue_seconds=30, calls=10_000)
    jails = Jails(JailOptions(languages=("python",), slots=options))
    await jails.start()
    slots = jails._calls["python", True].pool
    greedy = [
        asyncio.create_task(
            jails.run(
                python("import time; time.sleep(0.2)\nraise SystemExit", org="greedy", capability=f"c{number}"),
                ClosedDoor(),
            )
        )
        for number in range(24)
    ]
    await asyncio.wait(greedy, return_when=asyncio.FIRST_COMPLETED)  # from here on it is known who takes what
    pids = set()
    while not all(call.done() for call in greedy):
        outcome = await jails.run(python("return input", 7, org="modest"), ClosedDoor())
        assert outcome.value == 7
        pids |= {slot.pid for slot in (*slots._ready, *slots._renewing) if slot.owner == ("modest", "tested")}
    assert len(pids) == 1, "its slot was given to others"
    await asyncio.gather(*greedy, return_exceptions=True)
    await jails.stop()


def assert_stepped_back(pid: int) -> None:
    threads = [int(thread.name) for thread in Path(f"/proc/{pid}/task").iterdir()]
    assert {os.getpriority(os.PRIO_PROCESS, thread) for thread in threads} == {10}
    groups = Path(f"/proc/{pid}/autogroup"), Path("/proc/self/autogroup")
    if groups[0].exists() and (told := groups[0].read_text()):  # an empty one is that of a kernel without them
        assert told.endswith("nice 10\n")
        assert told != groups[1].read_text()


@pytest.mark.parametrize("language", ["python", "javascript"])
async def test_jails_step_back_for_the_processor(language: str) -> None:
    jails = Jails(JailOptions(languages=(language,), slots=None, pool=PoolOptions(waiting=1)))
    await jails.start()
    pool = jails._calls[{"python": "python", "javascript": "node"}[language], False].pool
    await pool.fill()
    assert_stepped_back(pool._waiting[0].pid)
    call = (python if language == "python" else javascript)("return input", 7)
    assert (await jails.run(call, ClosedDoor())).value == 7
    await jails.stop()
