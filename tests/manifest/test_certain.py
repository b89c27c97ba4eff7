"""What is said beforehand of which steps are done, held against walks."""

from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from hardpoint_manifest.plan import After, Does, Plan, Step
from hardpoint_manifest.rules.names_of_steps import Certain
from hardpoint_manifest.walk import Program, Walk


@st.composite
def plans(draw: st.DrawFn) -> tuple[Step, ...]:
    """Steps and branches, any after any before them; `input.cN` decides about the N-th."""
    steps: list[Step] = []
    for number in range(draw(st.integers(1, 6))):
        after = []
        for before in draw(st.lists(st.sampled_from(steps or [None]), max_size=3)) if steps else []:
            ports = ["then", "else"] if before.does is Does.BRANCH else ["done", "settled"]
            after.append(After(step=before.id, port=draw(st.sampled_from(ports))))
        branch = draw(st.booleans())
        decides = f"input.c{number}"
        steps.append(
            Step(
                id=f"n{number}",
                does=Does.BRANCH if branch else Does.VALUE,
                condition=decides if branch else "",
                when="" if branch else draw(st.sampled_from(["", "", decides])),
                after=tuple(after),
            )
        )
    return tuple(steps)


@settings(max_examples=200)
@given(plans())
def test_what_is_said_to_be_done_is_done_on_every_walk(steps: tuple[Step, ...]) -> None:
    certain = Certain.of(steps)
    program = Program.plan(Plan(steps=steps))
    skipped: set[str] = set()
    for ways in product([True, False], repeat=len(steps)):
        walk = Walk(program, {"input": {f"c{number}": way for number, way in enumerate(ways)}})
        assert walk.due() == []
        assert walk.failure is None
        done = {step for step, ended in walk.settled.items() if ended.state == "done"}
        skipped |= walk.settled.keys() - done
        assert certain.always <= done
        assert all(certain.with_it[step] <= done for step in done)
    # Without chains of branches inside each other, nothing that is always done is thought to be skipped.
    if not any(edge.port in ("then", "else") for step in steps for edge in step.after):
        assert {step.id for step in steps} - skipped <= certain.always
