"""Which step comes next, for plans of every form."""

from typing import Any

import pytest

from hardpoint_manifest.expression import Budget, ExpressionError, Scope, Structure
from hardpoint_manifest.expression.budget import MOST_READ_VALUES, MOST_VALUES
from hardpoint_manifest.plan import After, Does, Plan, Step
from hardpoint_manifest.walk import Program, Settled, Walk


def value(id: str, input: Any, *after: str, **words: Any) -> Step:
    return Step(id=id, does=Does.VALUE, input=input, after=tuple(After(step=step) for step in after), **words)


def call(id: str, *after: After, **words: Any) -> Step:
    return Step(id=id, does=Does.CALL, action="other.act", after=after, **words)


def walk(*steps: Step, output: Any = None, **given: Any) -> Walk:
    return Walk(Program.plan(Plan(steps=steps, output=output)), {"input": {}, **given})


def due(walk: Walk, *begun: str) -> list[str]:
    return [one.step.step.id for one in walk.due(begun)]


def test_one_after_the_other() -> None:
    on_its_way = walk(
        call("a", input={"n": "${input.n}"}),
        call("b", After(step="a"), input={"m": "${steps.a.m + 1}"}),
        input={"n": 1},
    )
    (first,) = on_its_way.due()
    assert (first.step.step.id, first.inputs) == ("a", ({"n": 1},))
    assert due(on_its_way, "a") == []
    on_its_way.settle("a", Settled("done", {"m": 2}))
    (second,) = on_its_way.due()
    assert second.inputs == ({"m": 3},)
    on_its_way.settle("b", Settled("done", "end"))
    assert on_its_way.due() == []
    assert on_its_way.finished
    assert on_its_way.output() == "end"


def test_what_waits_for_nothing_is_due_together() -> None:
    on_its_way = walk(call("a"), call("b"), call("c", After(step="a"), After(step="b")))
    assert due(on_its_way) == ["a", "b"]
    on_its_way.settle("b", Settled("done"))
    assert due(on_its_way) == ["a"]
    on_its_way.settle("a", Settled("done"))
    assert due(on_its_way) == ["c"]


@pytest.mark.parametrize(("n", "way", "other"), [(1, "small", "large"), (20, "large", "small")])
def test_a_branch_goes_one_way_and_both_meet_again(n: int, way: str, other: str) -> None:
    on_its_way = walk(
        Step(id="big", does=Does.BRANCH, condition="input.n > 10"),
        call("large", After(step="big", port="then")),
        call("small", After(step="big", port="else")),
        call("both", After(step="large"), After(step="small")),
        input={"n": n},
    )
    assert due(on_its_way) == [way]
    assert on_its_way.settled[other].state == "skipped"
    on_its_way.settle(way, Settled("done"))
    assert due(on_its_way) == ["both"]


def test_what_comes_only_after_a_skipped_step_is_skipped_and_a_line_goes_on() -> None:
    on_its_way = walk(
        call("a", when="input.on"),
        call("b", After(step="a")),
        call("c", After(step="a", port="settled")),
        input={"on": False},
    )
    assert due(on_its_way) == ["c"]
    assert on_its_way.settled["b"].state == "skipped"


def test_a_loop_gives_an_input_for_each_item() -> None:
    each = call("each", input={"x": "${item}", "at": "${index}"}, for_each="input.list")
    on_its_way = walk(each, input={"list": [5, 6]})
    (turn,) = on_its_way.due()
    assert turn.each
    assert turn.inputs == ({"x": 5, "at": 0}, {"x": 6, "at": 1})


def test_a_loop_has_a_cap() -> None:
    on_its_way = walk(call("each", for_each="input.list", most=2), input={"list": [1, 2, 3]})
    assert on_its_way.due() == []
    assert on_its_way.failure is not None
    assert "at most 2" in str(on_its_way.failure[1].error)


def test_values_filters_and_texts_need_nobody() -> None:
    on_its_way = walk(
        Step(id="rows", does=Does.PARSE, input="${input.text}", format="csv"),
        Step(
            id="kept",
            does=Does.FILTER,
            input="${steps.rows}",
            condition="int(item.n) > input.least",
            after=(After(step="rows"),),
        ),
        value("names", {"name": "${item.name}"}, "kept", for_each="steps.kept"),
        output={"who": "${steps.names}"},
        input={"text": "name,n\nann,1\nbob,5\n", "least": 2},
    )
    assert on_its_way.due() == []
    assert on_its_way.finished
    assert on_its_way.output() == {"who": [{"name": "bob"}]}


def test_steps_of_its_own_know_what_is_around_them() -> None:
    inner = Step(id="x", does=Does.VALUE, input="${item} of ${input.all}")
    outer = Step(id="all", does=Does.STEPS, for_each="input.list", steps=(inner,))
    (turn,) = walk(outer, input={"list": [1], "all": 9}).due()
    assert turn.step.steps is not None
    inside = Walk(turn.step.steps, turn.inputs[0])
    assert inside.due() == []
    assert inside.output() == "1 of 9"


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(
            (
                value("a", "${input.text}" * 200),
                value("b", "${steps.a}" * 200, "a"),
                value("c", "${steps.b}" * 200, "b"),
            ),
            id="a text of texts",
        ),
        pytest.param(
            (
                value("a", "${input.list}", for_each="input.list", most=1000),
                value("b", "${steps.a}", "a", for_each="input.list", most=1000),
            ),
            id="a list of lists",
        ),
        pytest.param((value("a", ["${input.list}"] * 2000),), id="one value in many places"),
        pytest.param((value("a", ["${input.list}"] * 500), value("b", "${steps.a}," * 20, "a")), id="a list as a text"),
        pytest.param((call("a", input={"all": ["${input.list}"] * 2000}),), id="the input of a call"),
        pytest.param(
            (call("a", for_each="input.list", most=1000, input=["${input.list}"] * 100),), id="one value for many calls"
        ),
        pytest.param(
            (call("a", for_each="input.list", most=1000, input="${input.text}" * 100),), id="the inputs of many calls"
        ),
        pytest.param(
            (
                value("a", ["${input.list}"] * 30),
                Step(
                    id="b",
                    does=Does.FILTER,
                    input="${input.list}",
                    condition="size(steps.a) > item",
                    after=(After(step="a"),),
                ),
            ),
            id="one value read for each item",
        ),
        pytest.param(
            (
                Step(
                    id="a",
                    does=Does.FILTER,
                    input="${input.list}",
                    condition="input.few.exists(i, input.few.exists(j, input.text.contains('xxb')))",
                ),
            ),
            id="a text read by loops for each item",
        ),
    ],
)
def test_a_few_steps_make_nothing_without_end(steps: tuple[Step, ...]) -> None:
    on_its_way = walk(*steps, input={"text": "x" * 1000, "list": [*range(1000)], "few": [*range(33)]})
    on_its_way.due()
    assert on_its_way.failure is not None
    error = on_its_way.failure[1].error
    assert isinstance(error, ExpressionError)
    assert (error.reason, bool(error.fix)) == ("EXPRESSION_FAILED", True)
    assert len(error.place) <= 200


def test_loops_within_a_walk_share_its_budget() -> None:
    inner = value("x", "${input.text}" * 100)
    on_its_way = walk(
        Step(id="all", does=Does.STEPS, for_each="input.list", most=1000, steps=(inner,)),
        input={"text": "x" * 1000, "list": [*range(1000)]},
    )
    (turn,) = on_its_way.due()
    assert turn.step.steps is not None
    ended = []
    for given in turn.inputs:
        inside = Walk(turn.step.steps, given, budget=on_its_way.budget)
        inside.due()
        ended.append(inside.failure is None)
    assert ended[0]
    assert not ended[-1]


def test_a_failed_step_ends_it_unless_it_may() -> None:
    on_its_way = walk(call("a"), call("b"))
    on_its_way.settle("a", Settled("failed", error=ValueError("no")))
    assert due(on_its_way) == []
    assert on_its_way.finished
    assert on_its_way.failure is not None
    assert on_its_way.failure[0] == "a"

    allowed = walk(call("a", on_error="continue", output="got"), value("b", "${got}", "a"))
    allowed.settle("a", Settled("failed", error=ValueError("no")))
    assert allowed.due() == []
    assert allowed.output() is None


def test_nothing_is_evaluated_once_a_step_has_failed() -> None:
    on_its_way = walk(
        value("a", "${input.missing}"), Step(id="b", does=Does.VALUE, input=1, after=(After(step="a", port="settled"),))
    )
    assert on_its_way.due() == []
    assert [*on_its_way.settled] == ["a"]


def test_what_is_too_large_is_counted_too() -> None:
    """Else a step that is tried again and again, and may fail, would cost nothing."""
    budget = Budget()
    huge = Structure.parse(["${x}"] * 2000, Scope.of("x"))
    with pytest.raises(ExpressionError):
        huge.evaluate({"x": [*range(1000)]}, budget)
    assert MOST_READ_VALUES - budget.read.values > MOST_VALUES
    assert not budget.spent


def test_an_expression_that_fails_is_the_step_failing() -> None:
    on_its_way = walk(call("a", input="${input.missing}"))
    assert due(on_its_way) == []
    assert on_its_way.failure is not None
    assert isinstance(on_its_way.failure[1].error, ExpressionError)


def test_what_an_input_holds_is_never_read_as_a_template() -> None:
    on_its_way = walk(value("a", "${input.text}"), value("b", "${steps.a}", "a"), input={"text": "${input.secret}"})
    assert on_its_way.due() == []
    assert on_its_way.output() == "${input.secret}"


@pytest.mark.parametrize(("format", "text"), [("json", "{"), ("json", "NaN"), ("json", "[" * 100_000), ("csv", '"')])
def test_a_text_that_is_not_what_it_should_be(format: Any, text: str) -> None:
    on_its_way = walk(Step(id="a", does=Does.PARSE, input="${input.text}", format=format), input={"text": text})
    assert on_its_way.due() == []
    assert on_its_way.failure is not None


def test_what_need_not_be_given_is_left_out() -> None:
    plan = Plan(steps=(value("a", {"x": "${input.x}", "y": 1}),), optional=("input.x",))
    for given, output in (({"x": 2}, {"x": 2, "y": 1}), ({}, {"y": 1})):
        on_its_way = Walk(Program.plan(plan), {"input": given})
        assert on_its_way.due() == []
        assert on_its_way.output() == output


@pytest.mark.parametrize(
    "step",
    [
        call("a", input="${input.missing}"),
        call("a", when="input.missing"),
        call("a", for_each="input.missing"),
        call("a", for_each="input.list", input={"x": "${item.missing}"}),
        value("a", "${input.missing}"),
        Step(id="a", does=Does.PARSE, input="{", format="json"),
        Step(id="a", does=Does.FILTER, input=[1], condition="item.missing"),
    ],
)
def test_a_step_that_may_fail_may_fail_before_it_asks(step: Step) -> None:
    allowed = step.model_copy(update={"on_error": "continue"})
    after_it = call("b", After(step="a"), input="${steps.a}")
    on_its_way = walk(allowed, after_it, input={"list": [{}]})
    (following,) = on_its_way.due()
    assert (following.step.step.id, following.inputs) == ("b", (None,))
    ended = on_its_way.settled["a"]
    assert (ended.state, ended.output) == ("done", None)
    assert isinstance(ended.error, ExpressionError)
    assert walk(step, after_it, input={"list": [{}]}).due() == []


def test_a_branch_that_may_fail_goes_neither_way() -> None:
    on_its_way = walk(
        Step(id="big", does=Does.BRANCH, condition="input.missing > 1", on_error="continue"),
        call("large", After(step="big", port="then")),
        call("small", After(step="big", port="else")),
        call("end", After(step="large", port="settled"), After(step="small", port="settled")),
    )
    assert due(on_its_way) == ["end"]
    assert {id: ended.state for id, ended in on_its_way.settled.items()} == {
        "big": "done",
        "large": "skipped",
        "small": "skipped",
    }
