"""Values between JSON and PostgreSQL: what a parameter becomes, and what a row comes back as.

Dates and times are ISO texts (moments with a zone in UTC), intervals ISO 8601 durations, `bytea` base64, arrays lists,
`json` itself. `numeric` and `bigint` are numbers where a double holds them exactly, and text where not. What else there
is, is PostgreSQL's own text.
"""

import base64
import json
import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from psycopg import adapters, postgres
from psycopg.abc import Buffer
from psycopg.adapt import AdaptersMap, Loader, Transformer
from psycopg.pq import Format
from psycopg.pq.abc import PGresult

from hardpoint_kit.documents import too_deep

MOST_EXACT: Final = 2**53
_JSON: Final = frozenset(postgres.types[name].oid for name in ("json", "jsonb"))
_AS_THEY_ARE: Final = ("bool", "int2", "int4", "oid", "text", "varchar", "bpchar", "name", "char")
_ZONE: Final = re.compile(r"([+-]\d\d)$")


class _Text(Loader):
    def load(self, data: Buffer) -> Any:
        return bytes(data).decode(errors="replace")


class _Exact(Loader):
    def load(self, data: Buffer) -> Any:
        text = bytes(data).decode()
        if text.removeprefix("-").isdecimal():
            return int(text) if -MOST_EXACT <= int(text[:20]) <= MOST_EXACT and len(text) < 20 else text
        try:
            number = float(text)
            return number if math.isfinite(number) and Decimal(repr(number)) == Decimal(text) else text
        except (ValueError, ArithmeticError):
            return text


class _Float(Loader):
    def load(self, data: Buffer) -> Any:
        number = float(bytes(data))
        return number if math.isfinite(number) else bytes(data).decode()


class _Time(Loader):
    def load(self, data: Buffer) -> Any:
        return _ZONE.sub(r"\1:00", bytes(data).decode().replace(" ", "T", 1))


class _Bytes(Loader):
    def load(self, data: Buffer) -> Any:
        return base64.b64encode(bytes.fromhex(bytes(data).decode().removeprefix("\\x"))).decode()


class _Json(Loader):
    def load(self, data: Buffer) -> Any:
        text = bytes(data).decode()
        try:
            value = json.loads(text, parse_float=_finite)
        except (RecursionError, ValueError):  # deeper, or with longer numbers, than Python reads
            return text
        return text if too_deep(value) else value


def _finite(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text


class _Context:
    """What psycopg reads values with."""

    def __init__(self) -> None:
        self.adapters = AdaptersMap(adapters)
        self.connection = None
        loaders: dict[str, type[Loader]] = {
            **dict.fromkeys(("numeric", "int8"), _Exact),
            **dict.fromkeys(("float4", "float8"), _Float),
            **dict.fromkeys(("timestamp", "timestamptz", "timetz"), _Time),
            **dict.fromkeys(("json", "jsonb"), _Json),
            "bytea": _Bytes,
        }
        for known in postgres.types:
            if known.name not in _AS_THEY_ARE:
                self.adapters.register_loader(known.oid, loaders.get(known.name, _Text))


_CONTEXT: Final = _Context()


def rows_of(result: PGresult) -> list[dict[str, Any]]:
    """The rows by column name; raises ValueError naming a column that is there twice."""
    names = [(result.fname(index) or b"").decode(errors="replace") for index in range(result.nfields)]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(twice)
    transformer = Transformer(_CONTEXT)
    transformer.set_pgresult(result, set_loaders=True, format=Format.TEXT)
    return transformer.load_rows(0, result.ntuples, lambda values: dict(zip(names, values, strict=True)))


def parameter(value: Any, type_of: int = 0) -> bytes | None:
    """A JSON value as the text of a parameter; a list becomes an array unless its type is JSON.

    Raises ValueError for a text that PostgreSQL cannot hold.
    """
    if value is None:
        return None
    if isinstance(value, list) and type_of not in _JSON:
        text = _array(value)
    elif isinstance(value, Mapping | list):
        text = json.dumps(value, allow_nan=False)
    else:
        text = _scalar(value)
    if "\0" in text:
        raise ValueError("a text with the character NUL")
    return text.encode()  # a lone surrogate is a ValueError


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) <= MOST_EXACT:
        return str(int(value))  # JSON does not tell 5 from 5.0, PostgreSQL's integers do
    return str(value)


def _array(values: Sequence[Any]) -> str:
    return "{" + ",".join(map(_element, values)) + "}"


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, list):
        return _array(value)
    text = json.dumps(value, allow_nan=False) if isinstance(value, Mapping) else _scalar(value)
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
