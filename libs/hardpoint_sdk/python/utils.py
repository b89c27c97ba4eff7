"""Owns `self.utils`: tables and figures, with the same answers as the JavaScript SDK.

`data` is a number, or lists and dicts of numbers nested in any way; what is not a number is left out. `column` picks
one column of rows that are dicts. Both languages do the same operations in the same order, so even the last bit agrees.
That is JavaScript's order of keys: those that are whole numbers, such as years, come first, the lowest of them first.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_LARGEST_INTEGER = 2**53 - 1
_INDEX = re.compile(r"0|[1-9][0-9]{0,9}")
_INDICES = 2**32 - 1
_QUOTED = re.compile(r'"([^"]*(?:""[^"]*)*)"')

Number = int | float
Cell = str | Number


def parse_csv(text: str, *, header: bool | None = None, delimiter: str = ",") -> list[Any]:
    """Return rows as dicts when the first row is a header, as lists when it is not.

    Without `header`, the first row is a header when one of its cells is neither empty nor a number. A cell that is
    written like a JSON number is a number; `007` and integers beyond 2**53 stay text. Raises ValueError with the line.
    """
    rows = list(_rows(text.removeprefix("\ufeff"), delimiter))
    if header is None:
        header = bool(rows) and any(isinstance(cell, str) and cell for cell in rows[0])
    if not header:
        return rows
    names = _column_names(rows[0]) if rows else []
    return [_record(names, row) for row in rows[1:]]


def to_csv(rows: Sequence[Any], *, delimiter: str = ",") -> str:
    """Return CSV text with one line a row; rows that are dicts get a header of all their keys."""
    if not any(isinstance(row, Mapping) for row in rows):
        table = [list(row) for row in rows]
    else:
        names = list(dict.fromkeys(name for row in rows for name in _keys(row)))
        table = [names, *([row.get(name) for name in names] for row in rows)]
    return "".join(delimiter.join(_cell_text(cell, delimiter) for cell in row) + "\n" for row in table)


def numbers(data: Any, *, column: str | None = None) -> list[Number]:
    """Return every finite number in the data, in order; booleans and text are not numbers."""
    if column is not None:
        data = [row.get(column) for row in data if isinstance(row, Mapping)]
    return list(_numbers(data))


def sum(data: Any, *, column: str | None = None) -> float:
    """Return the sum, exact to the last bit or two however many numbers there are; 0 of none."""
    return _total(numbers(data, column=column))


def min(data: Any, *, column: str | None = None) -> Number:
    """Return the smallest number. Raises ValueError when there is none."""
    return _sorted(data, column)[0]


def max(data: Any, *, column: str | None = None) -> Number:
    """Return the largest number. Raises ValueError when there is none."""
    return _sorted(data, column)[-1]


def mean(data: Any, *, column: str | None = None) -> float:
    """Return the arithmetic mean. Raises ValueError when there is no number."""
    values = _some(numbers(data, column=column), 1)
    return _total(values) / len(values)


def median(data: Any, *, column: str | None = None) -> Number:
    """Return the middle number, or the mean of the two in the middle. Raises ValueError when there is none."""
    ordered = _sorted(data, column)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def quantile(data: Any, q: float, *, column: str | None = None) -> float:
    """Return the q-quantile (q from 0 to 1), linear between neighbours. Raises ValueError when there is no number."""
    if not 0 <= q <= 1:
        raise ValueError("q must be between 0 and 1")
    return _quantile(_sorted(data, column), q)


def variance(data: Any, *, column: str | None = None, population: bool = False) -> float:
    """Return the sample variance (divided by n - 1), or with `population` that of a whole population (n)."""
    values = _some(numbers(data, column=column), 1 if population else 2)
    center = _total(values) / len(values)
    return _total([(value - center) * (value - center) for value in values]) / (len(values) - (not population))


def standard_deviation(data: Any, *, column: str | None = None, population: bool = False) -> float:
    """Return the sample standard deviation (n - 1), or with `population` that of a whole population (n)."""
    return math.sqrt(variance(data, column=column, population=population))


def find_outliers(data: Any, *, column: str | None = None) -> list[Number]:
    """Return the numbers more than 1.5 interquartile ranges below the first or above the third quartile."""
    values = numbers(data, column=column)
    if not values:
        return []
    ordered = sorted(values)
    first, third = _quantile(ordered, 0.25), _quantile(ordered, 0.75)
    reach = 1.5 * (third - first)
    return [value for value in values if value < first - reach or value > third + reach]


def correlation(xs: Any, ys: Any) -> float | None:
    """Return Pearson's correlation of two equally long series; None when one of them is constant."""
    left, right = _some(numbers(xs), 2), _some(numbers(ys), 2)
    if len(left) != len(right):
        raise ValueError(f"series of different length: {len(left)} and {len(right)} numbers")
    center_left, center_right = _total(left) / len(left), _total(right) / len(right)
    pairs = [(x - center_left, y - center_right) for x, y in zip(left, right, strict=True)]
    spread = math.sqrt(_total([x * x for x, _ in pairs]) * _total([y * y for _, y in pairs]))
    return _total([x * y for x, y in pairs]) / spread if spread else None


def linear_trend(data: Any, *, column: str | None = None) -> dict[str, float]:
    """Return slope and intercept of the least-squares line through the numbers at positions 0, 1, 2, ..."""
    values = _some(numbers(data, column=column), 2)
    center, middle = _total(values) / len(values), (len(values) - 1) / 2
    slope = _total([(at - middle) * (value - center) for at, value in enumerate(values)]) / _total(
        [(at - middle) * (at - middle) for at in range(len(values))]
    )
    return {"slope": slope, "intercept": center - slope * middle}


def group_by(rows: Sequence[Mapping[str, Any]], column: str) -> list[dict[str, Any]]:
    """Return `{"key": value, "rows": [...]}` for every value of a column, in the order of their first row."""
    groups: dict[tuple[bool, Any], list[Any]] = {}
    for row in rows:
        key = row.get(column)
        groups.setdefault((isinstance(key, bool), key), []).append(row)
    return [{"key": key, "rows": members} for (_, key), members in groups.items()]


def _rows(text: str, delimiter: str) -> Iterator[list[Cell]]:
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise ValueError("delimiter must be one character other than a quote or a line break")
    plain = re.compile(f"[^{re.escape(delimiter)}\r\n]*")
    row: list[Cell] = []
    at, line = 0, 1
    while at < len(text):
        if text[at] == '"':
            quoted = _QUOTED.match(text, at)
            if quoted is None:
                raise ValueError(f"line {line}: a quoted cell is not closed")
            cell, at = quoted[1].replace('""', '"'), quoted.end()
            if at < len(text) and text[at] not in (delimiter, "\r", "\n"):
                raise ValueError(f"line {line}: text after a quoted cell")
            line += cell.count("\n")
        else:
            found = plain.match(text, at)
            assert found is not None  # it matches the empty cell too
            cell, at = found[0], found.end()
        row.append(_cell(cell))
        if at < len(text) and text[at] == delimiter:
            at += 1
            if at < len(text):
                continue
            row.append("")
        at += 2 if text.startswith("\r\n", at) else 1
        line += 1
        if row != [""]:
            yield row
        row = []


def _cell(text: str) -> Cell:
    written = _NUMBER.fullmatch(text.strip(" \t"))
    if written is None:
        return text
    if written[1] or written[2]:
        number = float(written[0])
        return number if math.isfinite(number) else text
    return int(written[0]) if len(written[0]) <= 17 and abs(int(written[0])) <= _LARGEST_INTEGER else text


def _column_names(cells: list[Cell]) -> list[str]:
    names: list[str] = []
    for position, cell in enumerate(cells, 1):
        name = first = _cell_text(cell, "").strip(" \t") or f"column_{position}"
        again = 2
        while name in names:
            name, again = f"{first}_{again}", again + 1
        names.append(name)
    return names


def _record(names: list[str], row: list[Cell]) -> dict[str, Cell]:
    surplus = [f"column_{position}" for position in range(len(names) + 1, len(row) + 1)]
    missing: list[Cell] = [""] * (len(names) - len(row))
    return dict(zip([*names, *surplus], [*row, *missing], strict=True))


def _cell_text(cell: Any, delimiter: str) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, int | float):
        return _number_text(cell)
    if not isinstance(cell, str):
        raise ValueError("a cell holds text, a number, true, false or nothing")
    if delimiter and any(mark in cell for mark in (delimiter, '"', "\r", "\n")):
        return '"' + cell.replace('"', '""') + '"'
    return cell


def _number_text(number: Number) -> str:
    """Write a number as JavaScript does: no `.0`, no exponent between 1e-6 and 1e21, `1e-7` rather than `1e-07`."""
    if isinstance(number, int) and abs(number) < 10**21:
        return str(number)
    number = float(number)
    if not math.isfinite(number):
        raise ValueError("a cell cannot hold NaN or Infinity")
    sign = "-" if number < 0 else ""
    mantissa, _, exponent = f"{abs(number)!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = int(exponent or 0) + len(whole) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    if not digits:
        return "0"
    if len(digits) <= point <= 21:
        return sign + digits + "0" * (point - len(digits))
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    rest = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{rest}e{point - 1:+d}"


def _keys(row: Mapping[Any, Any]) -> list[Any]:
    """The keys of a dict in the order in which an object of JavaScript has them."""
    keys = list(row)
    indices = [key for key in keys if isinstance(key, str) and _INDEX.fullmatch(key) and int(key) < _INDICES]
    first = set(indices)
    return [*sorted(indices, key=int), *(key for key in keys if key not in first)] if indices else keys


def _numbers(data: Any) -> Iterator[Number]:
    if isinstance(data, bool):
        return
    if isinstance(data, int | float):
        if math.isfinite(data):
            yield data
    elif isinstance(data, Mapping):
        for key in _keys(data):
            yield from _numbers(data[key])
    elif isinstance(data, list | tuple):
        for value in data:
            yield from _numbers(value)


def _total(values: Sequence[Number]) -> float:
    """Add with Neumaier's compensation, which both languages do bit for bit alike."""
    total, lost = 0.0, 0.0
    for value in values:
        added = total + value
        lost += (total - added) + value if abs(total) >= abs(value) else (value - added) + total
        total = added
    return total + lost


def _quantile(ordered: list[Number], q: float) -> float:
    position = (len(ordered) - 1) * q
    low = math.floor(position)
    high = low + 1 if low + 1 < len(ordered) else low
    return ordered[low] + (position - low) * (ordered[high] - ordered[low])


def _sorted(data: Any, column: str | None) -> list[Number]:
    return sorted(_some(numbers(data, column=column), 1))


def _some(values: list[Number], least: int) -> list[Number]:
    if len(values) < least:
        raise ValueError(f"needs at least {least} number{'s' if least > 1 else ''}, the data has {len(values)}")
    return values
