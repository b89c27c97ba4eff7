"""Code that calls other capabilities: each an execution of its own, cut by its caller, and none can hang the others."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from executor.brokers import client_of
from executor.composed import LONG, World, javascript, python, refused
from executor.kept import Kept
from executor.upstream import Upstream
from hardpoint_executor import inside
from hardpoint_executor.domain import Execution, Finished, Limits, Log, Outcome, Requirement
from hardpoint_executor.jail import JailOptions, Jails, PoolOptions, SlotOptions
from hardpoint_executor.service import Executor
from hardpoint_kit.caller import SYSTEM
from hardpoint_kit.clock import SystemClock
from hardpoint_kit.errors import Conflict
from hardpoint_manifest.authority import Authority
from jail.shared import SharedJails

pytestmark = pytest.mark.jail

ACME = SYSTEM("acme")
WIDE = Authority(frozenset({"network.http.post", "compute.moderate"}), frozenset({"api.example.com"}))
POSTS = python('return (await self.fetch("https://api.example.com/x", method="POST", body="hi")).status')
CALLS_B = python('return await self.call("b.run", input)')
SECRET = "hush-4711-hush-4711"


@pytest.fixture
async def jails(shared_jails: SharedJails) -> Jails:
    return await shared_jails.of("slots")


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as started:
        yield started


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def executor(jails: Jails, upstream: Upstream, world: World) -> AsyncIterator[Executor]:
    async with client_of({"api.example.com": upstream}) as http:
        yield Executor(world, world, jails, http, SystemClock(), Limits(), files=Kept())


async def ended(executor: Executor, execution: Execution) -> Finished:
    return await executor.execute_to_end(ACME, execution)


PYTHON = python("""
try:
    await self.call("b.run", {"n": 0})
except Exception as error:
    code = error.code
return [await self.call("b.run", {"n": 2}), await self.call("b.run", {"n": 3}), code]
""")
JAVASCRIPT = javascript("""
let code;
try { await this.call('b.run', { n: 0 }); } catch (error) { code = error.code; }
return [await this.call('b.run', { n: 2 }), await this.call('b.run', { n: 3 }), code];
""")


@pytest.mark.parametrize(
    ("source", "ext", "engine"),
    [(PYTHON, "py", ""), (JAVASCRIPT, "mjs", "node"), (JAVASCRIPT, "mjs", "quickjs")],
    ids=["python", "node", "quickjs"],
)
async def test_a_call_gives_the_output_or_an_error_with_its_reason(
    executor: Executor, world: World, source: str, ext: str, engine: str
) -> None:
    b = world.callee("b", python("return {'inverse': 6 / input['n']}"))
    finished = await ended(executor, world.add("a", source, b, ext=ext, engine=engine))
    assert finished.error is None, finished.error
    assert finished.output == [{"inverse": 3.0}, {"inverse": 2.0}, "USER_ERROR"]
    assert [(step.path, step.outcome) for step in finished.steps] == [
        ("b.run", Outcome.USER_ERROR),
        ("b.run#2", Outcome.OK),
        ("b.run#3", Outcome.OK),
    ]
    assert [step.action for step in finished.steps] == ["b.run"] * 3
    assert finished.steps[0].error is not None
    assert "division by zero" in finished.steps[0].error.message
    assert all(step.usage.cpu_ms > 0 for step in finished.steps)
    assert finished.usage.cpu_ms > sum(step.usage.cpu_ms for step in finished.steps)


async def test_an_error_that_is_not_caught_is_the_callers_own_end(executor: Executor, world: World) -> None:
    finished = await ended(executor, world.add("a", CALLS_B, world.callee("b", POSTS, authority=LONG)))
    assert finished.outcome is Outcome.DENIED
    assert finished.error is not None
    assert finished.error.reason == "PERMISSION_NOT_GRANTED"
    assert (finished.error.metadata["permission"], finished.error.metadata["callee"]) == ("network.http.post", "b.run")
    assert finished.error.place.startswith("a.py:")


async def test_a_callee_reaches_no_more_than_its_caller(executor: Executor, world: World, upstream: Upstream) -> None:
    b = world.callee("b", POSTS, authority=WIDE)
    finished = await ended(executor, world.add("a", CALLS_B, b))
    assert finished.error is not None
    assert (finished.outcome, finished.error.reason) == (Outcome.DENIED, "PERMISSION_NOT_GRANTED")
    assert finished.error.message == "network.http.post is not granted to caller a"
    assert 'the author of a has to declare "network.http.post"' in finished.error.fix
    assert upstream.seen == []
    through = world.callee("m", CALLS_B, world.callee("b", POSTS, authority=WIDE), authority=WIDE)
    finished = await ended(executor, world.add("a", python('return await self.call("m.run", {})'), through))
    assert finished.error is not None
    assert finished.error.message == "network.http.post is not granted to caller a"
    hostless = Authority(WIDE.permissions, frozenset({"other.example.com"}))
    finished = await ended(executor, world.add("a", CALLS_B, b, authority=hostless, asked=WIDE))
    assert finished.error is not None
    assert finished.error.message == "host api.example.com is not granted to caller a"
    assert finished.error.fix == 'grant "api.example.com" to the installation of a'
    assert upstream.seen == []
    finished = await ended(executor, world.add("a", CALLS_B, b, authority=WIDE))
    assert finished.output == 200
    assert finished.used == Authority(frozenset({"network.http.post"}), frozenset({"api.example.com"}))
    assert finished.usage.broker_calls == 1


async def test_a_callees_secret_does_not_reach_its_caller(executor: Executor, world: World) -> None:
    source = python(
        'r = await self.fetch("https://api.example.com/x", method="POST", body=self.config["KEY"])\nreturn r.text'
    )
    key = Requirement("KEY", secret=True, hosts=frozenset({"api.example.com"}), required=True)
    async with Upstream(echo) as upstream, client_of({"api.example.com": upstream}) as http:
        executor._performer._http = http
        lease = world.lease("l1", {"KEY": SECRET})
        b = world.callee("b", source, authority=WIDE, requirements=(key,), lease_token=lease)
        finished = await ended(executor, world.add("a", CALLS_B, b, authority=WIDE))
        assert [SECRET.encode() in seen.body for seen in upstream.seen] == [True]
    assert finished.error is None, finished.error
    assert SECRET not in str(finished.output)


async def test_a_callee_without_its_settings_says_what_to_set(executor: Executor, world: World) -> None:
    key = Requirement("KEY", secret=True, required=True)
    b = world.callee("b", python("return 1"), requirements=(key,), lease_token=world.lease("l1", {}))
    finished = await ended(executor, world.add("a", CALLS_B, b))
    assert finished.error is not None
    assert (finished.error.reason, finished.error.fix) == ("SETTINGS_MISSING", "hardpoint secret set b KEY")


async def test_a_secret_that_is_no_text_is_refused_where_it_is_used(executor: Executor, world: World) -> None:
    requirements = (Requirement("KEY", secret=True, required=True, hosts=frozenset({"api.example.com"})),)
    given = {"requirements": requirements, "lease_token": world.lease("l1", {}, frozenset({"KEY"})), "authority": WIDE}
    b = world.callee("b", python("return 1"), **given)
    finished = await ended(executor, world.add("a", CALLS_B, b, authority=WIDE))
    assert finished.error is None, "it has a value, and this does not use it"
    posts = 'await self.fetch("https://api.example.com/x", method="POST", body=self.config["KEY"])'
    b = world.callee("b", python(posts), **given)
    finished = await ended(executor, world.add("a", CALLS_B, b, authority=WIDE))
    assert finished.error is not None
    assert finished.error.reason == "SETTING_INVALID"
    assert finished.error.message == "the value of the secret KEY is not text"
    assert finished.error.fix == "give KEY a value that is text in UTF-8"
    assert finished.error.metadata["setting"] == "KEY"


async def test_what_cannot_be_called_is_refused_only_when_it_is_called(executor: Executor, world: World) -> None:
    away = refused("b.run", Conflict("b.run cannot be called: b is not installed", reason="CALLEE_NOT_INSTALLED"))
    assert (await ended(executor, world.add("a", python("return 1"), away))).output == 1
    finished = await ended(executor, world.add("a", CALLS_B, away))
    assert finished.error is not None
    assert (finished.outcome, finished.error.reason) == (Outcome.DENIED, "CALLEE_NOT_INSTALLED")
    assert [(step.path, step.outcome) for step in finished.steps] == [("b.run", Outcome.DENIED)]
    undeclared = world.add("a", python('return await self.call("c.run", {})'), away)
    finished = await ended(executor, undeclared)
    assert finished.error is not None
    assert finished.error.reason == "CALLEE_NOT_DECLARED"
    assert finished.error.metadata["patch"] == ('[{"op": "add", "path": "/calls", "value": ["b.run", "c.run"]}]')


async def test_an_input_that_does_not_fit_is_refused_before_anything_runs(
    executor: Executor, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(inside, "tracer", provider.get_tracer("test"))
    schema = {"properties": {"n": {"type": "integer"}, "unit": {"default": "m"}}, "additionalProperties": False}
    b = world.callee("b", python("return input"), schema=schema)
    finished = await ended(executor, world.add("a", python('return await self.call("b.run", {"n": "x"})'), b))
    assert finished.error is not None
    assert (finished.error.reason, finished.error.message) == ("INPUT_INVALID", "input.n: must be integer")
    [span] = exporter.get_finished_spans()
    assert ((span.attributes or {})["error.type"], span.status.is_ok) == ("INPUT_INVALID", False)
    assert "input.n" not in span.to_json()
    finished = await ended(executor, world.add("a", python('return await self.call("b.run", {"n": 1})'), b))
    assert finished.output == {"n": 1, "unit": "m"}


async def test_time_is_the_callers(executor: Executor, world: World) -> None:
    b = world.callee("b", python("import time; time.sleep(30)"))
    finished = await ended(executor, world.add("a", CALLS_B, b, seconds=1.0))
    assert finished.outcome is Outcome.TIMEOUT
    (step,) = finished.steps
    assert step.outcome in (Outcome.TIMEOUT, Outcome.CANCELLED)
    quick = python("try:\n    await self.call('b.run', {})\nexcept Exception as error:\n    return error.code")
    bounded = world.callee("b", python("import time; time.sleep(30)"), authority=Authority())
    assert (await ended(executor, world.add("a", quick, bounded))).output == "TIMEOUT"


async def test_every_call_is_an_effect_of_its_own(executor: Executor, world: World) -> None:
    b = world.callee("b", python("return (await self.context.get())['idempotency_key']"))
    twice = python("return [await self.call('b.run'), await self.call('b.run')]")
    assert (await ended(executor, world.add("a", twice, b))).output == ["r1/b.run", "r1/b.run#2"]


async def test_a_callee_opens_the_files_that_it_is_given_and_no_others(executor: Executor, world: World) -> None:
    kept = Kept(one=b"1", two=b"2")
    executor._performer._files = kept
    reads = Authority(frozenset({"file.read", "compute.moderate"}))
    one, two = kept.lent().handles
    opens = python("return (await self.file.open(input['open'])).decode()")
    b = world.callee("b", opens, authority=reads)
    for given, outcome in ((one, "1"), (None, None)):
        call = python("return await self.call('b.run', {'open': input['open'], 'file': input['file']})")
        input = {"open": one["id"], "file": given}
        finished = await ended(executor, world.add("a", call, b, authority=reads, files=kept.lent(), input=input))
        assert finished.output == outcome
    assert finished.error is not None
    assert finished.error.reason == "FILE_NOT_GIVEN"
    assert two["id"] not in str(kept.opened)


async def test_it_is_known_when_nothing_has_left_that_may_change_something(executor: Executor, world: World) -> None:
    """Whatever the code says: what it called is part of it, and so is what it had done before it failed."""
    fails, posts = world.callee("b", python("raise ValueError('no')")), world.callee("b", POSTS, authority=WIDE)
    caught = python('try:\n    await self.call("b.run", {})\nexcept Exception: pass\nraise ValueError("late")')
    after = POSTS.replace("return (", "(") + "    raise ValueError('late')\n"
    lies = python("raise Exception('happened: no')").replace("raise", 'await self.call("b.run", {}); raise')
    for source, callee, happened in (
        (CALLS_B, fails, "no"),
        (caught, fails, "no"),
        (after, fails, None),
        (caught, posts, None),
        (lies, posts, None),
    ):
        finished = await ended(executor, world.add("a", source, callee, authority=WIDE))
        assert finished.error is not None
        assert finished.error.metadata.get("happened") == happened, source


async def test_who_is_cancelled_takes_along_what_it_called(executor: Executor, world: World) -> None:
    b = world.callee("b", python("self.log('here')\nimport time; time.sleep(30)"))
    events = executor.execute(ACME, world.add("a", CALLS_B, b))
    async for event in events:
        if isinstance(event, Log):
            await executor.cancel(ACME, "acme", "e-a")
    assert isinstance(event, Finished)
    assert event.outcome is Outcome.CANCELLED
    calls = executor._jail._calls["python", True]  # type: ignore[attr-defined]
    assert calls.pool._taken == {}


async def test_what_a_callee_logs_is_heard(executor: Executor, world: World) -> None:
    b = world.callee("b", python("self.log('from b')\nself.progress(0.5)\nreturn 1"))
    events = [event async for event in executor.execute(ACME, world.add("a", CALLS_B, b))]
    assert [event.message for event in events if isinstance(event, Log)] == ["from b"]
    assert sum(isinstance(event, Log) for event in events) == len(events) - 2


async def echo(seen):
    yield b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(seen.body) + seen.body


SMALL_QUEUE = {"queue": 50, "queue_seconds": 20.0}
SMALL = {
    "slots-1": JailOptions(languages=("python",), slots=SlotOptions(most=1, **SMALL_QUEUE)),
    "slots-2": JailOptions(languages=("python",), slots=SlotOptions(most=2, **SMALL_QUEUE)),
    "single-use-1": JailOptions(languages=("python",), slots=None, pool=PoolOptions(running=1, **SMALL_QUEUE)),
    "single-use-2": JailOptions(languages=("python",), slots=None, pool=PoolOptions(running=2, **SMALL_QUEUE)),
}


@pytest.mark.parametrize("options", SMALL.values(), ids=SMALL.keys())
async def test_callers_that_fill_every_jail_do_not_wait_for_ever(options: JailOptions, world: World) -> None:
    jails = Jails(options)
    await jails.start()
    assert jails.reasons_not_ready() == []
    try:
        async with client_of({}) as http, asyncio.timeout(60):
            executor = Executor(world, world, jails, http, SystemClock(), Limits(), files=Kept())
            c = world.callee("c", python("return 1"))
            b = world.callee("b", python("return 1 + await self.call('c.run', {})"), c)
            a = world.add("a", python("return 1 + await self.call('b.run', {})"), b)
            many = [executor.execute_to_end(ACME, with_id(a, n)) for n in range(5)]
            assert [(one.output, one.error) for one in await asyncio.gather(*many)] == [(3, None)] * 5
            assert [step.path for step in (await ended(executor, a)).steps] == ["b.run", "b.run/c.run"]
    finally:
        await jails.stop()


async def test_callers_with_many_callees_leave_a_place_to_others(world: World) -> None:
    options = SlotOptions(most=4, queue=50, queue_seconds=20.0)
    jails = Jails(JailOptions(languages=("python",), slots=options))
    await jails.start()
    assert jails.reasons_not_ready() == []
    try:
        async with client_of({}) as http, asyncio.timeout(60):
            executor = Executor(world, world, jails, http, SystemClock(), Limits(), files=Kept())
            slow = world.callee("slow", python("self.log('here')\nimport time; time.sleep(30)"))
            source = "import asyncio\nawait asyncio.gather(*(self.call('slow.run', {}) for _ in range(30)))"
            greedy = world.add("greedy", python(source), slow)
            heard = asyncio.Event()

            async def hog() -> None:
                async for event in executor.execute(ACME, greedy):
                    if isinstance(event, Log):
                        heard.set()

            hogging = asyncio.create_task(hog())
            await heard.wait()
            others = replace(world.add("quick", python("return 1")), org="other")
            assert (await executor.execute_to_end(SYSTEM("other"), others)).output == 1
            hogging.cancel()
            await asyncio.gather(hogging, return_exceptions=True)
    finally:
        await jails.stop()


def with_id(execution: Execution, number: int) -> Execution:
    return replace(execution, id=f"e{number}")
