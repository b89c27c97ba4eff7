"""Documents keep their values on the wire."""

import json
import math

import pytest
from google.protobuf.struct_pb2 import Struct, Value
from hypothesis import given
from hypothesis import strategies as st

from hardpoint_kit.documents import (
    DEEPEST,
    MOST_VALUES,
    from_struct,
    from_value,
    read_json,
    to_struct,
    to_value,
    too_deep,
    too_many,
)
from hardpoint_kit.errors import InvalidArgument

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.text()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), json_values, max_size=5))
def test_an_object_survives_the_wire(document):
    assert from_struct(to_struct(document)) == document


def test_a_whole_number_stays_whole():
    assert repr(from_value(to_value([5, 1.5]))) == "[5, 1.5]"


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_number_that_is_none_is_refused_on_the_way_in(number):
    with pytest.raises(InvalidArgument):
        from_struct(Struct(fields={"n": Value(number_value=number)}))


@pytest.mark.parametrize("bad", [math.nan, math.inf, 10**400, b"bytes", {1: "key"}, {"deep": [object()]}])
def test_what_json_cannot_hold_is_refused(bad):
    with pytest.raises(ValueError, match=r"JSON|text"):
        to_value(bad)


@pytest.mark.parametrize("wrap", [lambda inner: {"a": inner}, lambda inner: [inner]], ids=["objects", "lists"])
def test_what_is_not_too_deep_is_carried_inside_other_messages(wrap):
    document = 1
    for _ in range(DEEPEST):
        document = wrap(document)
    assert not too_deep(document)
    carried = Struct.FromString(to_struct({"a": {"b": document}}).SerializeToString())
    assert from_struct(carried) == {"a": {"b": document}}
    assert too_deep(wrap(document))


def test_a_wide_document_is_not_deep():
    assert not too_deep({"a": [[]] * 100_000, "b": {str(number): {} for number in range(1000)}})


@given(st.dictionaries(st.text(), json_values, max_size=5))
def test_few_values_are_not_too_many(document):
    assert not too_many(document)


def test_values_are_counted_however_they_are_laid_out():
    few, many = MOST_VALUES - 10, MOST_VALUES + 1
    lay_outs = (
        lambda n: [1] * n,
        lambda n: {"a": [[]] * n},
        lambda n: [{"a": 1}] * (n // 2),
        lambda n: [[1] * 9] * (n // 10),
    )
    for lay_out in lay_outs:
        assert not too_many(lay_out(few))
        assert too_many(lay_out(many + 10))
    assert not too_many("x" * 1_000_000)


@pytest.mark.parametrize(
    "text",
    ["NaN", "-Infinity", "1e999", "1" + "0" * 400, '"\\ud800"', '{"\\udc00": 1}', "[" * 100_000, "[" * 40 + "]" * 40],
)
def test_json_that_the_wire_does_not_carry_is_not_read(text):
    with pytest.raises(ValueError, match=r"."):
        read_json(text)


@given(st.dictionaries(st.text(), json_values, max_size=5))
def test_json_that_the_wire_carries_is_read(document):
    assert read_json(json.dumps(document)) == document


@pytest.mark.parametrize("levels", [100, 5000])
def test_what_is_nested_too_deeply_is_refused_on_the_way_out(levels):
    document = {}
    for _ in range(levels):
        document = {"a": document}
    with pytest.raises(ValueError, match="too deeply"):
        to_struct(document)


@pytest.mark.parametrize("text", ["1e999", "9" * 5000])
def test_numbers_beyond_a_double_are_refused_in_words_of_ours(text):
    with pytest.raises(ValueError, match="a number is too large for JSON"):
        read_json(text)
