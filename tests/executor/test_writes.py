"""The ledger of writes by itself: its bounds, what it remembers of models, and steps side by side."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardpoint_executor.writes import MOST_ANSWERED, MOST_EFFECTS, Ledger, NotPlanned, Writes


def test_a_plan_has_a_bound() -> None:
    ledger = Ledger(dry_run=True)
    writes = Writes(ledger)
    for n in range(MOST_EFFECTS):
        writes.admit(("r", "a"), ("fetch", "POST", str(n)), {})
    with pytest.raises(NotPlanned) as refused:
        writes.admit(("r", "a"), ("fetch", "POST", "more"), {})
    assert refused.value.reason == "EFFECT_PLAN_LIMIT"
    assert ledger.refusal is refused.value, "whoever goes on after it must not have half a plan for a whole one"


async def test_a_model_answers_again_what_it_was_asked_there_and_as_often_within_a_bound() -> None:
    said = iter(range(9))

    async def model() -> int:
        return next(said)

    plan = Ledger(dry_run=True)
    made = Writes(plan)
    assert [await made.answered("q", model), await made.inside("a", beside=True).answered("q", model)] == [0, 1]
    held = Writes(Ledger(dry_run=False, circumstances=plan.circumstances))
    assert await held.inside("a", beside=True).answered("q", model) == 1
    assert [await held.answered(asked, model) for asked in ("else", "q", "q")] == [2, 0, 3]
    plan.remember("large", "x" * MOST_ANSWERED)
    assert [answer for _, answer in plan.circumstances.answered] == ["0", "1"]


LANES = st.lists(st.tuples(st.sampled_from("xyz"), st.integers(0, 3)), max_size=12)


def written(ledger: Ledger, asked: list[tuple[str, int]]) -> int:
    """How many of these writes of steps side by side were admitted before the first refusal."""
    lanes = {step: Writes(ledger).inside(step, beside=True) for step in "xyz"}
    for done, (step, n) in enumerate(asked):
        try:
            lanes[step].admit(("r", "a"), ("fetch", "POST", str(n)), {})
        except NotPlanned:
            return done
    return len(asked)


@given(LANES, st.randoms())
def test_steps_side_by_side_come_in_any_order_and_each_in_its_own(asked: list[tuple[str, int]], chance: Any) -> None:
    made = Ledger(dry_run=True)
    written(made, asked)
    steps = [step for step, _ in asked]
    chance.shuffle(steps)
    queues = {step: iter([n for lane, n in asked if lane == step]) for step in "xyz"}
    mixed = [(step, next(queues[step])) for step in steps]
    kept_to = Ledger(dry_run=False, expected=made.planned)
    assert written(kept_to, mixed) == len(asked)
    assert kept_to.left == 0


@given(LANES, LANES)
def test_what_is_done_is_always_the_beginning_of_each_lane_of_the_plan(
    asked: list[tuple[str, int]], other: list[tuple[str, int]]
) -> None:
    made = Ledger(dry_run=True)
    written(made, asked)
    done = other[: written(Ledger(dry_run=False, expected=made.planned), other)]
    for step in "xyz":
        mine = [n for lane, n in done if lane == step]
        assert mine == [n for lane, n in asked if lane == step][: len(mine)]
