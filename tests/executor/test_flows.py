"""Flows: a plan walked within one execution; what its steps do outside are executions of their own."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from executor.brokers import client_of
from executor.composed import World, python
from executor.kept import Kept
from executor.upstream import Seen, Upstream, json_answer
from hardpoint_executor.domain import Callee, Execution, Finished, Limits, Outcome
from hardpoint_executor.jail import JailOptions, Jails
from hardpoint_executor.runners.flow.plan import FlowPlan
from hardpoint_executor.runners.flow.runner import MOST_ITEMS
from hardpoint_executor.service import Executor
from hardpoint_executor.writes import Ledger, Writes
from hardpoint_kit.caller import SYSTEM
from hardpoint_kit.clock import SystemClock
from hardpoint_kit.errors import InvalidArgument
from hardpoint_manifest.authority import Authority
from hardpoint_manifest.model import Kind, Manifest
from hardpoint_manifest.plan import Does, Plan, Step

pytestmark = pytest.mark.jail

HOST = "api.example.com"
WIDE = Authority(
    frozenset({"network.http.get", "network.http.post", "compute.moderate"}), frozenset({HOST, "other.example.com"})
)


class Answers:
    """Answers `[status, body]` in turn, the last one for ever; remembers paths and headers."""

    def __init__(self) -> None:
        self.queue: list[tuple[int, Any]] = [(200, {"name": "Ann"})]
        self.seen: list[Seen] = []

    def __call__(self, seen: Seen) -> bytes:
        self.seen.append(seen)
        status, value = self.queue.pop(0) if len(self.queue) > 1 else self.queue[0]
        return json_answer(value, status)


@pytest.fixture(scope="module")
async def jails() -> AsyncIterator[Jails]:
    started = Jails(JailOptions())
    await started.start()
    assert started.reasons_not_ready() == []
    yield started
    await started.stop()


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
async def executor(jails: Jails, world: World, answers: Answers) -> AsyncIterator[Executor]:
    async with Upstream(answers) as upstream, client_of({HOST: upstream}) as http:
        yield Executor(world, world, jails, http, SystemClock(), Limits(), files=Kept())


def flow(*nodes: dict[str, Any], **words: Any) -> str:
    """A flow of these nodes in a line."""
    everything = [{"id": "start", "type": "input"}, *nodes, {"id": "end", "type": "output"}]
    edges = words.pop("edges", [{"from": a["id"], "to": b["id"]} for a, b in pairwise(everything)])
    permissions = words.pop("permissions", ["network.http.get", "network.http.post"])
    head = {"id": "drawn", "version": "1.0.0", "name": "Drawn", "permissions": permissions, **words}
    return json.dumps({"capability": {**head, "flow": {"nodes": everything, "edges": edges}}})


def api(id: str = "fetch", method: str = "GET", **words: Any) -> dict[str, Any]:
    call = {"type": "api", "endpoint": f"https://{HOST}/{id}", "method": method, **words.pop("integration", {})}
    return {"id": id, "type": "api", "integration": call, **words}


def code(id: str, text: str, language: str = "python", **words: Any) -> dict[str, Any]:
    return {"id": id, "type": "code", "language": language, "code": text, **words}


def given(world: World, source: str, input: dict[str, Any] | None = None, *callees: Callee, **more: Any) -> Execution:
    return world.add("drawn", source, *callees, ext="json", authority=WIDE, input=input or {}, **more)


async def ran(executor: Executor, execution: Execution) -> Finished:
    return await executor.execute_to_end(SYSTEM("acme"), execution)


async def test_requests_code_and_calls_are_steps_of_one_run(executor: Executor, world: World) -> None:
    source = flow(
        api(),
        code("greet", "return {'text': 'Hello ' + input['name']}"),
        code("shout", "return { text: input.text.toUpperCase() };", "javascript"),
        {"id": "count", "type": "call", "action": "b.run", "input": {"text": "${steps.shout.text}"}},
    )
    b = world.callee("b", python("return {'n': len(input['text'])}"))
    finished = await ran(executor, given(world, source, {}, b))
    assert finished.error is None, (finished.error, finished.error.place)
    assert finished.output == {"n": 9}
    assert [(step.path, step.action, step.outcome) for step in finished.steps] == [
        ("fetch", "", Outcome.OK),
        ("greet", "", Outcome.OK),
        ("shout", "", Outcome.OK),
        ("count", "b.run", Outcome.OK),
    ]
    assert finished.usage.broker_calls == 1
    assert finished.used.hosts == frozenset({HOST})
    assert [step.usage.broker_calls for step in finished.steps] == [1, 0, 0, 0]


DECLARED = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


@pytest.mark.parametrize(
    ("gives", "place", "problem"),
    [("{'n': 'many'}", "output.n", "must be integer"), ("{}", "output.n", "is required"), ("{'n': 1}", "", "")],
)
async def test_the_output_is_what_is_declared(
    executor: Executor, world: World, gives: str, place: str, problem: str
) -> None:
    """What a callee gives nobody knows before."""
    source = flow({"id": "count", "type": "call", "action": "b.run"})
    execution = replace(given(world, source, {}, world.callee("b", python(f"return {gives}"))), output_schema=DECLARED)
    finished = await ran(executor, execution)
    if not place:
        assert (finished.output, finished.error) == ({"n": 1}, None)
        return
    assert finished.error is not None
    assert (finished.error.reason, finished.error.place) == ("TYPE_MISMATCH", place)
    assert finished.error.message == f"the output is not what the flow declares: {place} {problem}"
    planned = replace(execution, writes=Writes(Ledger(dry_run=True)))
    assert (await ran(executor, planned)).error is None, "what is planned may give nothing that fits"


async def test_a_loop_has_steps_of_its_own_for_each_item(executor: Executor, world: World) -> None:
    body = {
        "nodes": [
            {"id": "double", "type": "call", "action": "b.run", "input": {"n": "${item}"}},
            {"id": "shown", "type": "transform", "value": {"at": "${index}", "is": "${steps.double}"}},
        ],
        "edges": [{"from": "double", "to": "shown"}],
    }
    source = flow({"id": "each", "type": "loop", "for_each": "input.list", "body": body})
    b = world.callee("b", python("return input['n'] * 2"))
    finished = await ran(executor, given(world, source, {"list": [1, 2, 3, 4, 5, 6]}, b))
    assert finished.error is None, finished.error
    assert finished.output == [{"at": n, "is": 2 * n + 2} for n in range(6)]
    assert sorted(step.path for step in finished.steps) == [f"each/{n}/double" for n in range(6)]


async def test_a_place_says_which_step_it_is_of(executor: Executor, world: World) -> None:
    body = {"nodes": [{**code("read", "return {'n': 'x'}"), "outputs": {"n": {"type": "number"}}}]}
    source = flow({"id": "each", "type": "loop", "for_each": "input.list", "body": body})
    finished = await ran(executor, given(world, source, {"list": [1]}))
    assert finished.error is not None
    assert (finished.error.reason, finished.error.place) == ("TYPE_MISMATCH", "each/0/read: outputs.n")


async def test_a_failure_says_which_step_and_stops_the_others(executor: Executor, world: World) -> None:
    source = flow(
        code("slow", "import time; time.sleep(9)"),
        code("bad", "raise ValueError('no good')"),
        edges=[{"from": a, "to": b} for a, b in (("start", "slow"), ("start", "bad"), ("slow", "end"))],
    )
    finished = await ran(executor, given(world, source))
    assert finished.outcome is Outcome.USER_ERROR
    assert finished.error is not None
    assert (finished.error.reason, finished.error.metadata["step"]) == ("USER_ERROR", "bad")
    assert "no good" in finished.error.message
    assert finished.error.place == "bad.py:1:1"
    assert {step.path: step.outcome for step in finished.steps} == {
        "slow": Outcome.CANCELLED,
        "bad": Outcome.USER_ERROR,
    }


async def test_what_may_fail_gives_null_and_the_flow_goes_on(executor: Executor, world: World) -> None:
    source = flow(
        code("bad", "raise ValueError('no good')", on_error="continue"),
        {"id": "shown", "type": "transform", "value": {"was": "${steps.bad}"}},
    )
    finished = await ran(executor, given(world, source))
    assert (finished.error, finished.output) == (None, {"was": None})


async def test_what_may_fail_may_fail_before_it_asks(executor: Executor, world: World) -> None:
    source = flow(
        code("bad", "return input", on_error="continue", input={"x": "${input.missing}"}),
        {"id": "shown", "type": "transform", "value": {"was": "${steps.bad}"}},
    )
    finished = await ran(executor, given(world, source))
    assert (finished.error, finished.output) == (None, {"was": None})


async def test_reads_are_tried_again_and_writes_are_not(executor: Executor, world: World, answers: Answers) -> None:
    retry = {"attempts": 3, "seconds": 0}
    answers.queue = [(500, {}), (500, {}), (200, {"ok": True})]
    finished = await ran(executor, given(world, flow(api(retry=retry))))
    assert (finished.error, finished.output) == (None, {"ok": True})
    assert [step.path for step in finished.steps] == ["fetch", "fetch#2", "fetch#3"]
    answers.queue, answers.seen = [(500, {}), (200, {"ok": True})], []
    finished = await ran(executor, given(world, flow(api("send", "POST", retry=retry))))
    assert finished.error is not None
    assert finished.error.reason == "UPSTREAM_ERROR"
    assert len(answers.seen) == 1


async def test_a_write_with_a_key_is_tried_again_with_the_same_one(
    executor: Executor, world: World, answers: Answers
) -> None:
    answers.queue = [(500, {}), (200, {"ok": True})]
    keyed = {"idempotency": {"header": "Idempotency-Key"}}
    node = api("send", "POST", integration=keyed, retry={"attempts": 3, "seconds": 0})
    finished = await ran(executor, given(world, flow(node)))
    assert (finished.error, finished.output) == (None, {"ok": True})
    assert [seen.header("idempotency-key") for seen in answers.seen] == ["r1/send", "r1/send"]


async def test_a_call_is_tried_again_where_it_does_nothing_more(executor: Executor, world: World) -> None:
    node = {"id": "store", "type": "call", "action": "b.run", "input": {}, "retry": {"attempts": 3, "seconds": 0}}
    fails = python("raise ValueError('once more')")
    for repeatable, attempts in ((True, 3), (False, 1)):
        b = world.callee("b", fails)
        b = Callee(b.action, b.execution, repeatable=repeatable)
        finished = await ran(executor, given(world, flow(node), {}, b))
        assert len(finished.steps) == attempts


async def test_the_key_of_an_effect_is_its_place(executor: Executor, world: World) -> None:
    body = {"nodes": [{"id": "say", "type": "call", "action": "b.run", "input": {}}]}
    source = flow({"id": "each", "type": "loop", "for_each": "input.list", "body": body})
    b = world.callee("b", python("return (await self.context.get())['idempotency_key']"))
    finished = await ran(executor, given(world, source, {"list": [1, 2]}, b))
    assert finished.output == ["r1/each/0/say", "r1/each/1/say"]


async def test_a_step_has_its_own_time(executor: Executor, world: World) -> None:
    finished = await ran(executor, given(world, flow(code("slow", "import time; time.sleep(9)", timeout=0.3))))
    assert finished.error is not None
    assert (finished.outcome, finished.error.metadata["step"]) == (Outcome.TIMEOUT, "slow")


async def test_a_step_reaches_no_more_than_the_flow_was_granted(executor: Executor, world: World) -> None:
    execution = given(world, flow(api()))
    poor = Execution(**{**{f: getattr(execution, f) for f in execution.__slots__}, "authority": Authority()})
    finished = await ran(executor, poor)
    assert finished.error is not None
    assert (finished.outcome, finished.error.reason) == (Outcome.DENIED, "PERMISSION_NOT_GRANTED")


async def test_loops_in_loops_end(executor: Executor, world: World) -> None:
    inner = {"nodes": [{"id": "x", "type": "transform", "value": 1}]}
    middle = {"nodes": [{"id": "m", "type": "loop", "for_each": "input.list", "max_items": 1000, "body": inner}]}
    source = flow({"id": "o", "type": "loop", "for_each": "input.list", "max_items": 1000, "body": middle})
    finished = await ran(executor, given(world, source, {"list": [0] * 500}))
    assert finished.error is not None
    assert (finished.error.reason, finished.error.metadata["limit"]) == ("BUDGET", str(MOST_ITEMS))


async def test_one_step_alone_has_what_is_pinned(executor: Executor, world: World, answers: Answers) -> None:
    source = flow(api(), code("greet", "return {'text': 'Hello ' + input['name']}"))
    alone = given(world, source, step="greet", pinned={"fetch": {"name": "Bob"}})
    finished = await ran(executor, alone)
    assert (finished.error, finished.output) == (None, {"text": "Hello Bob"})
    assert answers.seen == []
    finished = await ran(executor, given(world, source, step="greet"))
    assert finished.error is not None
    assert finished.error.reason == "MAPPING_MISSING"
    finished = await ran(executor, given(world, source, step="great"))
    assert finished.error is not None
    assert (finished.error.reason, finished.error.fix) == ("STEP_UNKNOWN", "did you mean greet?")


@pytest.mark.parametrize("does", [Does.WAIT, Does.APPROVAL, Does.EVENT])
def test_a_flow_does_not_wait(does: Does) -> None:
    plan = Plan(steps=(Step(id="inner", does=Does.STEPS, steps=(Step(id="hold", does=does),)),))
    with pytest.raises(InvalidArgument) as refused:
        FlowPlan.compile(Manifest(id="f", name="F", version="1.0.0", kind=Kind.FLOW, plan=plan))
    assert (refused.value.reason, refused.value.place) == ("FLOW_WAITS", "hold")


def test_on_error_of_a_plan_is_compiled_with_the_error_in_reach() -> None:
    tell = Step(id="tell", does=Does.CALL, action="notify.admin", input={"message": "${error.message}"})
    plan = Plan(steps=(Step(id="x", does=Does.VALUE, input=1),), on_error=tell)
    compiled = FlowPlan.compile(Manifest(id="f", name="F", version="1.0.0", kind=Kind.FLOW, plan=plan))
    assert compiled.on_error is not None
