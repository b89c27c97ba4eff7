"""Owns what becomes of an output that is too large for an answer, when the caller wants it: a stored file.

What takes its place says what is in the file: a schema, and the beginning.
"""

import asyncio
import json
from collections.abc import Iterable, Iterator
from itertools import count, islice
from typing import Any, Final, TypeVar

from hardpoint_executor.broker.denial import BrokerDenied
from hardpoint_executor.broker.stored import StoredFiles
from hardpoint_executor.domain import Execution
from hardpoint_executor.limits import whole
from hardpoint_executor.runners.denied import failure
from hardpoint_kit.documents import too_many
from hardpoint_kit.errors import ActionFailed

OVERSIZE_BYTES: Final = whole("jail.oversize_kib")
"""Of an output as JSON; more stays an error."""
OVERSIZE_FIX: Final = (
    "ask for less; or have it as a stored file: call with oversize FILE (hardpoint call --oversize-to-file)"
)
_LEVELS: Final = 4
_SHOWN_ITEMS: Final = 5
_SHOWN_MEMBERS: Final = 20
_SHOWN_CHARS: Final = 200
_SHOWN: Final = 200
"""Values in all."""

T = TypeVar("T")


async def fitting(output: Any, most_bytes: int, execution: Execution, stored: StoredFiles) -> tuple[Any, bool]:
    """The output, or what stands for it once it is stored, and whether it is; raises ActionFailed when it cannot be."""
    written = await asyncio.to_thread(_written, output)
    if len(written) <= most_bytes and not too_many(output):
        return output, False
    is_text = isinstance(output, str)
    ending, kind = ("txt", "text/plain") if is_text else ("json", "application/json")
    try:
        handle = await stored.keep(f"{execution.action}.{ending}", kind, output.encode() if is_text else written)
    except BrokerDenied as denied:
        raise failure(denied) from None
    declared = execution.output_schema
    schema = dict(declared) if "properties" in declared else schema_of(output)
    return {"file": handle, "schema": schema, "preview": preview_of(output)}, True


def check_size(output: Any, most_bytes: int) -> None:
    """Refuse an output that has more bytes as JSON, or that JSON cannot hold; raises ActionFailed."""
    try:
        size = len(json.dumps(output, ensure_ascii=False, allow_nan=False).encode())
    except ValueError:
        raise ActionFailed(
            "the output has a number that is too large for JSON, or half a character",
            reason="TYPE_MISMATCH",
            place="outputs",
            fix="leave it out, or give it as another text",
        ) from None
    if size > most_bytes:
        raise ActionFailed(
            f"the output has {size} bytes as JSON, {most_bytes} are allowed",
            reason="OUTPUT_LIMIT",
            fix=f"return less, or map fewer fields; {OVERSIZE_FIX}",
            limit=f"{most_bytes} bytes",
        )


def schema_of(value: Any) -> dict[str, Any]:
    """The JSON Schema of a value as far as its beginning shows it: of a list, its first item stands for all."""
    return _schema(value, _LEVELS, count(1))


def preview_of(value: Any) -> Any:
    """The beginning of a value: of every list, object and text the first part."""
    return _preview(value, _LEVELS, count(1))


def _schema(value: Any, levels: int, seen: Iterator[int]) -> dict[str, Any]:
    match value:
        case bool():
            return {"type": "boolean"}
        case str():
            return {"type": "string"}
        case int():
            return {"type": "integer"}
        case float():
            return {"type": "number"}
        case None:
            return {"type": "null"}
        case list():
            items = [_schema(item, levels - 1, seen) for item in _first(value, 1, levels, seen)]
            return {"type": "array", **({"items": items[0]} if items else {})}
        case _:
            first = _first(value.items(), _SHOWN_MEMBERS, levels, seen)
            members = {key[:_SHOWN_CHARS]: _schema(inner, levels - 1, seen) for key, inner in first}
            return {"type": "object", "properties": members}


def _preview(value: Any, levels: int, seen: Iterator[int]) -> Any:
    match value:
        case str():
            return value if len(value) <= _SHOWN_CHARS else f"{value[:_SHOWN_CHARS]}…"
        case list():
            return [_preview(item, levels - 1, seen) for item in _first(value, _SHOWN_ITEMS, levels, seen)]
        case dict():
            first = _first(value.items(), _SHOWN_MEMBERS, levels, seen)
            return {key[:_SHOWN_CHARS]: _preview(inner, levels - 1, seen) for key, inner in first}
        case _:
            return value


def _first(parts: Iterable[T], most: int, levels: int, seen: Iterator[int]) -> Iterator[T]:
    """The parts that are shown: at most so many here, none below the last level, and a bounded number in all."""
    for part in islice(parts, most if levels else 0):
        if next(seen) > _SHOWN:
            return
        yield part


def _written(output: Any) -> bytes:
    return json.dumps(output, ensure_ascii=False).encode()
