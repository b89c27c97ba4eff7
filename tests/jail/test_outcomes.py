"""How a call ends is decided outside the jail, and each way of ending is told apart."""

import asyncio

import pytest

from hardpoint_executor.jail import (
    Event,
    Frame,
    JailOptions,
    Jails,
    Limits,
    Log,
    OutcomeKind,
    Progress,
    SlotOptions,
    Taken,
    nsjail,
    processes,
    slot,
)
from hardpoint_kit.errors import InvalidArgument

from .altered import altered
from .conftest import RecordedDoor
from .programs import javascript, python


async def test_a_result_carries_what_the_call_used(jails: Jails, door: RecordedDoor) -> None:
    outcome = await jails.run(python("return {'twice': [input, input]}", {"a": 1}), door)
    assert outcome.value == {"twice": [{"a": 1}, {"a": 1}]}
    assert 0 < outcome.cpu_ms < 1000
    assert 0 < outcome.wall_ms < 10_000
    assert outcome.peak_memory_bytes > 1024 * 1024


@pytest.mark.parametrize(
    "call",
    [
        python("return [1, 1.5, 'ü\\U0001f600', None, True, {}]"),
        javascript("return [1, 1.5, 'ü\\u{1f600}', null, true, {}];"),
    ],
    ids=["python", "javascript"],
)
async def test_values_come_out_as_they_are(jails: Jails, door: RecordedDoor, call) -> None:
    assert (await jails.run(call, door)).value == [1, 1.5, "ü\U0001f600", None, True, {}]


@pytest.mark.parametrize(
    ("call", "name", "message", "frame"),
    [
        (python("x = 1\nraise KeyError('gone')"), "KeyError", "'gone'", Frame("act", "plugin.py", 6, 5)),
        (javascript("null.x;"), "TypeError", "Cannot read properties of null", Frame("Object.act", "plugin.js", 2, 6)),
        (python("return missing"), "NameError", "name 'missing' is not defined", Frame("act", "plugin.py", 5, 12)),
        (python("raise MemoryError"), "MemoryError", "out of memory", None),
        (python("return object()"), "TypeError", "Object of type object is not JSON", None),
        (javascript("throw 'text';"), "Error", "text", None),
        (python("return 'A' * 2_000_000"), "ResultTooLarge", "the result has 2000027 bytes", None),
        (javascript("return 'A'.repeat(2e6);"), "ResultTooLarge", "the result has 2000027 bytes", None),
        (javascript("await new Promise(() => {});"), "NoResult", "waits for something that never comes", None),
        (javascript("Promise.reject(new Error('lost')); await new Promise(() => {});"), "Error", "lost", None),
        (python("class A:\n    def __await__(self): yield\nawait A()"), "RuntimeError", "import asyncio", None),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_the_author_sees_his_error(jails, door, call, name: str, message: str, frame: Frame | None) -> None:
    outcome = await jails.run(call, door)
    assert (outcome.kind, outcome.error_name) == (OutcomeKind.USER_ERROR, name)
    assert message in outcome.message
    if frame is not None:
        assert outcome.stack[0] == frame


@pytest.mark.parametrize(
    ("call", "kind", "detail"),
    [
        (python("while True: pass", wall_seconds=0.3), OutcomeKind.TIMEOUT, "wall clock"),
        (javascript("for (;;);", wall_seconds=0.3), OutcomeKind.TIMEOUT, "wall clock"),
        (python("import os; os.close(3); import time; time.sleep(60)", wall_seconds=0.3), OutcomeKind.TIMEOUT, ""),
        (javascript("const a = []; for (;;) a.push(new Array(10000).fill({}));"), OutcomeKind.OOM, "SIGSEGV"),
        (python("import ctypes; ctypes.string_at(1, 8)"), OutcomeKind.CRASH, "SIGSEGV"),
        (python("import os; os.setuid(0)"), OutcomeKind.VIOLATION, "SIG"),
        (python("import os; os._exit(0)"), OutcomeKind.PROTOCOL, "exit 0"),
        (python("print('A' * 50_000); return 1", output_bytes=10_000), OutcomeKind.OUTPUT_LIMIT, "stdout and stderr"),
        (python("return 'A' * 50_000", output_bytes=10_000), OutcomeKind.OUTPUT_LIMIT, "result"),
        (python("while True: self.log('x' * 100)"), OutcomeKind.BUDGET, "log_bytes"),
        (javascript("for (;;) console.log('x'.repeat(100));"), OutcomeKind.BUDGET, "log_bytes"),
        (python("while True: self.progress(0.5)"), OutcomeKind.BUDGET, "log_bytes"),
        (
            python(
                "while True: await self.fetch('https://a.test/' + 9000 * 'x')", broker_calls=1000, broker_bytes=50_000
            ),
            OutcomeKind.BUDGET,
            "broker_bytes",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_each_end_is_told_apart(jails, door, call, kind: OutcomeKind, detail: str) -> None:
    outcome = await jails.run(call, door)
    assert outcome.kind is kind, outcome
    assert detail in outcome.detail


async def test_buffers_that_find_no_room_end_the_engine_or_the_plugin(jails, door) -> None:
    outcome = await jails.run(javascript("const a = []; for (;;) a.push(new Uint8Array(8 << 20).fill(1));"), door)
    refused = (outcome.error_name, outcome.message) == ("RangeError", "Array buffer allocation failed")
    assert outcome.kind is OutcomeKind.OOM or refused, outcome


@pytest.mark.usefixtures("alone", "tested_once")
@pytest.mark.parametrize(
    ("spin", "config"),
    [
        (python("while True: pass"), "python.cfg"),
        (python("while True: pass"), "slot.cfg"),
        (javascript("for (;;);"), "node.cfg"),
    ],
    ids=["python single-use", "python slots", "node"],
)
async def test_processor_time_that_is_spent_is_not_called_memory(monkeypatch, tmp_path, door, spin, config) -> None:
    """Threads spend it sooner than the clock does."""
    altered(monkeypatch, tmp_path, config, "rlimit_cpu: 120", "rlimit_cpu: 2")
    monkeypatch.setattr(processes, "CPU_MS", 2000.0)
    slots = SlotOptions() if config == "slot.cfg" else None
    jails = Jails(JailOptions(languages=(spin.language,), slots=slots))
    await jails.start()
    try:
        outcome = await jails.run(spin, door)
    finally:
        await jails.stop()
    assert (outcome.kind, outcome.detail) == (OutcomeKind.TIMEOUT, "SIGXCPU"), outcome
    assert "processor time" in outcome.limit


@pytest.mark.parametrize("status", [137, 139, 159])
async def test_a_plugin_cannot_choose_its_outcome_by_an_exit_status(jails, door, status: int) -> None:
    outcome = await jails.run(python(f"import os; os._exit({status})"), door)
    assert (outcome.kind, outcome.detail) == (OutcomeKind.PROTOCOL, f"exit {status}")


async def test_a_plugin_that_shuts_its_channel_broke_the_protocol(jails, door, monkeypatch) -> None:
    monkeypatch.setattr(nsjail, "_END_SECONDS", 0.5)
    monkeypatch.setattr(slot, "_DEATH_SECONDS", 0.2)
    call = python("import socket, time; socket.socket(fileno=3).shutdown(2); time.sleep(60)")
    outcome = await jails.run(call, door)
    assert outcome.kind is OutcomeKind.PROTOCOL


async def test_the_memory_limit_is_that_of_the_call(jails, door) -> None:
    body = "return len(bytearray(60 * 1024 * 1024))"
    large = await jails.run(python(body), door)
    small = await jails.run(python(body, memory_bytes=32 * 1024 * 1024), door)
    assert large.value == 60 * 1024 * 1024
    assert small.error_name == "MemoryError"


async def test_others_go_on_between_the_lines_that_were_printed(jails, door) -> None:
    turns, heard = 0, set()

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def hear(event: Event) -> None:
        if isinstance(event, Log):
            heard.add(turns)

    going_on = asyncio.create_task(others())
    await jails.run(python("for n in range(100): print(n)"), door, hear)
    going_on.cancel()
    assert len(heard) == 100


async def test_log_progress_and_print_are_heard_in_order(jails, door) -> None:
    heard: list[Event] = []

    async def hear(event: Event) -> None:
        heard.append(event)

    await jails.run(python("print('printed')\nself.log('a', 'warning')\nself.progress(2, 'half')"), door, hear)
    assert heard == [Taken(), Log("warning", "a"), Progress(1.0, "half"), Log("info", "printed")]
    heard.clear()
    await jails.run(javascript("console.error('b', {c: 1}); this.log('d'); this.progress(0.5);"), door, hear)
    assert heard == [Taken(), Log("error", 'b {"c":1}'), Log("info", "d"), Progress(0.5, "")]


async def test_a_million_empty_lines_are_not_a_million_events(jails, door) -> None:
    heard: list[Event] = []

    async def hear(event: Event) -> None:
        heard.append(event)

    outcome = await jails.run(python("import os; os.write(1, b'\\n' * 60_000)"), door, hear)
    assert outcome.ok
    assert len(heard) == 1002
    assert heard[-1] == Log("warning", "59000 more lines were printed")


async def test_nothing_of_one_call_is_there_in_the_next(jails, door) -> None:
    await jails.run(python("import builtins; builtins.left = 1; open('/tmp/left', 'w').write('x')"), door)
    seen = await jails.run(python("import builtins, os; return [hasattr(builtins, 'left'), os.listdir('/tmp')]"), door)
    assert seen.value == [False, []]


async def test_cancelling_the_call_kills_the_jail(jails, door) -> None:
    heard = asyncio.Event()

    async def hear(event: Event) -> None:
        heard.set()

    running = asyncio.create_task(jails.run(python("self.log('here')\nwhile True: pass"), door, hear))
    await heard.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (await jails.run(python("return 1"), door)).value == 1


@pytest.mark.parametrize(
    "action", ["x);process.exit(1)//", "__proto__", "constructor", "prototype", "toString", "", "a" * 65, "a b", "a\n"]
)
async def test_a_name_that_cannot_be_an_action_is_refused_outside(jails, door, action: str) -> None:
    for call in (python("return 1"), javascript("return 1;")):
        with pytest.raises(InvalidArgument) as refused:
            await jails.run(type(call)(call.language, call.source, call.filename, action, {}), door)
        assert refused.value.reason == "ACTION_NAME_INVALID"


async def test_what_is_not_json_or_too_large_is_refused_outside(jails, door) -> None:
    for input in (float("nan"), {1, 2}, "A" * (5 * 1024 * 1024)):
        with pytest.raises(InvalidArgument):
            await jails.run(python("return 1", input), door)
    with pytest.raises(InvalidArgument):
        await jails.describe("ruby", "", "x.rb", Limits())
