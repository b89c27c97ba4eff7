"""How a value can be spelled: the encodings that are looked for, each reduced to its skeleton.

A skeleton is what is left of a text when all but letters and digits is taken away, in small letters. Splitting by
separators, changing case, quoting, padding and zero bytes all disappear in it, so one needle covers many spellings.
"""

import base64
import binascii
import html
import json
from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import quote, quote_plus

LEAST_NEEDLE: Final = 8
"""Characters; a shorter needle would be found by chance in a megabyte of base64."""
LEAST_SKELETON: Final = 6
"""Characters of the value itself that have to be letters or digits."""
WINDOW: Final = 45
"""Bytes; of a longer value the two ends are looked for, so that line breaks of an encoding do not matter."""

_SMALL: Final = bytes(range(65)) + bytes(range(97, 123)) + bytes(range(91, 256))
_NOT_SKELETON: Final = bytes(b for b in range(256) if not (b < 128 and chr(b).isalnum()))
_ROT47: Final = bytes.maketrans(bytes(range(33, 127)), bytes([*range(80, 127), *range(33, 80)]))
_ATBASH: Final = bytes.maketrans(bytes(range(97, 123)), bytes(range(122, 96, -1)))
_ROT13: Final = bytes.maketrans(bytes(range(97, 123)), bytes([*range(110, 123), *range(97, 110)]))
_BASE58: Final = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def skeleton(data: bytes) -> bytes:
    """The letters and digits of ASCII, in small letters."""
    return data.translate(_SMALL, _NOT_SKELETON)


def exact(value: str) -> set[bytes]:
    """The spellings that programs produce by accident, as they stand: they can be cut out of any text."""
    quoted = {value, quote(value), quote(value, safe=""), quote_plus(value), html.escape(value)}
    escaped = {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
    return {text.encode() for text in quoted | escaped}


def needles(value: str) -> frozenset[bytes]:
    """The skeletons of every spelling that is long enough to be told from chance."""
    found: set[bytes] = set()
    for window in _windows(value):
        forwards = {skeleton(spelled) for spelled in (*_common(window), *_rare(window))}
        found |= forwards | {spelled[::-1] for spelled in forwards}
        found |= {skeleton(spelled) for spelled in (*_common(window[::-1]), *_rare(window[::-1]))}
        found |= {skeleton(spelled).translate(_ROT13) for spelled in _base64(window)}
    return frozenset(spelled for spelled in found if len(spelled) >= LEAST_NEEDLE) | plain(value)


def plain(value: str) -> frozenset[bytes]:
    """The skeletons of the value itself: forwards, backwards, and both under ROT13."""
    found = {skeleton(way) for window in _windows(value) for way in (window, window[::-1])}
    found |= {spelled.translate(_ROT13) for spelled in found}
    return frozenset(spelled for spelled in found if len(spelled) >= LEAST_SKELETON)


def whole(value: str) -> list[bytes]:
    """The skeletons under which the whole value can be cut out with no more than a byte of it left, longest first."""
    raw = value.encode()
    found = {skeleton(spelled) for spelled in (raw, raw[::-1], *_common(raw))}
    found |= {spelled[::-1] for spelled in found}
    return sorted((spelled for spelled in found if len(spelled) >= LEAST_NEEDLE), key=len, reverse=True)


def _windows(value: str) -> list[bytes]:
    raw = value.encode()
    return [raw] if len(raw) <= WINDOW else [raw[:WINDOW], raw[-WINDOW:]]


def _common(raw: bytes) -> Iterator[bytes]:
    """Spellings in which a character of the text belongs to one or two bytes of the value."""
    yield from _base64(raw)
    yield from _shifted(raw, base64.b32encode, 5, 5)
    yield from _shifted(raw, base64.b32hexencode, 5, 5)
    # One code for each byte; `u0068`, `x68`, `0x68` are what is left of \u0068, &#x68; and a list of bytes.
    for form in ("02x", "d", "03d", "o", "03o", "08b"):
        yield "".join(format(byte, form) for byte in raw).encode()
    for mark, form in (("u", "04x"), ("u", "x"), ("u", "08x"), ("x", "02x"), ("0x", "02x")):
        yield "".join(mark + format(byte, form) for byte in raw).encode()


def _rare(raw: bytes) -> Iterator[bytes]:
    """Spellings of at most a window that stand for the bytes in groups, or for all of them as one number."""
    for encode in (base64.b85encode, base64.a85encode):
        for lead in range(4):
            data = bytes(lead) + raw
            yield encode(data[min(lead, 1) * 4 : len(data) // 4 * 4])
    yield from _shifted(raw[: WINDOW - 2], lambda data: binascii.b2a_uu(data)[1:].rstrip(b"\n"), 3, 6)
    yield raw.translate(_ROT47)
    yield skeleton(raw).translate(_ATBASH)
    yield _base58(raw)
    yield str(int.from_bytes(raw, "big")).encode()


def _base64(raw: bytes) -> Iterator[bytes]:
    return _shifted(raw, base64.b64encode, 3, 6)


def _shifted(raw: bytes, encode: Callable[[bytes], bytes], places: int, bits: int) -> Iterator[bytes]:
    """The encoding at each place of a group where the value can begin, without digits that hold others' bits too."""
    for lead in range(places):
        yield encode(bytes(lead) + raw)[-(-lead * 8 // bits) : (lead + len(raw)) * 8 // bits]


def _base58(raw: bytes) -> bytes:
    number, digits = int.from_bytes(raw, "big"), bytearray()
    while number:
        number, digit = divmod(number, 58)
        digits.append(_BASE58[digit])
    return bytes(digits[::-1])
