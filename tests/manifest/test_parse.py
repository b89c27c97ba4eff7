"""Texts that steps read: others write them, and what comes of one stays in proportion to it."""

import pytest

from hardpoint_manifest.expression import ExpressionError
from hardpoint_manifest.parse import MOST_ROWS, parse


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1,", "Expecting value in line 1, column 4"),
        ("\n[1 2]", "line 2, column 4"),
        ("[NaN]", "NaN is no number of JSON"),
        ("1e999", "a number is too large"),
        ("9" * 5000, "a number is too large"),
        ('"\\ud800"', "half a character"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_no_json_is_said_with_its_reason(text: str, said: str) -> None:
    with pytest.raises(ExpressionError) as raised:
        parse("json", text, "read")
    assert said in raised.value.message
    assert (raised.value.reason, raised.value.place) == ("EXPRESSION_FAILED", "read")


def test_numbers_and_characters_that_json_has_are_read() -> None:
    whole = 10**20
    assert parse("json", f'[{whole}, 1.5, "\\ud83d\\ude00"]', "read") == [whole, 1.5, "\U0001f600"]


def test_a_small_csv_with_many_columns_becomes_nothing_large() -> None:
    columns = ",".join(f"c{number}" for number in range(5000))
    with pytest.raises(ExpressionError) as raised:
        parse("csv", columns + "\n1" * MOST_ROWS, "read")
    assert "cells" in raised.value.message
    assert raised.value.fix


@pytest.mark.parametrize(("format", "head", "row"), [("csv", "a,b\n", "1,2,3\n"), ("lines", "", "1,2,3\n")])
def test_of_more_rows_than_are_read_none_is_left_out_in_silence(format: str, head: str, row: str) -> None:
    rows = parse(format, head + row * MOST_ROWS, "read")
    assert (len(rows), rows[-1]) == (MOST_ROWS, {"a": "1", "b": "2"} if head else "1,2,3")
    with pytest.raises(ExpressionError) as raised:
        parse(format, head + row * (MOST_ROWS + 1), "read")
    assert raised.value.message.startswith("more than 10,000 ")
    assert raised.value.fix
