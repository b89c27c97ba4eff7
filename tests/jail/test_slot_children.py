"""What a child of a slot is alone in: nothing of it is left, and it reaches neither its zygote nor a neighbour."""

import asyncio
import os
import signal

import pytest

from hardpoint_executor.jail import Jails, OutcomeKind
from hardpoint_executor.jail import jails as jails_module
from hardpoint_executor.jail.cgroups import Cgroups

from .in_slots import begin, idle, process, run, slots_of, started
from .programs import python

pytestmark = pytest.mark.usefixtures("tested_once")
WORLD = """
import gc, os, sys, builtins
seen = {
    "descriptors": [number for number in range(256) if not refused(os.fstat, number)],
    "user": os.getresuid() + os.getresgid(),
    "groups": os.getgroups(),
    "pid": [os.getpid(), os.getppid()],
    "tmp": os.listdir("/tmp"),
    "cwd": os.getcwd(),
    "environment": dict(os.environ),
    "left": [hasattr(builtins, "left"), "left" in sys.modules],
}
builtins.left = 1
sys.modules["left"] = sys
open("/tmp/left", "w").write("left")
return seen
"""
REFUSED = """
def refused(attempt, *arguments):
    try:
        attempt(*arguments)
    except OSError:
        return True
    return False
"""
FILLS = "return len(bytearray(b'x') * input)"


async def test_a_child_has_its_world_to_itself_and_leaves_nothing_in_it(slotted: Jails) -> None:
    worlds = [await run(slotted, REFUSED + WORLD) for _ in range(3)]
    for world in worlds:
        assert world.ok, world
        assert world.value == {
            "descriptors": [0, 1, 2, 3],
            "user": [65534] * 6,
            "groups": [],
            "pid": [1, 0],
            "tmp": [],
            "cwd": "/tmp",
            "environment": {"LANG": "C.UTF-8"},
            "left": [False, False],
        }


async def test_neighbours_of_one_capability_do_not_see_each_other(slotted: Jails) -> None:
    body = "import os, time; open('/tmp/' + input, 'w'); time.sleep(0.2); return os.listdir('/tmp')"
    slotted = await started(most=4, clean=3)
    seen = await asyncio.gather(*(run(slotted, body, name) for name in "abc"))
    assert [outcome.value for outcome in seen] == [["a"], ["b"], ["c"]]
    await slotted.stop()


async def test_a_child_has_no_capability_and_cannot_be_looked_into(slotted: Jails) -> None:
    call = python("self.log('here')\nimport time; time.sleep(30)")
    running = await begin(slotted, call)
    (slot,) = slots_of(slotted)._taken
    child, zygote = process(slot.child._pid), process(slot.pid)
    assert {int(child[f"Cap{name}"], 16) for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {0}
    assert (child["NoNewPrivs"], child["Seccomp"], child["Seccomp_filters"]) == ("1", "2", "3")
    assert child["Uid"].split() == [str(120_001 + 2 * slot.number)] * 4
    assert zygote["Uid"].split() == [str(120_000 + 2 * slot.number)] * 4
    assert child["owner"] != child["Uid"].split()[0], "it is not dumpable, so its files in /proc are not its own"
    mine = process(os.getpid())
    for kind in ("pid", "mnt", "ipc", "uts", "cgroup"):
        assert len({child[kind], zygote[kind], mine[kind]}) == 3, f"{kind} is not the child's own"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_child_cannot_speak_to_its_zygote(slotted: Jails) -> None:
    """What it writes goes to the executor alone, wherever it writes it; its zygote is not even visible to it."""
    before = await idle(slotted)
    body = """
import ctypes, os, socket
for descriptor in range(4, 256):
    try:
        os.write(descriptor, b'.')
    except OSError:
        continue
    return f"{descriptor} can be written to"
libc = ctypes.CDLL(None, use_errno=True)
return [libc.kill(pid, 9) for pid in (-1, 0, 2)]
"""
    outcome = await run(slotted, body)
    assert outcome.value == [-1, -1, -1]
    assert before & await idle(slotted)


async def test_a_zygote_outlives_a_child_that_uses_up_the_memory_of_the_slot(slotted: Jails) -> None:
    """The child is allowed more than the slot's cgroup has, so that the kernel must choose whom to kill."""
    if slotted.cgroups.mode == "none":
        await assert_held_by_the_limits_of_the_process(slotted)
        return
    await idle(slotted)
    outcome = await run(slotted, FILLS, 1 << 28, memory_bytes=400 << 20)
    assert (outcome.kind, outcome.detail) == (OutcomeKind.OOM, "SIGKILL")
    assert (await run(slotted, "return 1")).value == 1


async def test_without_cgroups_a_child_is_held_by_the_limits_of_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jails_module, "prepare_cgroups", lambda: Cgroups("none", "read-only file system"))
    jails = await started()
    await assert_held_by_the_limits_of_the_process(jails)
    await jails.stop()


async def assert_held_by_the_limits_of_the_process(jails: Jails) -> None:
    """What a child may have is what its call was given, and a child that wants more leaves the slot as it was."""
    assert (await run(jails, FILLS, 1 << 28, memory_bytes=400 << 20)).value == 1 << 28
    zygotes = await idle(jails)
    outcome = await run(jails, FILLS, 1 << 29, memory_bytes=400 << 20)
    assert (outcome.kind, outcome.error_name) == (OutcomeKind.USER_ERROR, "MemoryError")
    assert await idle(jails) == zygotes
    assert (await run(jails, "return 1")).value == 1


async def test_a_child_that_dies_while_it_waits_costs_no_call(slotted: Jails) -> None:
    await idle(slotted)
    for slot in slots_of(slotted)._ready:
        os.kill(slot.child._pid, signal.SIGKILL)
    while any(slot.alive for slot in slots_of(slotted)._ready):
        await asyncio.sleep(0.005)
    assert (await run(slotted, "return 1")).value == 1


async def test_a_child_that_ended_is_kept_from_being_another_process(slotted: Jails) -> None:
    """Until its zygote is told to go on, an ended child is a zombie: its number cannot name anybody else."""
    call = python("self.log('here')\nimport time; time.sleep(30)")
    running = await begin(slotted, call)
    (slot,) = slots_of(slotted)._taken
    child = slot.child
    child.kill()
    outcome = await running
    assert outcome.kind is OutcomeKind.OOM
    assert child._pid not in {slot.child._pid for slot in slots_of(slotted)._ready}
