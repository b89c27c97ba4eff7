"""Timers of JavaScript: the same on either engine, waited for inside the call's time, and gone with the call."""

import pytest

from hardpoint_executor.jail import BrokerDenied, Frame, JailCall, Jails, Outcome, OutcomeKind

from .conftest import Program, RecordedDoor

pytestmark = pytest.mark.parametrize("tier", ["slots"])
"""Where there are slots, there are both engines."""


async def run(jails: Jails, call: JailCall) -> Outcome:
    return await jails.run(call, RecordedDoor())


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ("return await new Promise((resolve) => setTimeout(resolve, 1, 'came'));", "came"),
        ("const told = []; const tell = (word) => told.push(word);\n"
         "setTimeout(tell, 40, 'late'); setTimeout(tell, 1, 'first'); setTimeout(tell, 1, 'second');\n"
         "Promise.resolve().then(() => tell('job')); queueMicrotask(() => tell('microtask'));\n"
         "await new Promise((resolve) => setTimeout(resolve, 60)); return told;",
         ["job", "microtask", "first", "second", "late"]),
        ("const told = [];\n"
         "setTimeout(() => { told.push('a'); Promise.resolve().then(() => told.push('job of a')); }, 1);\n"
         "setTimeout(() => told.push('b'), 1);\n"
         "await new Promise((resolve) => setTimeout(resolve, 30)); return told;", ["a", "job of a", "b"]),
        ("let times = 0;\n"
         "await new Promise((resolve) => { const timer = setInterval(() => { times += 1;\n"
         "  if (times === 3) { clearInterval(timer); setTimeout(resolve, 20); } }, 1); }); return times;", 3),
        ("const told = [];\n"
         "clearTimeout(setTimeout(() => told.push('cleared'), 1));\n"
         "clearTimeout(+setTimeout(() => told.push('number'), 1));\n"
         "for (const odd of [undefined, null, 'x', {}, NaN]) clearTimeout(odd);\n"
         "await new Promise((resolve) => setTimeout(resolve, 20)); return told;", []),
        ("const all = [0, -1, undefined, NaN, 'x', 2 ** 31, Infinity, '1'];\n"
         "return await Promise.all(all.map((delay, at) => new Promise((resolve) => setTimeout(resolve, delay, at))));",
         list(range(8))),
        ("const timer = setTimeout(() => {}, 5);\n"
         "return [typeof timer, typeof +timer, timer.hasRef(), timer.unref().hasRef(), timer.ref() === timer,\n"
         "  timer.constructor.name];", ["object", "number", True, False, True, "Timeout"]),
        ("let at; const timer = setTimeout(function () { at = this; }, 1);\n"
         "await new Promise((resolve) => setTimeout(resolve, 20)); return at === timer;", True),
        ("let times = 0;\n"
         "return await new Promise((resolve) => { const timer = setTimeout(() => {\n"
         "  times += 1; if (times < 3) timer.refresh(); else resolve(times); }, 1); });", 3),
        ("const before = performance.now(); await new Promise((resolve) => setTimeout(resolve, 30));\n"
         "return performance.now() - before > 28;", True),
    ],
    ids=["values", "order", "jobs between", "interval", "cleared", "delays", "shape", "this", "refresh", "waits"],
)  # fmt: skip
async def test_timers_are_as_under_node(jails: Jails, program: Program, body: str, value: object) -> None:
    outcome = await run(jails, program(body))
    assert outcome.value == value, outcome


async def test_replies_and_timers_come_as_they_are_ready(jails: Jails, program: Program) -> None:
    body = """
let ticks = 0;
const asked = fetch('https://a.example/').then((answer) => answer.json());
const ticked = new Promise((resolve) => setInterval(() => { ticks += 1; if (ticks === 3) resolve(); }, 1));
const [{ url }] = await Promise.all([asked, ticked]);
return [url, ticks >= 3];
"""
    outcome = await run(jails, program(body))
    assert outcome.value == ["https://a.example/", True], outcome


async def test_a_module_may_wait_while_it_is_loaded(jails: Jails, program: Program) -> None:
    source = (
        "const word = await new Promise((resolve) => setTimeout(resolve, 1, 'loaded'));\n"
        "export default { id: 'tested', actions: { async act() { return word; } } };\n"
    )
    call = program("")
    whole = JailCall("javascript", source, "plugin.js", "act", {}, engine=call.engine, org="acme", capability="tested")
    assert (await run(jails, whole)).value == "loaded"


@pytest.mark.parametrize(
    "body",
    [
        "await new Promise((resolve) => setTimeout(resolve, 60_000));",
        "setInterval(() => {}, 1); await new Promise(() => {});",
        "const again = () => setTimeout(again); again(); await new Promise(() => {});",
    ],
)
async def test_a_wait_ends_with_the_time_of_the_call(jails: Jails, program: Program, body: str) -> None:
    outcome = await run(jails, program(body, wall_seconds=0.5))
    assert (outcome.kind, outcome.detail) == (OutcomeKind.TIMEOUT, "wall clock")
    assert outcome.message == "the action did not end within 0.5 s"


@pytest.mark.parametrize(
    ("body", "error", "line"),
    [
        ("setTimeout(() => {\n throw new RangeError('late'); }, 1); await new Promise(() => {});",
         ("RangeError", "late"), 3),
        ("setTimeout(async () => {\n await null;\n throw new RangeError('later'); }, 1); await new Promise(() => {});",
         ("RangeError", "later"), 4),
        ("setInterval(() => { throw 'text'; }, 1); await new Promise((resolve) => setTimeout(resolve, 400)); return 1;",
         ("Error", "text"), 0),
        ("queueMicrotask(() => {\n throw new RangeError('job'); }); return 1;", ("RangeError", "job"), 3),
        ("setTimeout(() => {}, 1).unref(); await new Promise(() => {});",
         ("NoResult", "the action waits for something that never comes"), 0),
        ("clearInterval(setInterval(() => {}, 1)); await new Promise(() => {});",
         ("NoResult", "the action waits for something that never comes"), 0),
        ("setTimeout('text', 1);",
         ("TypeError", 'The "callback" argument must be of type function. Received type string'), 2),
    ],
    ids=["thrown", "async", "not an error", "microtask", "unref", "none left", "no function"],
)  # fmt: skip
async def test_what_a_callback_throws_ends_the_call(
    jails: Jails, program: Program, body: str, error: tuple[str, str], line: int
) -> None:
    outcome = await run(jails, program(body))
    assert (outcome.kind, outcome.error_name) == (OutcomeKind.USER_ERROR, error[0]), outcome
    assert outcome.message.startswith(error[1])
    assert [frame.line for frame in outcome.stack[:1]] == ([line] if line else []), outcome
    assert all(isinstance(frame, Frame) and frame.file == "plugin.js" for frame in outcome.stack)


async def test_a_refusal_that_a_callback_lets_through_is_the_brokers(jails: Jails, program: Program) -> None:
    body = "setTimeout(async () => { await fetch('https://refuse.example/'); }, 1); await new Promise(() => {});"
    outcome = await run(jails, program(body))
    assert outcome.error_name == "BrokerError"
    assert isinstance(outcome.denied, BrokerDenied)
    assert outcome.denied.code == "HOST_NOT_GRANTED"


async def test_a_timer_that_is_left_over_is_gone_with_its_call(jails: Jails, program: Program) -> None:
    left = "globalThis.ticks = 0; setInterval(() => { globalThis.ticks += 1; fetch('https://left.example/'); }, 1);"
    looks = "await new Promise((resolve) => setTimeout(resolve, 30)); return typeof globalThis.ticks;"
    door = RecordedDoor()
    assert (await jails.run(program(f"{left} setTimeout(() => {{}}, 1e6); return 'early';"), door)).value == "early"
    asked = len(door.asked)
    assert (await jails.run(program(looks), door)).value == "undefined"
    assert len(door.asked) == asked
