"""Ten organisations attack at once, and every call of the one that behaves is answered. How fast, `make bench` says."""

import asyncio
from dataclasses import replace

import pytest

from hardpoint_executor.jail import JailCall, JailOptions, Jails, Limits, PoolOptions
from hardpoint_kit.errors import ResourceExhausted

from .conftest import RecordedDoor
from .programs import javascript, python
from .siege import PROGRAMS, wrapped

TENANTS = 10
CALLS_OF_EACH = 4
SECONDS = 0.5
ATTACKS = (
    "py/infinite_loop.py",
    "py/memory_bomb.py",
    "py/frame_costly_to_read.py",
    "py/fork_bomb.py",
    "py/lines_without_end.py",
    "py/thread_bomb.py",
    "py/log_flood.py",
    "js/heap_bomb.js",
    "js/microtasks_forever.js",
    "js/ask_flood.js",
)
pytestmark = pytest.mark.timeout(300)


async def test_every_call_of_a_tenant_that_behaves_is_answered(door: RecordedDoor) -> None:
    programs = [program for name in ATTACKS for program in PROGRAMS if program.name == name]
    assert len(programs) == TENANTS
    jails = Jails(JailOptions(slots=None, pool=PoolOptions(running=4, queue=64, queue_seconds=30)))
    await jails.start()

    async def attack(tenant: int) -> int:
        ran = 0
        for number in range(CALLS_OF_EACH):
            program = programs[(tenant + number) % len(programs)]
            call = JailCall(
                program.language, wrapped(program), program.path.name, "attack", {}, org=f"hostile-{tenant}"
            )
            try:
                await jails.run(replace(call, limits=Limits(wall_seconds=SECONDS)), door)
            except ResourceExhausted:
                continue
            ran += 1
        return ran

    attacks = asyncio.gather(*(attack(tenant) for tenant in range(TENANTS)))
    answered = 0
    while not attacks.done():
        for call in (python("return input", answered), javascript("return input", answered)):
            limits = Limits(wall_seconds=30.0)
            outcome = await jails.run(replace(call, org="neighbour", limits=limits), door)
            assert outcome.value == answered, outcome
        answered += 1
    assert sum(await attacks) == TENANTS * CALLS_OF_EACH
    assert answered > 0
    await jails.stop()
