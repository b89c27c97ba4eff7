"""A slot stays while calls come and go: whom it serves, when it ends, and what others have of it."""

import asyncio
import os
import signal
from dataclasses import replace

import pytest

from hardpoint_executor.jail import Jails, Limits, OutcomeKind, Together
from hardpoint_kit.errors import ResourceExhausted, Unavailable

from .conftest import left_behind, orphans
from .in_slots import begin, idle, owner_of, run, slots_of, started
from .programs import python

pytestmark = pytest.mark.usefixtures("tested_once")


async def test_a_slot_serves_its_capability_again_and_no_other(slotted: Jails) -> None:
    await idle(slotted)
    await run(slotted, "return 1")
    await idle(slotted)
    first = owner_of(slotted)["acme", "tested"]
    await run(slotted, "return 1")
    await idle(slotted)
    assert owner_of(slotted)["acme", "tested"] == first
    for org, capability in (("acme", "other"), ("globex", "tested")):
        await run(slotted, "return 1", org=org, capability=capability)
        await idle(slotted)
        owners = owner_of(slotted)
        assert owners[org, capability] not in (first, owners.get(("acme", "tested")))
    assert len(slots_of(slotted)._ready) <= 2


async def test_more_capabilities_than_slots_are_all_served(slotted: Jails) -> None:
    names = [f"c{number}" for number in range(6)]
    outcomes = await asyncio.gather(*(run(slotted, "return input", name, capability=name) for name in names))
    assert [outcome.value for outcome in outcomes] == names


async def test_a_header_is_read_in_a_slot_that_serves_nobody_afterwards(slotted: Jails) -> None:
    before = await idle(slotted)
    outcome = await slotted.describe("python", "from hardpoint_sdk import capability\ncapability(id='a')", "a.py")
    assert outcome.value == {"id": "a", "actions": []}
    assert not before & await idle(slotted)


async def test_headers_of_one_organisation_keep_no_other_from_having_its_own_read() -> None:
    jails = await started(most=4, queue=4, queue_seconds=20)
    spins = [
        asyncio.create_task(jails.describe("python", "while True: pass", "x.py", Limits(wall_seconds=4), "flood"))
        for _ in range(9)
    ]
    try:
        (refused, *_), _ = await asyncio.wait(spins, return_when=asyncio.FIRST_COMPLETED)
        assert isinstance(refused.exception(), ResourceExhausted), "there is no place more"
        header = "from hardpoint_sdk import capability\ncapability(id='a')"
        assert (await jails.describe("python", header, "a.py", org="acme")).value == {"id": "a", "actions": []}
        assert not all(spin.done() for spin in spins)
    finally:
        await asyncio.gather(*spins, return_exceptions=True)
        await jails.stop()


@pytest.mark.parametrize(
    ("body", "kind", "stays"),
    [
        ("return 1", OutcomeKind.OK, True),
        ("raise ValueError", OutcomeKind.USER_ERROR, True),
        ("import os; os.setuid(0)", OutcomeKind.VIOLATION, False),
        ("import ctypes; ctypes.string_at(1, 8)", OutcomeKind.CRASH, False),
        ("import os; os.write(3, b'garbage')\nwhile True: pass", OutcomeKind.PROTOCOL, False),
        ("while True: pass", OutcomeKind.TIMEOUT, False),
    ],
    ids=lambda value: str(value) if isinstance(value, OutcomeKind) else "",
)
async def test_a_slot_ends_after_a_call_that_did_not_end_well(slotted, body: str, kind: str, stays: bool) -> None:
    await idle(slotted)
    await run(slotted, "return 1")
    await idle(slotted)
    zygote = owner_of(slotted)["acme", "tested"]
    assert (await run(slotted, body, wall_seconds=0.5)).kind is kind
    assert (zygote in await idle(slotted)) is stays
    assert (await run(slotted, "return 1")).value == 1


async def test_a_slot_ends_after_so_many_calls() -> None:
    jails = await started(calls=3)
    zygotes = []
    for _ in range(6):
        await idle(jails)
        (slot,) = [slot for slot in slots_of(jails)._ready if slot.owner] or slots_of(jails)._ready
        zygotes.append(slot.pid)
        await run(jails, "return 1")
    assert [zygotes.count(pid) for pid in dict.fromkeys(zygotes)] == [3, 3]
    await jails.stop()


async def test_slots_that_serve_nobody_end_and_a_clean_one_stays() -> None:
    jails = await started(most=4, idle_seconds=0.2)
    names = ("a", "b")
    for name in names:
        await idle(jails)
        await run(jails, "return 1", capability=name)
    while len(await idle(jails)) != 1 or {owner for owner in owner_of(jails) if owner}:
        await asyncio.sleep(0.05)
    await jails.stop()


async def test_a_killed_zygote_ends_its_call_as_an_error_and_is_replaced(slotted: Jails) -> None:
    running = await begin(slotted, python("self.log('here')\nimport time; time.sleep(30)"))
    (slot,) = slots_of(slotted)._taken
    os.kill(slot.pid, signal.SIGKILL)
    outcome = await running
    assert (outcome.kind, outcome.detail) == (OutcomeKind.CRASH, "the end of its slot")
    assert (await run(slotted, "return 1")).value == 1


async def test_a_zygote_that_dies_while_it_waits_is_not_missed(slotted: Jails) -> None:
    for _ in range(3):
        for zygote in await idle(slotted):
            os.kill(zygote, signal.SIGKILL)
        while any(slot.alive for slot in slots_of(slotted)._ready):
            await asyncio.sleep(0.005)
        assert (await run(slotted, "return 1")).value == 1


async def test_cancelled_calls_free_their_slots(slotted: Jails) -> None:
    call = python("self.log('here')\nwhile True: pass")
    for _ in range(4):
        running = await begin(slotted, call)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert (await run(slotted, "return 1")).value == 1


async def test_an_organisation_leaves_a_slot_to_others() -> None:
    jails = await started(most=4, clean=1, queue=8, queue_seconds=5)
    call = python("self.log('here')\nimport time; time.sleep(30)")
    busy = [await begin(jails, call) for _ in range(3)]
    queued = asyncio.create_task(run(jails, "return 1"))
    assert (await run(jails, "return 1", org="globex")).value == 1
    assert not queued.done()
    for task in (*busy, queued):
        task.cancel()
    await asyncio.gather(*busy, queued, return_exceptions=True)
    await jails.stop()


async def test_a_busy_capability_has_the_idle_slots_of_its_organisation() -> None:
    jails = await started(most=4, clean=1, queue=8, queue_seconds=15)
    sleeps = "self.log('here')\nimport time; time.sleep(30)"
    first = [await begin(jails, python(sleeps, capability="first")) for _ in range(3)]
    for task in first:
        task.cancel()
    await asyncio.gather(*first, return_exceptions=True)
    await asyncio.gather(*(run(jails, "import time; time.sleep(0.3)", capability="first") for _ in range(3)))
    async with asyncio.timeout(10):
        second = [await begin(jails, python(sleeps, capability="second")) for _ in range(3)]
    for task in second:
        task.cancel()
    await asyncio.gather(*second, return_exceptions=True)
    await jails.stop()


async def test_a_full_queue_is_said_at_once() -> None:
    jails = await started(most=1, queue=1, queue_seconds=0.3)
    busy = await begin(jails, python("self.log('here')\nimport time; time.sleep(30)"))
    queued = asyncio.create_task(run(jails, "return 1"))
    await asyncio.sleep(0)
    with pytest.raises(ResourceExhausted, match="every python slot is busy"):
        await run(jails, "return 1")
    with pytest.raises(ResourceExhausted):
        await queued
    busy.cancel()
    await asyncio.gather(busy, return_exceptions=True)
    await jails.stop()


async def test_who_waits_for_what_starts_is_not_told_that_all_are_busy() -> None:
    jails = await started(most=4, queue=4, queue_seconds=0.001)
    answers = await asyncio.gather(*(run(jails, "return 1", org=org) for org in ("acme", "globex", "initech")))
    assert [answer.value for answer in answers] == [1, 1, 1]
    await jails.stop()


async def test_stopping_leaves_no_process_and_refuses_calls() -> None:
    jails = await started()
    running = await begin(jails, python("self.log('here')\nimport time; time.sleep(30)"))
    await jails.stop()
    with pytest.raises(Unavailable):
        await running
    assert left_behind() == set()
    assert orphans() == []
    with pytest.raises(Unavailable):
        await run(jails, "return 1")


async def test_a_strict_call_has_an_nsjail_of_its_own(slotted: Jails) -> None:
    zygotes = await idle(slotted)
    call = python("self.log('here')\nimport time; time.sleep(30)", strict=True)
    running = await begin(slotted, call)
    assert not slots_of(slotted)._taken
    assert {slot.pid for slot in slots_of(slotted)._ready} == zygotes
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_failed_start_is_tried_again_though_enough_slots_wait(slotted: Jails) -> None:
    """While a start has failed nobody is let in, so no call would ever ask for another one."""
    slots = slots_of(slotted)
    await idle(slotted)
    slots._failed("no memory for a moment")
    assert slotted.reasons_not_ready() == ["python slots do not start: no memory for a moment"]
    await slots.fill()
    assert slotted.reasons_not_ready() == []


async def test_a_child_that_waits_for_its_run_makes_room_for_whoever_else_waits() -> None:
    jails = await started(most=1)
    body = "import builtins\nbuiltins.n = getattr(builtins, 'n', 0) + 1\nreturn builtins.n"
    runs = [Together("acme", name, "i1", "tested@1.0.0", "sha256:0") for name in ("r1", "r2")]
    assert [(await run(jails, body, together=runs[0])).value for _ in range(2)] == [1, 2]
    zygotes = {slot.pid for slot in slots_of(jails)._ready}
    assert (await run(jails, body, together=runs[1])).value == 1
    assert (await run(jails, body)).value == 1
    assert await idle(jails) == zygotes, "calls of one capability keep its slot"
    assert (await run(jails, body, together=runs[0])).value == 1
    other = {"org": "globex", "together": replace(runs[0], org="globex")}
    assert (await run(jails, body, **other)).value == 1
    assert (await run(jails, body, together=runs[0])).value == 1
    await jails.stop()


async def test_a_child_waits_for_its_run_for_a_while_alone() -> None:
    jails = await started(rest_seconds=0.05, calls=3)
    together = Together("acme", "r1", "i1", "tested@1.0.0", "sha256:0")
    await run(jails, "return 1", together=together)
    (slot,) = [slot for slot in slots_of(jails)._ready if slot.shared]
    while slot.shared is not None:
        await asyncio.sleep(0.005)
    for _ in range(2):
        await run(jails, "return 1", together=together)
    while slot in {*slots_of(jails)._ready, *slots_of(jails)._renewing}:
        await asyncio.sleep(0.005)
    await jails.stop()
