"""Calls of one run share a jail where they may: what all of them have, and what each has for itself alone."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hardpoint_executor.jail import ClosedDoor, Door, Event, Jails, Log, Outcome, OutcomeKind, Together
from hardpoint_executor.jail.slot import Slot

from .conftest import RecordedDoor
from .programs import python, quickjs
from .shared import SharedJails

RUN = Together("acme", "r1", "i1", "tested@1.0.0", "sha256:0")
COUNT = "import builtins\nbuiltins.n = getattr(builtins, 'n', 0) + 1\n"
COUNTS = COUNT + "return builtins.n\n"
SAYS = """
import json, os
from hardpoint_sdk import channel
def frame(**words):
    return channel.encode(words)
"""


@pytest.fixture
async def jails(shared_jails: SharedJails) -> AsyncIterator[Jails]:
    """Jails in which nothing waits for a run of another test."""
    jails = await shared_jails.of("slots")
    yield jails
    jails.end_run("acme", "r1")


def resting(jails: Jails, engine: str = "python") -> list[Slot]:
    return [slot for slot in jails._calls[engine, True].pool._ready if slot.shared is not None]


async def run(jails: Jails, body: str, input: Any = None, door: Door | None = None, **rest: Any) -> Outcome:
    """One source for all bodies: `input` holds them, so that they are calls of one module."""
    source = """
scope = {}
exec("async def f(self, input):\\n " + input[0].replace("\\n", "\\n "), scope)
return await scope["f"](self, input[1])"""
    call = python(source, [body, input], together=RUN, **rest)
    return await jails.run(call, door or ClosedDoor())


async def test_calls_of_a_run_share_what_they_left(jails: Jails) -> None:
    """Their module, its variables and the files in /tmp are the same for all of them; they say so themselves."""
    assert [(await run(jails, COUNTS)).value for _ in range(3)] == [1, 2, 3]
    await run(jails, "open('/tmp/left', 'w').write(input)", "by the call before")
    assert (await run(jails, "return open('/tmp/left').read()")).value == "by the call before"
    (slot,) = resting(jails)
    assert slot.calls >= 5


@pytest.mark.parametrize(
    "other",
    [
        {"together": None},
        {"org": "globex", "together": replace(RUN, org="globex")},
        {"capability": "other"},
        *({"together": replace(RUN, **{of: "other"})} for of in ("run", "installation", "release", "digest")),
        {"together": replace(RUN, callers=("x@1.0.0",))},
        {"memory_bytes": 64 << 20},
        {"libraries": ("tzdata",)},
        {"source": python(COUNTS + "# another").source},
        {"filename": "other.py"},
        {"strict": True},
    ],
    ids=lambda other: "-".join(other),
)
async def test_who_differs_in_anything_has_another_jail(jails: Jails, other: dict[str, Any]) -> None:
    usual = python(COUNTS, together=RUN)
    assert [(await jails.run(usual, ClosedDoor())).value for _ in range(2)] == [1, 2]
    more = {name: other[name] for name in ("source", "filename") if name in other}
    call = python(COUNTS, **{"together": RUN, **{name: value for name, value in other.items() if name not in more}})
    assert (await jails.run(replace(call, **more), ClosedDoor())).value == 1
    for name in {"globex", "acme"}:
        jails.end_run(name, "other")
        jails.end_run(name, "r1")


async def test_the_end_of_a_run_is_the_end_of_its_jails(jails: Jails) -> None:
    await run(jails, COUNTS)
    (slot,) = resting(jails)
    child = slot.child
    jails.end_run("acme", "r2")
    jails.end_run("globex", "r1")
    assert resting(jails) == [slot]
    jails.end_run("acme", "r1")
    assert resting(jails) == []
    await asyncio.wait_for(ended(child._pid), 5)
    assert (await run(jails, COUNTS)).value == 1


async def ended(pid: int) -> None:
    while state(pid) not in ("", "Z"):
        await asyncio.sleep(0.005)


def state(pid: int) -> str:
    """One letter as the kernel says it; nothing of a process that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("raise ValueError('no')", OutcomeKind.USER_ERROR),
        ("import os; os.setuid(0)", OutcomeKind.VIOLATION),
        ("import ctypes; ctypes.string_at(1, 8)", OutcomeKind.CRASH),
        ("import os; os._exit(0)", OutcomeKind.PROTOCOL),
        ("while True: pass", OutcomeKind.TIMEOUT),
        ("import os\nwhile True: os.write(1, b'x' * 65536)", OutcomeKind.OUTPUT_LIMIT),
        ("while True: self.log('x' * 1000)", OutcomeKind.BUDGET),
    ],
    ids=lambda value: str(value) if isinstance(value, OutcomeKind) else "",
)
async def test_a_call_that_fails_is_the_last_of_its_jail(jails: Jails, body: str, kind: OutcomeKind) -> None:
    assert [(await run(jails, COUNTS)).value for _ in range(2)] == [1, 2]
    assert (await run(jails, body, wall_seconds=0.5)).kind is kind
    assert (await run(jails, COUNTS)).value == 1


LATE = {
    "a thread that answers for the next call": """
import threading, time
def answers():
    time.sleep(0.2)
    channel.send_bytes(frame(result={"value": "forged"}))
threading.Thread(target=answers, daemon=True).start()
""",
    "a second result": """
said = channel.send_bytes
channel.send_bytes = lambda data: said(data + frame(result={"value": "forged"}))
""",
    "half a result": """
said = channel.send_bytes
channel.send_bytes = lambda data: said(data + frame(result={"value": "forged"})[:9])
""",
    "a log line": """
said = channel.send_bytes
channel.send_bytes = lambda data: said(data + frame(log={"level": "info", "message": "late"}))
""",
    "an ask": """
said = channel.send_bytes
ask = {"id": 1, "service": "fetch", "method": "GET", "arguments": {"url": "https://late.example/"}}
channel.send_bytes = lambda data: said(data + frame(ask=ask))
""",
}


@pytest.mark.parametrize("late", LATE)
async def test_nothing_of_a_call_is_heard_in_the_next_one(jails: Jails, late: str) -> None:
    door = RecordedDoor()
    assert (await run(jails, f"{COUNT}{SAYS}{LATE[late]}return builtins.n", door=door)).value == 1
    assert (await run(jails, COUNT + "return [builtins.n, input]", "mine", door=door)).value == [1, "mine"]
    assert door.asked == []


async def test_a_reply_that_nobody_waited_for_is_not_taken_for_the_next_call(jails: Jails) -> None:
    body = f"""{SAYS}
import select
channel.send({{"ask": {{"id": 1, "service": "fetch", "method": "GET", "arguments": {{"url": "https://late.example/"}}}}}})
ready = select.poll()
ready.register(3, select.POLLIN)
ready.poll()
{COUNTS}"""
    door = RecordedDoor()
    assert (await run(jails, body, door=door)).value == 1
    again = COUNT + "answer = await self.fetch('https://mine.example/')\nreturn [builtins.n, answer.json()['url']]"
    outcome = await run(jails, again, door=door)
    assert outcome.value == [2, "https://mine.example/"], outcome


async def test_a_process_of_a_call_cannot_stay(jails: Jails) -> None:
    outcome = await run(jails, "import os; os.fork()")
    assert (outcome.kind, outcome.error_name) == (OutcomeKind.USER_ERROR, "ProcessRefused")
    assert (await run(jails, COUNTS)).value == 1


async def test_each_call_has_its_own_input_settings_and_limits(jails: Jails) -> None:
    """Also one that keeps what an earlier one was given: it acts through the door of the call that runs."""
    body = COUNT + "builtins.kept = getattr(builtins, 'kept', self)\n"
    fetch = "await builtins.kept.fetch('https://a.example/')\n" * 2
    told = "self.log('x' * 300)\nprint('y' * 300)\n"
    told += "return [builtins.n, input, dict(self.config), list(self.permissions)]"
    for number in (1, 2, 3):
        events: list[Event] = []
        door = RecordedDoor()

        async def hear(event: Event, heard: list[Event] = events) -> None:
            heard.append(event)

        call = python(
            body + fetch + told,
            number,
            together=RUN,
            settings={"unit": number},
            secrets={"KEY": f"secret://KEY#{number}"},
            permissions=(f"p{number}",),
            broker_calls=2,
            log_bytes=500,
            output_bytes=500,
        )
        outcome = await jails.run(call, door, hear)
        assert outcome.value == [number, number, {"unit": number, "KEY": f"secret://KEY#{number}"}, [f"p{number}"]]
        assert (outcome.broker_calls, len(door.asked)) == (2, 2)
        assert [event.message for event in events if isinstance(event, Log)] == ["x" * 300, "y" * 300]


async def test_a_jail_stands_still_between_calls(jails: Jails) -> None:
    """Also where the plugin has put something else in place of what waits for the next call."""
    spins = f"{COUNT}{SAYS}\ndef spin():\n    while True: pass\nchannel.next_call = spin\nreturn builtins.n"
    assert (await run(jails, spins)).value == 1
    (slot,) = resting(jails)
    while state(slot.child._pid) != "T":
        await asyncio.sleep(0.005)
    assert (await run(jails, COUNTS, wall_seconds=0.5)).kind is OutcomeKind.TIMEOUT
    assert (await run(jails, COUNTS)).value == 1


async def test_processor_time_is_that_of_each_call(jails: Jails) -> None:
    spins = "import time\nend = time.process_time() + 0.05\nwhile time.process_time() < end: pass\n"
    assert (await run(jails, spins, wall_seconds=60)).cpu_ms > 45
    assert (await run(jails, "return 1")).cpu_ms < 30
    assert len(resting(jails)) == 1


async def test_what_calls_leave_in_memory_counts_for_the_next_ones(jails: Jails) -> None:
    grows = COUNT + "builtins.hoard = [*getattr(builtins, 'hoard', []), bytes(15 << 20)]\nreturn builtins.n"
    outcomes = [await run(jails, grows, memory_bytes=40 << 20) for _ in range(4)]
    assert [outcome.value for outcome in outcomes] == [1, 2, None, 1]
    assert outcomes[2].error_name == "MemoryError"


class Meeting(RecordedDoor):
    """Answers when two have asked."""

    def __init__(self) -> None:
        super().__init__()
        self._both = asyncio.Barrier(2)

    async def ask(self, service: str, method: str, arguments: Mapping[str, Any], /) -> Any:
        await self._both.wait()
        return await super().ask(service, method, arguments)


async def test_calls_side_by_side_have_a_jail_each(jails: Jails) -> None:
    body = COUNT + "open('/tmp/' + input, 'w')\nawait self.fetch('https://a.example/')\n"
    body += "import os\nreturn [builtins.n, os.listdir('/tmp')]"
    door = Meeting()
    seen = await asyncio.gather(*(run(jails, body, name, door, wall_seconds=60) for name in "ab"))
    assert [outcome.value for outcome in seen] == [[1, ["a"]], [1, ["b"]]]


async def test_a_jail_that_died_while_it_waited_is_not_used(jails: Jails) -> None:
    await run(jails, COUNTS)
    (slot,) = resting(jails)
    os.kill(slot.child._pid, 9)
    await ended(slot.child._pid)
    assert (await run(jails, COUNTS)).value == 1


async def test_quickjs_shares_too(jails: Jails) -> None:
    """What a timer or an ask of an earlier call would still do is gone; its variables are there."""
    source = """
let calls = 0;
const busy = (ms) => { const end = performance.now() + ms; while (performance.now() < end); };
export default { id: 'tested', actions: { async act(input) {
  calls += 1;
  if (calls === 1) setTimeout(() => { throw new Error('late'); }, 1);
  if (calls === 2) await new Promise((done) => setTimeout(done, 20));
  if (calls === 3) { this.fetch('https://late.example/'); busy(100); }
  if (calls === 4) return [input, calls, (await (await this.fetch('https://mine.example/')).json()).url];
  if (calls === 5) await new Promise(() => {});
  return [input, calls];
} } };
"""
    door = RecordedDoor()
    outcomes = [await jails.run(replace(quickjs("", n, together=RUN), source=source), door) for n in range(1, 6)]
    assert [outcome.value for outcome in outcomes[:4]] == [[1, 1], [2, 2], [3, 3], [4, 4, "https://mine.example/"]]
    assert outcomes[4].error_name == "NoResult"
    assert resting(jails, "quickjs") == []
