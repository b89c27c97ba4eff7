"""Owns the frames on a jail's channel: a 4-byte big-endian length, then UTF-8 JSON with exactly one key.

What comes from a jail is hostile. Length, depth, encoding and numbers are checked before or while it is parsed, so
that nothing behind this file meets NaN, a lone surrogate, a nest that overflows a stack or a length it must trust.
"""

import asyncio
import contextlib
import gc
import json
from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Any, NoReturn

from hardpoint_executor.limits import whole

from .interface import Frame

FRAME_BYTES = 1024 * 1024
DEPTH = 64
INT_DIGITS = 308
"""A longer integer does not fit the double that every other program reads it into."""

NESTS = whole("jail.nests")
"""Lists and objects in a frame. They cost the reader more than all else: half a million fit into a frame's bytes."""

TEXT_CHARACTERS = whole("jail.text_characters")
_STACK_FRAMES = whole("jail.stack_frames")
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


class ProtocolError(Exception):
    """What the jail sent is not a frame; the text says which rule it broke."""


class TooManyNests(ProtocolError):
    """A frame holds more than `NESTS` lists and objects, which may also be an honest mistake."""


def encode(frame: dict[str, Any]) -> bytes:
    """Return the bytes of a frame. Raises ValueError for values that are not JSON."""
    body = json.dumps(frame, allow_nan=False, separators=(",", ":")).encode()
    return len(body).to_bytes(4, "big") + body


async def read(reader: asyncio.StreamReader, cap: int = FRAME_BYTES) -> bytes | None:
    """Return the next frame's body, or None when the channel ends between frames. Allocates at most `cap` bytes."""
    try:
        length = int.from_bytes(await reader.readexactly(4), "big")
        if length > cap:
            raise ProtocolError(f"a frame of {length} bytes; at most {cap} are accepted")
        return await reader.readexactly(length)
    except asyncio.IncompleteReadError:
        return None
    except ConnectionError:
        return None


def parse(body: bytes) -> tuple[str, Any]:
    """Return the one key of a frame and its value. Raises ProtocolError."""
    _check_nests(body)
    try:
        text = body.decode("utf-8")
        with _collector_paused():
            frame = json.loads(text, parse_constant=_not_a_number, parse_int=_integer, parse_float=_number)
        if b"\\u" in body:
            json.dumps(frame, ensure_ascii=False).encode("utf-8")  # refuses surrogates that were written as escapes
    except ProtocolError:
        raise
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"a frame that is not JSON: {error}") from error
    if not isinstance(frame, dict) or len(frame) != 1:
        raise ProtocolError("a frame without exactly one key")
    return next(iter(frame.items()))


def _check_nests(body: bytes) -> None:
    """Count the brackets that are not text and walk along them, which costs little however they are laid out."""
    if body.count(b"[") + body.count(b"{") <= DEPTH:
        return
    bare = b"".join(body.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])
    if bare.count(b"[") + bare.count(b"{") > NESTS:
        raise TooManyNests(f"more than {NESTS} lists and objects at once")
    brackets = bare.translate(None, _NOT_BRACKETS)
    if max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > DEPTH:
        raise ProtocolError(f"a frame nested deeper than {DEPTH} levels")


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """A frame of many small lists would set the garbage collector off again and again, for nothing."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _not_a_number(text: str) -> NoReturn:
    raise ProtocolError(f"{text}, which is not JSON")


def _integer(text: str) -> int:
    if len(text) > INT_DIGITS:
        raise ProtocolError(f"an integer of {len(text)} digits; at most {INT_DIGITS} are accepted")
    return int(text)


def _number(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ProtocolError("a number too large for a double")
    return value


def text(value: Mapping[str, Any], key: str) -> str:
    """Return a text of what a frame holds, cut; empty when there is none. Raises ProtocolError for anything else."""
    found = value.get(key, "")
    if not isinstance(found, str):
        raise ProtocolError(f"{key} that is no text")
    return found[:TEXT_CHARACTERS]


def stack(value: object) -> tuple[Frame, ...]:
    """Return an error's stack, cut. Raises ProtocolError."""
    if value is None:
        return ()
    if not isinstance(value, list):
        raise ProtocolError("a stack that is no list")
    return tuple(_line(entry) for entry in value[:_STACK_FRAMES])


def _line(entry: object) -> Frame:
    if not isinstance(entry, dict):
        raise ProtocolError("a stack frame that is no object")
    line, column = entry.get("line", 0), entry.get("column", 0)
    if not (isinstance(line, int) and isinstance(column, int)):
        raise ProtocolError("a stack frame whose line or column is no number")
    return Frame(text(entry, "function"), text(entry, "file"), line, column)
