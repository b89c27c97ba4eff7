"""The statements that the broker writes itself: rows put into a table, and its rows changed or removed where columns
equal given values.

No text of a caller becomes SQL. Names are quoted, and values are one parameter of JSON that PostgreSQL reads as a row
of that table, so that each is what its column holds. A condition names its columns alone, without the table: where a
table has no such column PostgreSQL reads `table.name` as a call of the function `name`, and all rows might fit.

Columns stand in the order of their names, because the text of a statement tells one effect from another and those who
make a second attempt may have read the columns in another order.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from hardpoint_executor.broker.means import invalid
from hardpoint_executor.broker.sql import PERMISSION_OF, Statement

MOST_NAME: Final = 63


@dataclass(frozen=True, slots=True)
class Written:
    """A statement with its text and the values of $1, $2 ..."""

    statement: Statement
    text: str
    params: list[Any]


def insert(table: str, given: Any) -> tuple[Written, int]:
    """One row or several, and how many they are; all raise BrokerDenied INVALID_ARGUMENT."""
    rows = given if isinstance(given, list) else [given]
    if not rows or not all(isinstance(row, Mapping) and row for row in rows):
        raise invalid("rows are objects with a value for each column", 'use {"name": "Ada"}, or a list of them')
    if any(row.keys() != rows[0].keys() for row in rows):
        raise invalid("the rows of one insert have the same columns", "give each row the same, null where empty")
    place, names = _place(table), _names(rows[0])
    text = (
        f"INSERT INTO {place} ({names}) SELECT {names} "  # noqa: S608 - names, quoted; values are a parameter
        f"FROM jsonb_populate_recordset(NULL::{place}, $1::jsonb)"
    )
    return _written("Insert", table, text, [_json(rows)]), len(rows)


def update(table: str, values: Any, where: Any) -> Written:
    """New values for the rows that fit."""
    if not isinstance(values, Mapping) or not values:
        raise invalid("values are an object with a value for each column to change", 'use {"status": "open"}')
    place = _place(table)
    condition, asked = _condition(place, where, 2)
    text = f"UPDATE {place} SET ({_names(values)}) = {_row(place, values, 1)} WHERE {condition}"  # noqa: S608 - as above
    return _written("Update", table, text, [_json(values), *asked])


def delete(table: str, where: Any) -> Written:
    """The rows that fit, gone."""
    place = _place(table)
    condition, asked = _condition(place, where, 1)
    text = f"DELETE FROM {place} WHERE {condition}"  # noqa: S608 - as above
    return _written("Delete", table, text, asked)


def _condition(place: str, where: Any, number: int) -> tuple[str, list[str]]:
    """That each column equals its value, or is NULL where that is null; with the parameter that holds the values."""
    if not isinstance(where, Mapping) or not where:
        raise invalid(
            "where is an object with a value for each column that tells the rows", 'use {"id": 7}; null means no value'
        )
    equal = {name: value for name, value in where.items() if value is not None}
    parts = [f"{_quoted(name)} IS NULL" for name in sorted(where) if name not in equal]
    if not equal:
        return " AND ".join(parts), []
    return " AND ".join([f"({_names(equal)}) = {_row(place, equal, number)}", *parts]), [_json(equal)]


def _row(place: str, columns: Iterable[str], number: int) -> str:
    names = ", ".join(f"given.{_quoted(name)}" for name in sorted(columns))
    return f"(SELECT {names} FROM jsonb_populate_record(NULL::{place}, ${number}::jsonb) AS given)"  # noqa: S608 - as above


def _written(kind: str, table: str, text: str, params: list[Any]) -> Written:
    return Written(Statement(kind.upper(), frozenset({PERMISSION_OF[f"{kind}Stmt"]}), frozenset({table})), text, params)


def _place(table: str) -> str:
    if table.count(".") > 1:
        raise invalid("the table is no name of a table in this database", "use table, or schema.table")
    return ".".join(map(_quoted, table.split(".")))


def _names(columns: Iterable[str]) -> str:
    return ", ".join(map(_quoted, sorted(columns)))


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _quoted(name: str) -> str:
    if not name or "\0" in name or len(name.encode(errors="replace")) > MOST_NAME:
        raise invalid("a table or a column has a name that no table has", "use the name as the database has it")
    return '"' + name.replace('"', '""') + '"'
