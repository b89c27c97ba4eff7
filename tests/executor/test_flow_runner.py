"""The walk of a flow over callees that only answer: what runs side by side, and what is told of a failure."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from executor.composed import World
from hardpoint_executor.domain import Execution, Finished, Outcome, Tell, Usage
from hardpoint_executor.inside import MOST_RECORDED, Inside
from hardpoint_executor.runners.flow import runner
from hardpoint_executor.runners.flow.plan import FlowPlan
from hardpoint_executor.runners.flow.runner import SIDE_BY_SIDE, FlowRunner
from hardpoint_kit.errors import ActionFailed
from hardpoint_manifest.model import Kind, Manifest
from hardpoint_manifest.plan import After, Does, Plan, Step

Answer = Callable[[dict[str, Any]], Awaitable[Any]]


def call(id: str, **words: Any) -> Step:
    return Step(id=id, does=Does.CALL, action="b.run", **words)


async def walked(plan: Plan, answer: Answer, input: dict[str, Any]) -> tuple[Any, Inside]:
    """The output of a flow whose callee gives what `answer` makes of its input."""
    world = World()
    whole = world.add("flow", "", world.callee("b", ""), input=input)

    async def perform(execution: Execution, _tell: Tell) -> Finished:
        try:
            return Finished(Outcome.OK, Usage(cpu_ms=1.0), await answer(dict(execution.input)))
        except ActionFailed as error:
            return Finished(Outcome.USER_ERROR, Usage(cpu_ms=1.0), error=error)

    async def nothing(*_: object) -> None:
        raise AssertionError("the flow has no request and no code of its own")

    inside = Inside(whole, 30.0, perform, lambda _event: None, in_jail=False)
    compiled = FlowPlan.compile(Manifest(id="flow", name="F", version="1.0.0", kind=Kind.FLOW, plan=plan))
    return await FlowRunner(compiled, whole, {}, inside, nothing).run(), inside


async def test_items_run_side_by_side_and_not_all_at_once() -> None:
    running, most = 0, 0

    async def answer(given: dict[str, Any]) -> Any:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(5):
            await asyncio.sleep(0)
        running -= 1
        return given["n"] * 10

    plan = Plan(steps=(call("each", for_each="input.list", input={"n": "${item}"}),))
    output, inside = await walked(plan, answer, {"list": [*range(20)]})
    assert output == [n * 10 for n in range(20)]
    assert most == SIDE_BY_SIDE
    assert inside.usage.cpu_ms == 20.0
    assert [step.path for step in inside.steps][:2] == ["each/0", "each/1"]


async def test_steps_that_do_not_wait_for_each_other_run_side_by_side() -> None:
    both = asyncio.Barrier(2)

    async def answer(given: dict[str, Any]) -> Any:
        async with asyncio.timeout(10):
            await both.wait()
        return given["is"]

    plan = Plan(
        steps=(
            call("a", input={"is": 1}),
            call("b", input={"is": 2}),
            Step(id="sum", does=Does.VALUE, input="${steps.a + steps.b}", after=(After(step="a"), After(step="b"))),
        )
    )
    assert (await walked(plan, answer, {}))[0] == 3


async def test_who_is_to_be_told_of_a_failure_is_told_which_and_why() -> None:
    told: list[Any] = []

    async def answer(given: dict[str, Any]) -> Any:
        if "tell" in given:
            told.append(given["tell"])
            raise ActionFailed("telling fails too")
        raise ActionFailed("it broke", reason="UPSTREAM_ERROR", fix="mend it")

    tell = call("tell", input={"tell": "${error.step}: ${error.message} [${error.reason}]"})
    plan = Plan(steps=(call("store", input={}),), on_error=tell)
    with pytest.raises(ActionFailed) as failed:
        await walked(plan, answer, {})
    assert (failed.value.reason, failed.value.fix, failed.value.metadata["step"]) == (
        "UPSTREAM_ERROR",
        "mend it",
        "store",
    )
    assert told == ["store: it broke [UPSTREAM_ERROR]"]


async def test_the_record_has_a_bound_and_the_sums_have_none() -> None:
    async def answer(_given: dict[str, Any]) -> Any:
        return None

    most = MOST_RECORDED
    steps = (call("one", for_each="input.list", most=most), call("two", for_each="input.list", most=most))
    _, inside = await walked(Plan(steps=steps), answer, {"list": [0] * most})
    assert len(inside.steps) == MOST_RECORDED
    assert inside.usage.cpu_ms == 2.0 * most


async def test_what_steps_give_is_bounded_for_the_whole_flow(monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer(_given: dict[str, Any]) -> Any:
        return "x" * 298

    monkeypatch.setattr(runner, "MOST_BYTES", 900)
    plan = Plan(steps=(call("each", for_each="input.list", input={"n": "${item}"}),))
    assert (await walked(plan, answer, {"list": [*range(3)]}))[0] == ["x" * 298] * 3
    with pytest.raises(ActionFailed) as raised:
        await walked(plan, answer, {"list": [*range(100)]})
    assert (raised.value.reason, raised.value.metadata["limit"]) == ("OUTPUT_LIMIT", "900 bytes")


@pytest.mark.parametrize(
    ("id", "input", "reason"),
    [("text", "only a text", "INPUT_INVALID"), ("missing", {"n": "${input.nothing}"}, "MAPPING_MISSING")],
)
async def test_an_input_that_cannot_be_fails_its_step(id: str, input: Any, reason: str) -> None:
    async def answer(_given: dict[str, Any]) -> Any:
        raise AssertionError("nothing is called")

    with pytest.raises(ActionFailed) as failed:
        await walked(Plan(steps=(call(id, input=input),)), answer, {})
    assert (failed.value.reason, failed.value.metadata["step"]) == (reason, id)


async def test_what_loops_make_is_bounded_for_the_whole_flow() -> None:
    async def answer(_given: dict[str, Any]) -> Any:
        raise AssertionError("nothing is called")

    inner = Step(id="x", does=Does.VALUE, input="${input.text}" * 100)
    plan = Plan(steps=(Step(id="all", does=Does.STEPS, for_each="input.list", most=1000, steps=(inner,)),))
    with pytest.raises(ActionFailed) as raised:
        await walked(plan, answer, {"text": "x" * 10_000, "list": [*range(1000)]})
    assert raised.value.reason == "EXPRESSION_FAILED"
    assert raised.value.place.startswith("all/")
