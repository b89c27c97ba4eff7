"""A forbidden system call in a slot is the caller's last act, and is known by the name that the kernel gave it."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hardpoint_executor.jail import ClosedDoor, Event, Log, Outcome, OutcomeKind, filters, launch
from hardpoint_executor.jail.calls import Calls
from hardpoint_executor.jail.cgroups import prepare_cgroups
from hardpoint_executor.jail.forbidden import WHAT_IT_DOES
from hardpoint_executor.jail.launch import Launcher
from hardpoint_executor.jail.policy import Action, name_of, read_policy
from hardpoint_executor.jail.rootfs import build_rootfs, default_folder
from hardpoint_executor.jail.sharing import Shared
from hardpoint_executor.jail.slot import SLOTS, Child, Slot

from .programs import python

ROOT = Path(__file__).parents[2]
RULES = read_policy(launch.HERE / "base.policy").rules
KILLED = sorted(number for number, (action, _) in RULES.items() if action == Action("KILL_PROCESS"))
CALL = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    return libc.syscall(number, *map(ctypes.c_long, arguments))
"""


class OneSlot:
    """A pool of one slot that stays whatever its children do."""

    failure = ""
    closed = False

    def __init__(self, slot: Slot) -> None:
        self.slot = slot

    async def fill(self) -> None:
        """It is full."""

    async def take(self, org: str, capability: str, depth: int = 0, shared: Shared | None = None) -> Child:
        await self.slot.renew_child()
        assert self.slot.child is not None
        return self.slot.child

    def discard(self, process: Child, well: bool, rests: bool = False) -> None:
        process.kill()

    async def close(self) -> None:
        """The fixture does."""


@pytest.fixture
async def one() -> AsyncIterator[Slot]:
    launcher = Launcher(SLOTS["python"], build_rootfs("python", default_folder()), prepare_cgroups().config)
    slot = await launcher.start()
    yield slot
    await launcher.discard(slot)
    launcher.close()


async def end(slot: Slot, body: str, input: object = None, **limits: float) -> tuple[Outcome, list[str]]:
    """Run a call in the next child of a slot; how it ended, and what it logged."""
    logged: list[str] = []

    async def hear(event: Event) -> None:
        if isinstance(event, Log):
            logged.append(event.message)

    return await Calls(OneSlot(slot)).run(python(CALL + body, input, **limits), ClosedDoor(), hear), logged


def open_in(pid: int | str) -> dict[str, str]:
    found = {}
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found[link.name] = os.readlink(link)
        except FileNotFoundError:
            continue  # the one that lists them
    return found


def test_of_every_forbidden_call_it_is_known_what_it_does() -> None:
    assert set(WHAT_IT_DOES) == {name_of(number) for number in KILLED}


async def test_every_forbidden_call_is_named(one: Slot) -> None:
    assert len(KILLED) > 50
    for number in KILLED:
        outcome, logged = await end(one, "call(input, -1, -1, -1, -1, -1, -1)\nself.log('back')", number)
        name = name_of(number)
        assert (outcome.kind, outcome.syscall) == (OutcomeKind.VIOLATION, name), outcome
        assert f"called {name}, which no plugin may: it {WHAT_IT_DOES[name]}" in outcome.message
        assert logged == []


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ("import os\nos.setuid(0)", "setuid"),
        ("import os\nos.mknod('/tmp/disk', 0o60600, 0x0800)", "mknodat"),
        ("import time\ntime.clock_settime(0, 0)", "clock_settime"),
        ("libc.mount(b'none', b'/tmp', b'tmpfs', 0, None)", "mount"),
        ("return libc.ptrace(0, 0, 0, 0)", "ptrace"),
        ("import socket\nsocket.sethostname('mine')", "sethostname"),
    ],
    ids=lambda value: value if value.isidentifier() else "",
)
async def test_it_is_named_however_it_is_made(one: Slot, body: str, name: str) -> None:
    outcome, _ = await end(one, body)
    assert (outcome.kind, outcome.syscall) == (OutcomeKind.VIOLATION, name), outcome


THREADS = """
import threading
gate = threading.Barrier(31)
threading.stack_size(64 * 1024)
def offend(number):
    gate.wait()
    call(number, 0, 0, 0, 0, 0, 0)
    self.log("back")
for number in input:
    threading.Thread(target=offend, args=(number,)).start()
gate.wait()
while True:
    pass
"""


async def test_of_many_threads_that_all_make_one_the_first_counts(one: Slot) -> None:
    some = KILLED[:30]
    outcome, logged = await end(one, THREADS, some)
    assert outcome.kind is OutcomeKind.VIOLATION, outcome
    assert outcome.syscall in {name_of(number) for number in some}
    assert logged == []


async def test_a_handler_of_the_signal_catches_nothing(one: Slot) -> None:
    body = """
import signal
for number in range(1, 65):
    try:
        signal.signal(number, lambda *_: self.log("caught"))
    except (OSError, ValueError):
        pass
while True:
    call(101, 0, 0, 0, 0)
    self.log("back")
"""
    outcome, logged = await end(one, body)
    assert (outcome.kind, outcome.syscall) == (OutcomeKind.VIOLATION, "ptrace")
    assert logged == []


async def test_a_thread_cannot_call_another_back(one: Slot) -> None:
    """A signal would end the wait in a forbidden call with EINTR, perhaps before anybody has heard of the call."""
    body = """
import signal, threading
signal.signal(signal.SIGUSR1, lambda *_: None)
signal.siginterrupt(signal.SIGUSR1, True)
main = threading.get_native_id()
def call_back():
    for number in (62, 129, 200, 234, 297, 424):  # kill, rt_sigqueueinfo, tkill, tgkill, rt_tgsigqueueinfo, by pidfd
        for arguments in ((1, 10), (main, 10), (1, main, 10)):
            if call(number, *arguments, 0, 0, 0) == 0:
                self.log(f"{number} was sent")
call_back()
def again():
    while True:
        call_back()
threading.Thread(target=again).start()
while True:
    call(101, 0, 0, 0, 0)
    self.log("back")
"""
    outcome, logged = await end(one, body)
    assert (outcome.kind, outcome.syscall) == (OutcomeKind.VIOLATION, "ptrace"), outcome
    assert logged == []


async def test_while_nobody_listens_it_waits(one: Slot) -> None:
    """Its zygote stands still: the call is not made, its thread never goes on, and the deadline ends it as ever."""
    os.kill(one.pid, signal.SIGSTOP)
    assert one.child is not None
    try:
        held = python(CALL + "self.log('here')\ncall(101, 0, 0, 0, 0)\nself.log('back')", wall_seconds=0.5)
        logged: list[str] = []

        async def hear(event: Event) -> None:
            if isinstance(event, Log):
                logged.append(event.message)

        pool = OneSlot(one)
        pool.take = lambda *_: asyncio.sleep(0, one.child)  # the one that is there: a stopped zygote clones no other
        outcome = await Calls(pool).run(held, ClosedDoor(), hear)
    finally:
        os.kill(one.pid, signal.SIGCONT)
    assert (outcome.kind, outcome.syscall) == (OutcomeKind.TIMEOUT, "")
    assert logged == ["here"]


async def test_a_call_that_hides_is_killed_at_once(one: Slot) -> None:
    """What a child that closes its walls is known by does not help a plugin: only the name is lost."""
    body = "call(input[0], 0, 0, 0, 0, 0, int(input[1]))\nself.log('back')"
    for number in KILLED:
        outcome, logged = await end(one, body, [number, str(filters.filters().mark)])
        assert (outcome.kind, outcome.detail, outcome.syscall) == (OutcomeKind.VIOLATION, "SIGSYS", ""), number
        assert logged == []


async def test_other_ends_are_not_mixed_up_with_it(one: Slot) -> None:
    """The one before was a violation: what the zygote kept of it is gone."""
    for body, kind in (
        ("return 1", OutcomeKind.OK),
        ("ctypes.string_at(1, 8)", OutcomeKind.CRASH),
        ("import os\nos._exit(0)", OutcomeKind.PROTOCOL),
        ("while True: pass", OutcomeKind.TIMEOUT),
    ):
        assert (await end(one, "call(101, 0, 0, 0, 0)"))[0].syscall == "ptrace"
        outcome, _ = await end(one, body, wall_seconds=0.3)
        assert (outcome.kind, outcome.syscall) == (kind, "")


async def test_three_hundred_leave_nothing(one: Slot) -> None:
    async def offend(times: int) -> None:
        for _ in range(times):
            assert (await end(one, "call(101, 0, 0, 0, 0)"))[0].syscall == "ptrace"

    await offend(5)
    before = open_in("self"), open_in(one.pid)
    await offend(300)
    assert len(open_in("self")) <= len(before[0]), "what other tests left may be closed meanwhile"
    assert open_in(one.pid) == before[1]


async def test_only_the_zygote_listens(one: Slot) -> None:
    await one.renew_child()
    assert one.child is not None
    assert [name for name in open_in(one.pid).values() if "seccomp" in name] == ["anon_inode:seccomp notify"]
    assert set(open_in(one.child._pid)) == {"0", "1", "2", "3"}
    assert not [name for name in open_in("self").values() if "seccomp" in name]


@pytest.mark.parametrize(
    ("filter", "ended", "untold"),
    [
        ("listens", {"setuid": ["SIGSYS", ""], "ptrace": ["SIGSYS", ""]}, len(KILLED)),
        ("refuses ptrace", {"setuid": ["SIGKILL", "setuid"], "ptrace": ["SIGSYS", ""]}, 1),
        ("kills for ptrace", {"setuid": ["SIGSYS", ""], "ptrace": ["SIGSYS", ""]}, len(KILLED)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_a_filter_further_out_does_first_kills_without_a_name(filter: str, ended: dict, untold: int) -> None:
    """As in a container: the kernel lets one listen, and what is refused further out it tells nobody."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(ROOT / "tests" / "jail" / "as_filtered.py"),
        filter,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(str(ROOT / name) for name in ("libs", "services", "tests")),
        },
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    report = json.loads(output.splitlines()[-1])
    assert report == {"reasons": [], "ended": {name: ["violation", *end] for name, end in ended.items()}}
    (line,) = [line for line in output.decode().splitlines() if "cannot be named" in line]
    assert len(line.partition("calls=")[2].partition("why=")[0].split()) == untold
