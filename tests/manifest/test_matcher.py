"""Matchers of expected outputs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardpoint_manifest.matcher import differences, invalid_matchers, type_matcher

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text("abc", max_size=3), parts, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_a_value_matches_itself_and_the_matchers_of_its_types(value):
    assert differences(value, value) == ()
    assert differences(type_matcher(value), value) == ()
    assert list(invalid_matchers(type_matcher(value))) == []


@pytest.mark.parametrize(
    ("expected", "actual", "matches"),
    [
        ({"$type": "number"}, 1.5, True),
        ({"$type": "number"}, True, False),
        ({"$type": "integer"}, 1.5, False),
        ({"$type": "boolean"}, True, True),
        ({"$range": [0, 10]}, 10, True),
        ({"$range": [0, 10]}, 11, False),
        ({"$range": [0, 10]}, "5", False),
        ({"$near": [3.14, 0.01]}, 3.145, True),
        ({"$near": [3.14, 0.01]}, 3.2, False),
        ({"$near": [1, 1]}, True, False),
        ({"$subset": {"a": {"$type": "number"}}}, {"a": 1, "b": 2}, True),
        ({"$subset": {"a": 1}}, {"b": 2}, False),
        ({"$subset": {"a": 1}}, [1], False),
        ({"$regex": "^S"}, "Sunny", True),
        ({"$regex": "^(a+)+$"}, "a" * 5000 + "b", False),
        ({"a": {"$type": "string"}}, {}, False),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ([{"$type": "number"}], [1], True),
        ([1], [1, 2], False),
        (1, True, False),
    ],
)
def test_what_matches(expected, actual, matches):
    assert (differences(expected, actual) == ()) is matches


@pytest.mark.parametrize(
    "matcher",
    [
        {"$typ": "a"},
        {"$type": "strng"},
        {"$type": ["string"]},
        {"$type": {"a": 1}},
        {"$range": [1]},
        {"$range": ["a", 2]},
        {"$regex": "("},
        {"$near": 3},
        {"$subset": 3},
    ],
)
def test_matchers_that_match_nothing_are_explained(matcher):
    ((path, reason),) = invalid_matchers({"a": [matcher]})
    assert path == ("a", 0)
    assert reason
    assert differences(matcher, 5) != ()


def test_differences_name_their_place():
    assert differences({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}) == ("a[1].b is 3, not 2",)
