"""Texts that steps read: JSON, CSV, lines. What comes of one is never much larger than the text itself."""

import csv
import io
import json
import math
from typing import Any, Final

from hardpoint_manifest.expression import ExpressionError

MOST_ROWS: Final = 10_000
MOST_CELLS: Final = 500_000
"""Of a CSV: a row has a cell for every column of the first one, however little stands in it."""


def parse(format: str, value: Any, place: str) -> Any:
    """What a text says in its format (`json`, `csv`, `lines`); raises ExpressionError, for more than `MOST_ROWS`."""
    if not isinstance(value, str):
        raise ExpressionError("TYPE_MISMATCH", "what is parsed is no text", place)
    if format == "lines":
        lines = value.splitlines()
        if len(lines) > MOST_ROWS:
            raise _too_many("lines", place)
        return lines
    return _csv(value, place) if format == "csv" else _json(value, place)


def _csv(text: str, place: str) -> list[dict[str, Any]]:
    reader = csv.DictReader(io.StringIO(text), strict=True)
    rows: list[dict[str, Any]] = []
    try:
        columns = len(reader.fieldnames or ())
        while (row := next(reader, None)) is not None:
            if len(rows) == MOST_ROWS:
                raise _too_many("rows", place)
            if (len(rows) + 1) * columns > MOST_CELLS:
                message = f"more than {MOST_CELLS:,} cells: {columns:,} in each row"
                raise ExpressionError(
                    "EXPRESSION_FAILED", message, place, fix="read it in code, and keep what is needed"
                )
            rows.append({str(key): cell for key, cell in row.items() if key is not None})
    except csv.Error as error:
        raise ExpressionError("EXPRESSION_FAILED", f"line {reader.line_num} is no CSV: {error}", place) from None
    return rows


def _too_many(what: str, place: str) -> ExpressionError:
    """What would be left out would be missed by nobody."""
    fix = "give it in parts, or read it in code"
    return ExpressionError("EXPRESSION_FAILED", f"more than {MOST_ROWS:,} {what}", place, fix=fix)


def _json(text: str, place: str) -> Any:
    try:
        value = json.loads(text, parse_constant=_no_number, parse_float=_finite, parse_int=_whole)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except UnicodeEncodeError:
        message = "half a character (a lone surrogate)"
    except RecursionError:
        message = "nested too deeply"
    except json.JSONDecodeError as error:
        message = f"{error.msg} in line {error.lineno}, column {error.colno}"
    except ValueError as error:
        message = str(error)
    raise ExpressionError("EXPRESSION_FAILED", f"not JSON: {message}", place)


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _whole(text: str) -> int:
    """A whole number that a double can come near: Python's own reader has no end of digits, or one of its own."""
    _finite(text)
    return int(text)
