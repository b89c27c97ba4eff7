"""Jails wait for calls, calls wait for jails, both within bounds; nothing is left when it stops."""

import asyncio
import os
import signal

import pytest

from hardpoint_executor.jail import JailOptions, PoolOptions, SingleUseJails
from hardpoint_kit.errors import ResourceExhausted, Unavailable

from .conftest import orphans, supervisors
from .programs import python


@pytest.fixture
async def small(request: pytest.FixtureRequest):
    """One Python jail at a time, and a queue of two."""
    pool = PoolOptions(waiting=1, running=1, starting=1, queue=2, queue_seconds=0.4)
    started = SingleUseJails(JailOptions(languages=("python",), pool=pool))
    await started.start()
    assert started.reasons_not_ready() == []
    yield started
    await started.stop()


async def test_a_full_queue_is_said_at_once(small: SingleUseJails, door) -> None:
    busy = [asyncio.create_task(small.run(python("import time; time.sleep(30)"), door)) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(ResourceExhausted) as full:
        await small.run(python("return 1"), door)
    assert (full.value.reason, full.value.retry_after) == ("QUEUE_FULL", 1.0)
    waited = await asyncio.gather(*busy[1:], return_exceptions=True)
    assert [type(error) for error in waited] == [ResourceExhausted] * 2
    busy[0].cancel()
    await asyncio.gather(*busy, return_exceptions=True)
    assert (await small.run(python("return 1"), door)).value == 1


async def test_a_caller_that_gives_up_in_the_queue_costs_no_jail(small: SingleUseJails, door) -> None:
    busy = asyncio.create_task(small.run(python("import time; time.sleep(30)"), door))
    await asyncio.sleep(0)
    queued = asyncio.create_task(small.run(python("return 1"), door))
    await asyncio.sleep(0)
    for task in (queued, busy):
        task.cancel()
    await asyncio.gather(queued, busy, return_exceptions=True)
    assert [(await small.run(python("return 1"), door)).value for _ in range(3)] == [1, 1, 1]


async def test_a_jail_that_died_while_it_waited_is_not_handed_out(small: SingleUseJails, door) -> None:
    [waiting] = small._pools["python"]._waiting
    os.kill(waiting._init_pid, signal.SIGKILL)
    await waiting.died()
    assert (await small.run(python("return 1"), door)).value == 1


async def test_many_calls_share_few_jails(small: SingleUseJails, door) -> None:
    for batch in range(3):
        outcomes = await asyncio.gather(*(small.run(python("return input", n), door) for n in range(2)))
        assert [outcome.value for outcome in outcomes] == [0, 1], batch


async def test_stopping_leaves_no_process_and_refuses_calls(door) -> None:
    before = supervisors()
    jails = SingleUseJails(JailOptions(languages=("python",)))
    await jails.start()
    running = asyncio.create_task(jails.run(python("import time; time.sleep(30)"), door))
    await asyncio.sleep(0)
    assert supervisors() > before
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await jails.stop()
    assert supervisors() == before
    assert orphans() == []
    with pytest.raises(Unavailable):
        await jails.run(python("return 1"), door)
