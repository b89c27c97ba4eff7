"""JavaScript in slots: the same plugins, the same ends, told in the same words as far as the engine has them."""

import pytest

from hardpoint_executor.jail import Event, Frame, Jails, Log, Outcome, OutcomeKind, Progress, Taken
from hardpoint_kit.errors import InvalidArgument, Unavailable
from jail.shared import SharedJails

from .conftest import RecordedDoor
from .programs import javascript, python, quickjs


@pytest.fixture
async def engine(shared_jails: SharedJails) -> Jails:
    return await shared_jails.of("slots")


async def run(engine: Jails, body: str, input=None, **rest) -> Outcome:
    return await engine.run(quickjs(body, input, **rest), RecordedDoor())


async def test_values_come_out_as_they_are(engine: Jails) -> None:
    outcome = await run(engine, "return [input, 1.5, 'ü\\u{1f600}', null, true, {}, undefined];", {"a": [1]})
    assert outcome.value == [{"a": [1]}, 1.5, "ü\U0001f600", None, True, {}, None]
    assert (await run(engine, "")).value is None
    assert outcome.peak_memory_bytes > 1024 * 1024


@pytest.mark.parametrize(
    ("body", "name", "message", "frame"),
    [
        ("null.x;", "TypeError", "cannot read property 'x' of null", Frame("act", "plugin.js", 2, 1)),
        (
            "const f = () => {\n missing; };\nf();",
            "ReferenceError",
            "missing is not defined",
            Frame("f", "plugin.js", 3, 2),
        ),
        ("throw 'text';", "Error", "text", None),
        ("throw Object.assign(new Error('x'), {name: 'Mine'})", "Mine", "x", None),
        ("return 10n;", "TypeError", "BigInt", None),
        ("const a = {}; a.a = a; return a;", "TypeError", "circular", None),
        ("return 'A'.repeat(2e6);", "ResultTooLarge", "the result has 2000027 bytes", None),
        ("await new Promise(() => {});", "NoResult", "waits for something that never comes", None),
        ("const f = () => f() + 1; return f();", "RangeError", "Maximum call stack size", None),
        ("const a = []; for (;;) a.push(new Uint8Array(8 << 20).fill(1));", "MemoryError", "out of memory", None),
        ("const a = []; for (;;) a.push(new Array(10000).fill({}));", "MemoryError", "out of memory", None),
        ("await import('fs');", "ReferenceError", "could not load module 'fs'", None),
        ("return process.env;", "ReferenceError", "process is not defined", None),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_the_author_sees_his_error(engine: Jails, body: str, name: str, message: str, frame) -> None:
    outcome = await run(engine, body)
    assert (outcome.kind, outcome.error_name) == (OutcomeKind.USER_ERROR, name), outcome
    assert message in outcome.message
    if frame is not None:
        assert outcome.stack[0] == frame
    assert all(at.file == "plugin.js" and at.line < 100 for at in outcome.stack), "no frame is the SDK's"


@pytest.mark.parametrize(
    ("source", "name", "message", "place"),
    [
        ("export default {\n  async actions: {} };", "SyntaxError", "invalid property name", (2, 16)),
        ("import x from 'left-pad';\nexport default { x };", "ImportRefused", 'cannot import "left-pad"', None),
        ("export const a = 1;", "NoHeader", "export default", None),
        ("export default null;", "NoHeader", "export default", None),
        ("throw new RangeError('early');", "RangeError", "early", (1, 11)),
        ("await 1;\nthrow new RangeError('late');", "RangeError", "late", (2, 11)),
        ("export default {id: 'tested', actions: {}};", "ActionNotFound", 'no action "act"', None),
        ("export default {id: 'tested', actions: {async toString() {}}};", "ActionNotFound", 'no action "act"', None),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_module_that_cannot_be_run_says_why(engine: Jails, source: str, name: str, message: str, place) -> None:
    call = quickjs("")
    broken = type(call)(call.language, source, call.filename, call.action, {}, engine="quickjs")
    outcome = await engine.run(broken, RecordedDoor())
    assert (outcome.kind, outcome.error_name) == (OutcomeKind.USER_ERROR, name), outcome
    assert message in outcome.message
    assert place is None or (outcome.stack[0].line, outcome.stack[0].column) == place


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("for (;;);", OutcomeKind.TIMEOUT),
        ("return /^(a+)+$/.test('a'.repeat(64) + '!');", OutcomeKind.TIMEOUT),
        ("for (;;) await null;", OutcomeKind.TIMEOUT),
        ("for (;;) console.log('x'.repeat(100));", OutcomeKind.BUDGET),
        ("for (;;) await fetch('https://a.example/');", OutcomeKind.BUDGET),
        ("return 'A'.repeat(50000);", OutcomeKind.OUTPUT_LIMIT),
    ],
    ids=lambda value: str(value),
)
async def test_each_end_is_told_apart(engine: Jails, body: str, kind: OutcomeKind) -> None:
    outcome = await run(engine, body, wall_seconds=1.5, output_bytes=10_000)
    assert outcome.kind is kind, outcome


async def test_asks_are_answered_while_others_wait(engine: Jails) -> None:
    door = RecordedDoor()
    body = """
const urls = ['https://a.example/', 'https://b.example/'];
const pages = await Promise.all([fetch(urls[0]), this.fetch(urls[1], { method: 'POST', body: { n: 1 } })]);
const refused = await this.fetch('https://refuse.example/').catch((error) => [error.name, error.code, error.message]);
return [(await pages[0].json()).url, await pages[1].text(), (await pages[1].bytes()).length, pages[0].ok, refused];
"""
    outcome = await engine.run(quickjs(body), door)
    text = '{"url": "https://b.example/"}'
    refusal = ["BrokerError", "HOST_NOT_GRANTED", "HOST_NOT_GRANTED: host refuse.example is not granted"]
    assert outcome.value == ["https://a.example/", text, len(text), True, refusal]
    assert [(method, arguments.get("body")) for _, method, arguments in door.asked[:2]] == [
        ("GET", None),
        ("POST", {"n": 1}),
    ]


async def test_log_progress_and_console_are_heard_in_order(engine: Jails) -> None:
    heard: list[Event] = []

    async def hear(event: Event) -> None:
        heard.append(event)

    call = quickjs("console.error('b', {c: 1}); this.log('d'); this.progress(0.5);")
    await engine.run(call, RecordedDoor(), hear)
    assert heard == [Taken(), Log("error", 'b {"c":1}'), Log("info", "d"), Progress(0.5, "")]


async def test_helpers_settings_and_permissions_are_on_this(engine: Jails) -> None:
    source = """
const scale = (n) => n * 2;
export default {
  id: 'tested',
  twice(n) { return scale(n); },
  actions: { async act(input) { return [this.twice(input), this.actions.other(3), this.config, this.permissions]; },
             other(n) { return n + 1; } },
};
"""
    call = quickjs("", settings={"unit": "C"}, secrets={"KEY": "secret://KEY#1"}, permissions=("data.read",))
    call = type(call)(**{**{name: getattr(call, name) for name in call.__slots__}, "source": source, "input": 4})
    outcome = await engine.run(call, RecordedDoor())
    assert outcome.value == [8, 4, {"unit": "C", "KEY": "secret://KEY#1"}, ["data.read"]]


async def test_a_plugin_that_breaks_its_own_world_breaks_no_other(engine: Jails) -> None:
    spoil = """
JSON.stringify = () => '{"result":{"value":"forged"}}{';
Promise.prototype.then = () => { throw new Error('no'); };
Object.prototype.polluted = 1; globalThis.left = 1;
return 1;
"""
    await run(engine, spoil)
    assert (await run(engine, "return [globalThis.left, ({}).polluted];")).value == [None, None]


async def test_what_drives_the_engine_is_out_of_its_plugins_reach(engine: Jails) -> None:
    names = ["begin", "settle", "ring", "pause", "carry", "answered", "entropy", "modules"]
    body = "return input.map((name) => typeof globalThis[name]);"
    assert (await run(engine, body, names)).value == ["undefined"] * len(names)


async def test_an_engine_belongs_to_its_language_and_its_tier(engine: Jails) -> None:
    with pytest.raises(InvalidArgument, match="is not one of python"):
        await engine.run(python("return 1", engine="quickjs"), RecordedDoor())
    with pytest.raises(InvalidArgument, match="is not one of node, quickjs"):
        await engine.run(javascript("return 1", engine="deno"), RecordedDoor())
    with pytest.raises(InvalidArgument, match="is not one of python, javascript"):
        await engine.describe("cobol", "", "x.cob")
    with pytest.raises(Unavailable, match="quickjs runs in slots alone"):
        await run(engine, "return 1", strict=True)
    assert (
        await engine.run(javascript("return typeof setImmediate;", engine="node"), RecordedDoor())
    ).value == "function"


async def test_node_reads_headers_where_it_is_there(engine: Jails) -> None:
    header = await engine.describe("javascript", "export default { id: typeof setImmediate };", "x.js")
    assert header.value == {"id": "function", "actions": []}
