"""Owns JSON documents on the wire: `Struct` and `Value` to plain Python and back.

A protobuf number is a double. A whole one comes back as int, so that 5 stays 5 in a text; whole numbers beyond 2^53
lose their last digits, as they do in JavaScript.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import NULL_VALUE, ListValue, Struct, Value

from hardpoint_kit.errors import InvalidArgument

LARGEST_WHOLE = 2.0**53
DEEPEST = 30
"""Levels of objects and lists. Protobuf reads a hundred nested messages, and an object takes three of them."""

MOST_VALUES = 50_000
"""Of an output; each takes about a microsecond to write, and as much again of whoever reads it."""


def too_deep(document: Any) -> bool:
    """True when a JSON value has more levels than the wire carries."""
    level = [document]
    for _ in range(DEEPEST + 1):
        if not level:
            return False
        level = [inner for outer in level if isinstance(outer, Mapping) for inner in outer.values()] + [
            inner for outer in level if isinstance(outer, list | tuple) for inner in outer
        ]
    return bool(level)


def too_many(document: Any) -> bool:
    """True when a JSON value holds more values than may be written: everybody waits while that is done."""
    count, level = 0, [document]
    while level and count <= MOST_VALUES:
        count += len(level)
        nested: list[Any] = []
        for outer in level:
            if isinstance(outer, Mapping):
                nested += outer.values()
            elif isinstance(outer, list | tuple):
                nested += outer
        level = nested
    return count > MOST_VALUES


def read_json(text: str) -> Any:
    """The value of a JSON text that others wrote; raises ValueError for what the wire does not carry.

    That are NaN, numbers beyond a double, half characters, and more than `DEEPEST` levels; Python's reader takes them.
    """
    try:
        value = json.loads(text, parse_constant=_no_constant, parse_float=_finite, parse_int=_whole)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except UnicodeEncodeError:
        raise ValueError("it holds half a character") from None
    if too_deep(value):
        raise ValueError("it is nested too deeply")
    return value


def from_struct(struct: Struct, place: str = "document") -> dict[str, Any]:
    """The object that a Struct holds; raises InvalidArgument that names `place`, for a number JSON cannot hold."""
    try:
        return {key: _plain(value) for key, value in struct.fields.items()}
    except ValueError as error:
        raise InvalidArgument({place: str(error)}, fix="send finite numbers") from None


def from_value(value: Value, place: str = "document") -> Any:
    """The JSON value that a Value holds, None for an unset one; raises as from_struct does."""
    try:
        return _plain(value)
    except ValueError as error:
        raise InvalidArgument({place: str(error)}, fix="send finite numbers") from None


def _plain(value: Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return value.string_value
    if kind == "number_value":
        number = _number(value.number_value)
        return int(number) if number.is_integer() and abs(number) <= LARGEST_WHOLE else number
    if kind == "bool_value":
        return value.bool_value
    if kind == "struct_value":
        return {key: _plain(inner) for key, inner in value.struct_value.fields.items()}
    if kind == "list_value":
        return [_plain(item) for item in value.list_value.values]
    return None


def to_struct(document: Mapping[str, Any]) -> Struct:
    """The Struct of an object; raises ValueError for what JSON cannot hold, and the wire cannot carry."""
    try:
        return Struct(fields={_key(key): to_value(item) for key, item in document.items()})
    except (DecodeError, RecursionError):
        raise ValueError("it is nested too deeply for JSON") from None


def to_value(document: Any) -> Value:
    """The Value of a JSON value; raises ValueError for what JSON cannot hold, such as NaN."""
    if document is None:
        return Value(null_value=NULL_VALUE)
    if isinstance(document, bool):
        return Value(bool_value=document)
    if isinstance(document, str):
        return Value(string_value=document)
    if isinstance(document, int | float):
        return Value(number_value=_number(document))
    if isinstance(document, dict | Mapping):  # the class that nearly all are of first: the other asks further
        return Value(struct_value=to_struct(document))
    if isinstance(document, list | tuple):
        return Value(list_value=ListValue(values=[to_value(item) for item in document]))
    raise ValueError(f"a {type(document).__name__} is not a JSON value")


def _number(number: int | float) -> float:
    try:
        converted = float(number)
    except OverflowError:
        raise ValueError("the number is too large for JSON") from None
    if not math.isfinite(converted):
        raise ValueError(f"{number} is not a JSON number")
    return converted


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large for JSON")
    return number


def _whole(text: str) -> int:
    _finite(text)  # first: Python refuses thousands of digits in words of its own
    return int(text)


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise ValueError(f"an object's key must be text, not {type(key).__name__}")
    return key
