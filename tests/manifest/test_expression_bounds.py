"""Hostile expressions: each ends, within the memory and processor time of one small process."""

import pytest

from hardpoint_manifest.expression import ExpressionError, Scope, compile
from manifest.documents import hostile

SCOPE = Scope.of("data", "x", "file", "deep")


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("file.constructor.constructor('return process')()", 47),
        ("(" * 2000 + "1" + ")" * 2000, 25),
        ("(a+)+$", 6),
        ("x; process.exit(1)", 2),
        ("`x` + ${data}", 7),
    ],
)
def test_hostile_filters_are_refused_with_their_position(text, position):
    with pytest.raises(ExpressionError) as caught:
        compile(text, SCOPE)
    assert f"at character {position}" in caught.value.message


@pytest.mark.parametrize(
    "text",
    [
        "x" + " + x" * 1000,
        "[" * 25 + "]" * 25,
        "!" * 5000,
        "(" * 10_000 + "1" + ")" * 10_000,
        "x.map(a, x.map(b, x.map(c, c)))",
    ],
)
def test_expressions_beyond_the_limits_are_refused(text):
    with pytest.raises(ExpressionError) as caught:
        compile(text, SCOPE)
    assert caught.value.reason == "EXPRESSION_INVALID"


@pytest.mark.parametrize(
    "text",
    [
        "data.rows.map(i, x)",
        "data.rows.map(i, data.rows.map(j, i * j))",
        "data.hundred.map(i, x + x)",
        "data.hundred.map(i, data.rows + data.rows)",
        "x" + " + x" * 30,
        "[x + x].map(a, [a + a].map(b, b + b))",
        "[" + ", ".join(["data"] * 500) + "]",
        "[deep]",
        "data.hundred.map(i, data)",
    ],
)
def test_results_that_would_grow_are_refused(text):
    deep: list[object] = []
    for _ in range(500):
        deep = [deep]
    variables = {"data": {"rows": list(range(9000)), "hundred": ["a"] * 100}, "x": "a" * 1_000_000, "deep": deep}
    with pytest.raises(ExpressionError) as caught:
        compile(text, SCOPE).evaluate(variables)
    assert caught.value.reason == "EXPRESSION_FAILED"


def test_loops_over_what_services_answer_are_possible():
    rows = [{"first": "Ada", "last": "Lovelace" * 20, "age": number} for number in range(1000)]
    names = compile("data.map(r, r.first + ' ' + r.last)", SCOPE).evaluate({"data": rows})
    assert len(names) == 1000
    assert compile("data.filter(r, r.age > 990).map(r, r.age)", SCOPE).evaluate({"data": rows}) == list(
        range(991, 1000)
    )


def test_the_hostile_corpus_ends_within_bounds():
    assert hostile("expressions") == ""
