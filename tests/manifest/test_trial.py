"""Examples of workflows: a plan walked on the answers that they have for its steps."""

from typing import Any

import pytest

from hardpoint_manifest.check import check
from hardpoint_manifest.model import Manifest
from hardpoint_manifest.trial import MOST_STEPS, Tried, tried
from manifest.documents import example as file
from manifest.documents import hostile, report
from manifest.test_workflow import CALL, workflow

LOOK = {"id": "look", **CALL, "q": "${input.q}"}
STORE = {"id": "store", **CALL, "found": "${steps.look}", "revert": {**CALL, "gone": "${output.id}"}}
TELL = {"id": "tell", **CALL, "text": "${steps.store.id}"}
EACH = {"id": "each", **CALL, "for_each": "input.list", "max_items": 1000, "x": "${item}"}
ASK = {"id": "ask", "action": "approve", "message": "Really ${input.q}?", "if": "input.q > 1"}


def manifest(*steps: dict[str, Any], examples: list[dict[str, Any]], **words: Any) -> Manifest:
    document = workflow(*steps, **words)
    document["capability"]["examples"] = examples
    found = report(document)
    assert found.ok, found.findings
    assert found.manifest is not None
    return found.manifest


def outcome(*steps: dict[str, Any], given: dict[str, Any] | None = None, **example: Any) -> Tried:
    """What comes of one example; `given` are words of the workflow."""
    (only,) = tried(manifest(*steps, examples=[example], **(given or {})))
    return only


def went(one: Tried) -> list[str]:
    return [f"{ran.place} {ran.reason or ran.state}" for ran in one.steps]


def test_a_line_is_walked_on_its_answers():
    one = outcome(
        LOOK,
        STORE,
        TELL,
        input={"q": 1},
        steps={
            "look": {"given": {"q": 1}, "gives": "found"},
            "store": {"given": {"found": {"$type": "string"}}, "gives": {"id": 7}},
            "tell": {"given": {"text": 7}, "gives": "told"},
        },
        expected_output="told",
    )
    assert one.differences == ()
    assert (one.output, went(one)) == ("told", ["look done", "store done", "tell done"])


def test_what_a_step_was_to_be_given_is_compared_where_it_stands():
    one = outcome(LOOK, input={"q": 1}, steps={"look": {"given": {"q": 2, "r": 0}}})
    assert one.differences == ("steps.look.given.q is 1, not 2", "steps.look.given.r is missing")


def test_a_call_without_an_answer_says_which_line_to_add():
    one = outcome(LOOK, {"id": "tell", **CALL}, name="empty", input={"q": 1}, steps={"tell": {}})
    assert one.differences == ("steps.look has no answer: add `look: { gives: ... }` to the `steps` of empty",)


@pytest.mark.parametrize(
    ("example", "says"),
    [
        ({"input": {"q": 1}, "steps": {"look": {}, "ask": {}}}, "steps.ask has an answer, and the step was skipped"),
        (
            {"input": {"q": 1}, "steps": {"look": {"fails": "GONE"}, "tell": {}}, "expected_error": "GONE"},
            "steps.tell has an answer, and the run ended before its turn came; if that is meant: tell: skipped",
        ),
        (
            {"input": {}, "steps": {"look": {}, "tell": {}}, "expected_error": "MAPPING_MISSING"},
            "steps.look has an answer, and the step failed before it asked: MAPPING_MISSING input.q is missing",
        ),
        ({"input": {"q": 2}, "steps": {"look": {}, "ask": "skipped"}}, "steps.ask is to be skipped, and its turn came"),
    ],
)
def test_an_answer_that_nobody_asks_for_does_not_hold(example: dict[str, Any], says: str):
    tell = {"id": "tell", **CALL, "if": "input.q < 0"} if "tell" not in example["steps"] else {"id": "tell", **CALL}
    one = outcome(LOOK, ASK, tell, **example)
    assert any(says in difference for difference in one.differences), one.differences


def test_what_was_skipped_is_said_before_what_lacks_an_answer_since():
    one = outcome(LOOK, ASK, {"id": "tell", **CALL}, name="n", input={"q": 1}, steps={"look": {}, "ask": {}})
    assert [difference.partition(",")[0] for difference in one.differences] == [
        "steps.ask has an answer",
        "steps.tell has no answer: add `tell: { gives: ... }` to the `steps` of n",
    ]


def test_skipped_says_that_a_step_must_not_be_done():
    skipped = {"look": {}, "ask": "skipped"}
    assert outcome(LOOK, ASK, input={"q": 1}, steps=skipped).differences == ()
    ended = {"look": {"fails": "GONE"}, "ask": "skipped"}
    assert outcome(LOOK, ASK, input={"q": 2}, steps=ended, expected_error="GONE").differences == ()


def test_a_failure_that_was_not_expected_is_the_first_thing_said():
    failing = {"look": {"fails": "GONE"}}
    handler = {"error_handling": {"on_error": {**CALL, "e": "${error.reason}"}}}
    one = outcome(LOOK, input={"q": 1}, steps=failing, given=handler)
    assert one.differences == ("it failed with GONE, at look: as the example says",)
    one = outcome(LOOK, input={"q": 1}, steps={"look": {}}, expected_error="GONE")
    assert one.differences == ("it gave an output instead of failing with GONE",)


def test_a_failure_undoes_what_was_done_the_last_first_and_then_tells():
    first, second = ({**STORE, "id": id, "found": id, "output": id} for id in ("one", "two"))
    told = {**CALL, "step": "${error.step}", "why": "${error.reason}", "first": "${one.id}"}
    done = {"gives": {"id": 1}, "revert": {"given": {"gone": 1}}}
    again = {"gives": {"id": 2}, "revert": {"given": {"gone": 2}, "fails": "STUCK"}}
    one = outcome(
        first,
        second,
        {"id": "tell", **CALL},
        given={"error_handling": {"on_error": told}},
        steps={
            "one": done,
            "two": again,
            "tell": {"fails": "DOWN"},
            "on-error": {"given": {"step": "tell", "why": "DOWN", "first": 1}},
        },
        expected_error="DOWN",
    )
    assert one.differences == ()
    assert went(one) == ["one done", "two done", "tell DOWN", "two.revert STUCK", "one.revert done", "on-error done"]


def test_what_undoes_and_what_tells_need_answers_too():
    failing = {"look": {}, "store": {"gives": {"id": 1}}, "tell": {"fails": "DOWN"}}
    one = outcome(LOOK, STORE, TELL, input={"q": 1}, steps=failing, expected_error="DOWN")
    assert one.differences == ("steps.store.revert has no answer: add `revert: { gives: ... }` to steps.store",)
    reverted = {**failing, "store": {"gives": {"id": 1}, "revert": {}}}
    assert outcome(LOOK, STORE, TELL, input={"q": 1}, steps=reverted, expected_error="DOWN").differences == ()
    fine = {**reverted, "tell": {}}
    one = outcome(LOOK, STORE, TELL, input={"q": 1}, steps=fine)
    assert one.differences == ("steps.store.revert has an answer, and nothing undid the step",)
    handler = {"error_handling": {"on_error": "notify_admin"}}
    one = outcome(LOOK, input={"q": 1}, steps={"look": {"fails": "X"}}, expected_error="X", given=handler)
    assert "steps.on-error has no answer" in one.differences[0]
    one = outcome(
        LOOK, input={"q": 1}, steps={"look": {"fails": "X"}, "on-error": "skipped"}, expected_error="X", given=handler
    )
    assert one.differences == ("steps.on-error is to be skipped, and its turn came",)


def test_an_output_that_is_not_what_is_declared_is_a_failure():
    given = {"outputs": {"n": {"type": "number", "required": True}}, "output": {"n": "${steps.look.n}"}}
    example = {"input": {"q": 1}, "steps": {"look": {"gives": {"n": "many"}}}}
    one = outcome(LOOK, given=given, **example, expected_output={"n": {"$type": "number"}})
    (difference,) = one.differences
    assert difference.endswith("at the output: output.n must be number")
    assert outcome(LOOK, given=given, **example, expected_error="TYPE_MISMATCH").differences == ()


def test_a_loop_takes_an_answer_for_each_item():
    answers = [{"given": {"x": 5}, "gives": "a"}, {"given": {"x": 6}, "gives": "b"}]
    one = outcome(EACH, input={"list": [5, 6]}, steps={"each": answers}, expected_output=["a", "b"])
    assert (one.differences, went(one)) == ((), ["each/0 done", "each/1 done"])
    assert outcome(EACH, input={"list": []}, steps={"each": []}, expected_output=[]).differences == ()
    one = outcome(EACH, input={"list": [5]}, steps={"each": answers})
    assert one.differences == ("steps.each has 2 answers for 1 item",)
    one = outcome(EACH, input={"list": [5]}, name="n")
    assert one.differences == (
        "steps.each[0] has no answer: add `each: [{ gives: ... }, ...]` to the `steps` of n, one for each item",
    )


def test_all_items_are_done_when_one_fails_and_those_that_were_are_undone():
    loop = {**EACH, "revert": {**CALL, "x": "${item}"}}
    answers = [{"revert": {"given": {"x": 5}}}, {"fails": "BAD"}, {"revert": {"given": {"x": 7}}}]
    one = outcome(loop, input={"list": [5, 6, 7]}, steps={"each": answers}, expected_error="BAD")
    assert one.differences == ()
    assert went(one) == ["each/0 done", "each/1 BAD", "each/2 done", "each/2.revert done", "each/0.revert done"]


def test_a_step_that_may_fail_gives_null():
    may = {**LOOK, "on_error": "continue"}
    words = {"output": {"a": "${steps.look}"}}
    one = outcome(may, input={"q": 1}, steps={"look": {"fails": "GONE"}}, expected_output={"a": None}, given=words)
    assert (one.differences, went(one)) == ((), ["look GONE"])


@pytest.mark.parametrize(
    "part",
    [{"q": "${input.no}"}, {"if": "input.no"}, {"for_each": "input.no"}, {"idempotency_key": "${input.no}"}],
)
def test_a_step_that_may_fail_may_fail_before_it_asks(part: dict[str, str]):
    may = {"id": "look", **CALL, "on_error": "continue", **part}
    words = {"output": {"a": "${steps.look}"}}
    one = outcome(may, input={"q": 1}, expected_output={"a": None}, given=words)
    assert (one.differences, went(one)) == ((), ["look MAPPING_MISSING"])
    answers = {"look": [{}] if "for_each" in part else {}}
    told = outcome(may, input={"q": 1}, steps=answers, expected_output={"a": None}, given=words)
    assert "the step failed before it asked: MAPPING_MISSING" in told.differences[0]


def test_waits_pass_and_an_approval_is_given_unless_it_is_not():
    pause = {"id": "pause", "action": "wait", "seconds": "${input.q}"}
    words = {"output": {"by": "${steps.ask.by}"}}
    assert outcome(pause, ASK, input={"q": 2}, given=words).output == {"by": "somebody"}
    steps = {"pause": {"given": 2}, "ask": {"given": "Really 2?", "gives": {"by": "carol"}}}
    assert outcome(pause, ASK, input={"q": 2}, steps=steps, given=words).output == {"by": "carol"}
    refused = {"ask": {"gives": {"approved": False, "by": "carol"}}}
    one = outcome(pause, ASK, input={"q": 2}, steps=refused, expected_error="REFUSED", given=words)
    assert (one.differences, one.steps[-1].message) == ((), "carol refused it")
    late = {"ask": {"fails": "TIMEOUT"}}
    assert outcome(pause, ASK, input={"q": 2}, steps=late, expected_error="TIMEOUT", given=words).differences == ()
    assert outcome(pause, input={"q": "soon"}, expected_error="TYPE_MISMATCH").differences == ()


def test_an_event_gives_what_the_example_says():
    paid = {"id": "paid", "action": "event", "name": "paid-${input.q}"}
    answer = {"paid": {"given": "paid-1", "gives": {"sum": 3}}}
    assert outcome(paid, input={"q": 1}, steps=answer, expected_output={"sum": 3}).differences == ()
    assert "has no answer" in outcome(paid, input={"q": 1}).differences[0]


def test_settings_and_what_started_it_are_the_examples():
    words = {
        "configuration": [
            {"key": "LIMIT", "type": "number", "default": 5},
            {"key": "WHERE", "type": "string", "required": True},
        ],
        "trigger": "hook",
        "triggers": [{"id": "hook", "type": "webhook"}],
        "output": {"limit": "${settings.LIMIT}", "where": "${settings.WHERE}", "id": "${trigger.id}"},
    }
    keyed = {**LOOK, "idempotency_key": "${trigger.id}-look"}
    expected = {"limit": 5, "where": "here", "id": "t-1"}
    given = {"settings": {"WHERE": "here"}, "trigger": {"id": "t-1"}, "steps": {"look": {}}}
    assert outcome(keyed, input={"q": 1}, expected_output=expected, given=words, **given).differences == ()
    one = outcome(keyed, input={"q": 1}, given=words, expected_error="MAPPING_MISSING")
    assert one.differences == ()
    (wrong,) = outcome(keyed, input={"q": 1}, given=words, trigger={"id": "t-1"}, steps={"look": {}}).differences
    assert wrong == "it failed with MAPPING_MISSING, at the output: settings.WHERE is missing"


def test_a_standard_action_refuses_here_what_it_refuses_in_a_run():
    mail = {"id": "mail", "action": "email.send", "to": "a@b.c", "subject": "${input.q}", "body": "b"}
    assert outcome(mail, input={"q": 7}, expected_error="INPUT_INVALID").differences == ()
    (wrong,) = outcome(mail, input={"q": 7}).differences
    assert wrong == "it failed with INPUT_INVALID, at mail: input.subject must be string"


def test_what_waits_for_nothing_goes_side_by_side():
    a, b, c = ({"id": id, **CALL, "needs": []} for id in "abc")
    last = {"id": "last", **CALL, "needs": ["a", "b"]}
    steps = {"a": {"fails": "BAD"}, "b": {}, "c": {}, "last": "skipped"}
    one = outcome(a, b, c, last, steps=steps, expected_error="BAD")
    assert (one.differences, went(one)) == ((), ["a BAD", "b done", "c done"])


def test_the_example_file_holds_and_an_answer_is_no_template():
    found = check(file("purchase-order.yaml"))
    assert found.ok
    assert not [one for one in found.findings if one.rule in ("retry-without-key", "may-be-absent")]
    assert found.manifest is not None
    assert [one.differences for one in tried(found.manifest)] == [(), (), ()]
    one = outcome(LOOK, input={"q": 1}, steps={"look": {"gives": "${input.q}"}}, expected_output="${input.q}")
    assert one.differences == ()


def test_examples_share_their_bounds():
    line = [{"id": f"s{number}", "action": "transform", "value": 1} for number in range(99)]
    outcomes = list(tried(manifest(*line, examples=[{}] * 102)))
    assert [bool(one.differences) for one in outcomes] == [False] * (MOST_STEPS // 100) + [True] * 2
    assert f"{MOST_STEPS} steps" in outcomes[-1].differences[0]
    copies = {"id": "all", "action": "transform", "value": ["${input.list}"] * 45}
    outcomes = list(tried(manifest(copies, examples=[{"input": {"list": [0] * 1000}}] * 3)))
    assert [bool(one.differences) for one in outcomes] == [False, True, True]
    assert "make or read too much" in outcomes[2].differences[0]


def test_what_differs_is_told_in_part():
    wide = {"q": {f"k{number}": number for number in range(1000)}}
    (wrong,) = outcome(LOOK, input=wide, steps={"look": {"given": {"q": "x" * 2000}}}).differences
    assert len(wrong) == 500
    assert len(outcome(LOOK, input=wide, steps={"look": {"given": {"q": {}}}}).differences) == 20


def test_no_zero_character_is_told():
    made = {"id": "made", "action": "transform", "value": "${{'a\\u0000b': 1}}"}
    assert outcome(made, expected_output={}).differences == ("ab is not expected",)


def test_hostile_examples_end_soon():
    assert hostile("trials") == ""
