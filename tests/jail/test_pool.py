"""Jails wait for calls, calls wait for jails, both within bounds; nothing is left when it stops."""

import asyncio
import os
import signal
from dataclasses import replace

import pytest

from hardpoint_executor.jail import Event, JailOptions, Jails, PoolOptions
from hardpoint_kit.errors import ResourceExhausted, Unavailable
from serving import eventually

from .conftest import orphans, supervisors
from .programs import python

pytestmark = pytest.mark.usefixtures("tested_once")
SLEEPS = "self.log('here')\nimport time; time.sleep(30)"


async def start_sleeping(jails: Jails, door, org: str = "") -> asyncio.Task:
    """Start a call that sleeps, and wait until its plugin runs."""
    runs = asyncio.Event()

    async def hear(event: Event) -> None:
        runs.set()

    task = asyncio.create_task(jails.run(python(SLEEPS, org=org), door, hear))
    await runs.wait()
    return task


@pytest.fixture
async def small():
    """One Python jail at a time, and a queue of two."""
    pool = PoolOptions(waiting=1, running=1, starting=1, queue=2, queue_seconds=2)
    started = Jails(JailOptions(slots=None, languages=("python",), pool=pool))
    await started.start()
    assert started.reasons_not_ready() == []
    yield started
    await started.stop()


async def test_a_full_queue_is_said_at_once(small: Jails, door) -> None:
    busy = [await start_sleeping(small, door)]
    busy += [asyncio.create_task(small.run(python("return 1"), door)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(ResourceExhausted) as full:
        await small.run(python("return 1"), door)
    assert (full.value.reason, full.value.retry_after) == ("QUEUE_FULL", 1.0)
    waited = await asyncio.gather(*busy[1:], return_exceptions=True)
    assert [type(error) for error in waited] == [ResourceExhausted] * 2
    busy[0].cancel()
    await asyncio.gather(*busy, return_exceptions=True)
    assert (await small.run(python("return 1"), door)).value == 1


@pytest.fixture
async def shared():
    """Four Python jails at a time, and a queue of three."""
    pool = PoolOptions(waiting=1, running=4, starting=1, queue=3, queue_seconds=30)
    started = Jails(JailOptions(slots=None, languages=("python",), pool=pool))
    await started.start()
    assert started.reasons_not_ready() == []
    yield started
    await started.stop()


async def test_an_organisation_that_floods_keeps_no_other_out(shared: Jails, door) -> None:
    sleeping = [await start_sleeping(shared, door, "flood") for _ in range(3)]
    waiting = [asyncio.create_task(shared.run(python(SLEEPS, org="flood"), door)) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(ResourceExhausted):
        await shared.run(python("return 1", org="flood"), door)

    others = [asyncio.create_task(shared.run(python("return 1", org=org), door)) for org in ("acme", "globex")]
    with pytest.raises(ResourceExhausted) as lost:
        await waiting[2]
    assert lost.value.reason == "QUEUE_FULL"
    assert [(await other).value for other in others] == [1, 1]
    assert not any(task.done() for task in (*sleeping, waiting[0]))
    for task in (*sleeping, *waiting):
        task.cancel()
    await asyncio.gather(*sleeping, *waiting, return_exceptions=True)


async def test_who_took_less_goes_before_who_came_first(small: Jails, door) -> None:
    busy = await start_sleeping(small, door, "flood")
    order: list[str] = []

    def hear(org: str):
        async def taken(_event: Event) -> None:
            order.append(org)

        return taken

    calls = [
        asyncio.create_task(small.run(python("return 1", org=org), door, hear(org)))
        for org in ("flood", "flood", "acme")
    ]
    await asyncio.sleep(0)
    busy.cancel()
    ended = await asyncio.gather(busy, *calls, return_exceptions=True)
    assert order == ["acme", "flood"]
    assert isinstance(ended[2], ResourceExhausted)


async def test_a_caller_that_gives_up_in_the_queue_costs_no_jail(small: Jails, door) -> None:
    busy = await start_sleeping(small, door)
    queued = asyncio.create_task(small.run(python("return 1"), door))
    await asyncio.sleep(0)
    for task in (queued, busy):
        task.cancel()
    await asyncio.gather(queued, busy, return_exceptions=True)
    assert [(await small.run(python("return 1"), door)).value for _ in range(3)] == [1, 1, 1]


async def test_a_jail_that_died_while_it_waited_is_not_handed_out(small: Jails, door) -> None:
    pool = small._calls["python", False].pool
    await pool.fill()
    waiting = pool._waiting[0]
    os.kill(waiting.pid, signal.SIGKILL)
    await waiting.died()
    assert (await small.run(python("return 1"), door)).value == 1


async def test_many_calls_share_few_jails(small: Jails, door) -> None:
    for batch in range(3):
        outcomes = await asyncio.gather(*(small.run(python("return input", n), door) for n in range(2)))
        assert [outcome.value for outcome in outcomes] == [0, 1], batch


async def test_a_failed_start_is_tried_again_though_enough_jails_wait(small: Jails) -> None:
    pool = small._calls["python", False].pool
    await pool.fill()
    pool._failed("no memory for a moment")
    assert small.reasons_not_ready() == ["python jails do not start: no memory for a moment"]
    await pool.fill()
    assert small.reasons_not_ready() == []


async def test_stopping_leaves_no_process_and_refuses_calls(door) -> None:
    jails = Jails(JailOptions(slots=None, languages=("python",)))
    await jails.start()
    running = await start_sleeping(jails, door)
    pool = jails._calls["python", False].pool
    mine = {process._supervisor_pid for process in (*pool._waiting, *pool._taken)}
    assert pool._taken
    assert mine <= supervisors()
    await jails.stop()
    with pytest.raises(Unavailable):
        await running
    assert supervisors() & mine == set()
    assert orphans() == []
    with pytest.raises(Unavailable):
        await jails.run(python("return 1"), door)


async def test_a_pool_that_is_seldom_used_has_jails_ready_while_calls_come(door, monkeypatch) -> None:
    monkeypatch.setattr("hardpoint_executor.jail.pool.READY_SECONDS", 0.5)
    seldom = Jails(JailOptions(languages=("python",), pool=PoolOptions(waiting=2)))
    await seldom.start()
    try:
        pool = seldom._calls["python", False].pool

        async def none_waits() -> bool:
            return not pool._waiting

        async def two_wait() -> bool:
            return len(pool._waiting) == 2

        await eventually(none_waits)
        assert (await seldom.run(replace(python("return 1"), strict=True), door)).value == 1
        await eventually(two_wait)
        await eventually(none_waits)
    finally:
        await seldom.stop()
