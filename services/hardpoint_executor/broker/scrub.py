"""Finds secrets in what comes out, however they are spelled there, and cuts them out.

Finding is broad: the text, and what can be decoded from it in a few bounded steps, is reduced to its skeleton and
searched for every spelling of every value. Cutting is exact: what stands in the text itself is replaced. What is found
and cannot be cut, because it lies inside something compressed or in escapes of escapes, makes the whole text unfit.
What nobody can find: a value under a key, or in an encoding that is not listed in `spellings`.
"""

import binascii
import re
import sys
import unicodedata
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from hardpoint_executor.broker import spellings

LEAST_EXACT: Final = 4
"""Characters; a shorter value is not looked for at all: every text would come back full of holes."""
LEAST_SPELLED: Final = 8
"""Characters; a shorter value is looked for only as it stands, quoted or escaped."""
DEPTH: Final = 3
"""Encodings of encodings that are undone."""
MOST_DECODED: Final = 8
"""Times its own size, and at least a quarter of a megabyte, that is decoded of a text."""
LEAST_DECODED: Final = 256 * 1024

_BASE64: Final = bytes.maketrans(b"-_", b"+/")
_NOT_BASE64: Final = bytes(b for b in range(256) if not (b < 128 and (chr(b).isalnum() or chr(b) in "+/-_")))
_NOT_HEX: Final = bytes(b for b in range(256) if chr(b) not in "0123456789abcdefABCDEF")
_TEXT: Final = re.compile(rb"[\t\n\r -~]{16,}")
_ZLIB: Final = re.compile(rb"\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]")
_MOST_STREAMS: Final = 8
_WORD: Final = 8
_FEW_NEEDLES: Final = 400
"""About those of three secrets; more are found sooner by a look at every place of the text."""
_ESCAPE: Final = re.compile(
    rb"%([0-9A-Fa-f]{2})|\\x([0-9A-Fa-f]{2})|\\u00([0-9A-Fa-f]{2})|\\u\{0*([0-9A-Fa-f]{2})\}|&#[xX]0*([0-9A-Fa-f]{2});"
    rb"|&#0*([0-9]{2,3});|\\([0-3][0-7]{2})|\\([nrtbf\"/\\'])"
)
_QUOTED: Final = re.compile(rb"=([0-9A-F]{2})")


class Unfit(Exception):
    """A text holds a secret that cannot be cut out of it."""

    def __init__(self, key: str) -> None:
        super().__init__(f"it holds the secret {key} in an encoding")
        self.key = key


@dataclass(frozen=True)
class Watched:
    """One value that must not come out, with the spellings that are looked for."""

    key: str
    value: str = field(repr=False)

    @cached_property
    def exact(self) -> list[bytes]:
        """Longest first, so that no spelling is cut in two by a shorter one."""
        return sorted(spellings.exact(self.value), key=len, reverse=True)

    @cached_property
    def needles(self) -> frozenset[bytes]:
        """All skeletons."""
        return spellings.needles(self.value)

    @cached_property
    def plain(self) -> frozenset[bytes]:
        """The skeletons of the value itself, to be found among bytes that are no text."""
        return spellings.plain(self.value)

    @property
    def blot(self) -> bytes:
        """What stands in its place."""
        return b"[secret %s]" % self.key.encode()


class Scrubber:
    """Looks for the secrets of one execution."""

    def __init__(self, watched: Iterable[Watched]) -> None:
        self._watched = [one for one in watched if len(one.value) >= LEAST_EXACT]
        self._spelled = [watched for watched in self._watched if len(watched.value) >= LEAST_SPELLED]

    @property
    def watches(self) -> bool:
        """Whether there is anything to look for."""
        return bool(self._watched)

    def scrub(self, data: bytes) -> bytes:
        """The bytes with every secret cut out; raises Unfit when one is left that cannot be."""
        for watched in self._watched:
            for spelled in watched.exact:
                if spelled in data:
                    data = data.replace(spelled, watched.blot)
        if self.found(data) is None:
            return data
        for watched in self._spelled:
            for needle in spellings.whole(watched.value):
                if needle in spellings.skeleton(data):
                    data = _scattered(needle).sub(watched.blot, data)
        if (found := self.found(data)) is not None:
            raise Unfit(found.key)
        return data

    def scrub_text(self, text: str) -> str:
        """See `scrub`."""
        data = text.encode(errors="surrogatepass")
        scrubbed = self.scrub(data)
        return text if scrubbed is data else scrubbed.decode(errors="replace")

    def scrub_json(self, value: Any) -> Any:
        """A JSON value whose texts, names of members too, are scrubbed; raises Unfit."""
        match value:
            case str():
                return self.scrub_text(value)
            case list():
                return [self.scrub_json(part) for part in value]
            case dict():
                return {self.scrub_text(name): self.scrub_json(part) for name, part in value.items()}
            case _:
                return value

    def is_clean(self, data: bytes) -> bool:
        """Whether `scrub` would leave the bytes as they are."""
        return self.in_bytes(data) is None

    def in_bytes(self, data: bytes) -> Watched | None:
        """A secret that `scrub` would cut out of the bytes, or refuse them for."""
        exact = (watched for watched in self._watched if any(spelled in data for spelled in watched.exact))
        return next(exact, None) or self.found(data)

    def found(self, data: bytes) -> Watched | None:
        """A secret that the bytes hold, in any spelling."""
        if not self._spelled:
            return None
        texts, others = bytearray(), bytearray()
        for view, is_text in _views(data):
            into = texts if is_text else others
            into += spellings.skeleton(view)
            into += b"\n"  # which no skeleton holds: a secret is never found across two views
        return self._among_texts.first_in(bytes(texts)) or self._among_others.first_in(bytes(others))

    @cached_property
    def _among_texts(self) -> "_Needles":
        return _Needles([(needle, watched) for watched in self._spelled for needle in watched.needles])

    @cached_property
    def _among_others(self) -> "_Needles":
        return _Needles([(needle, watched) for watched in self._spelled for needle in watched.plain])


class _Needles:
    """Needles of secrets: few are looked for one by one, many all at once, by the eight bytes that each begins with."""

    def __init__(self, needles: list[tuple[bytes, Watched]]) -> None:
        short = [one for one in needles if len(one[0]) < _WORD or len(needles) <= _FEW_NEEDLES]
        self._one_by_one = short
        self._by_word: dict[int, list[tuple[bytes, Watched]]] = {}
        for needle, watched in needles if len(short) < len(needles) else ():
            if len(needle) >= _WORD:
                self._by_word.setdefault(int.from_bytes(needle[:_WORD], sys.byteorder), []).append((needle, watched))

    def first_in(self, reduced: bytes) -> Watched | None:
        """A secret one of whose needles is there."""
        for needle, watched in self._one_by_one:
            if needle in reduced:
                return watched
        for begin in range(_WORD if self._by_word else 0):
            words = memoryview(reduced)[begin : begin + (len(reduced) - begin) // _WORD * _WORD].cast("Q")
            if self._by_word.keys().isdisjoint(words):
                continue
            for at, word in enumerate(words):
                for needle, watched in self._by_word.get(word, ()):
                    if reduced.startswith(needle, begin + at * _WORD):
                        return watched
        return None


def _scattered(needle: bytes) -> re.Pattern[bytes]:
    """Finds in a text what its skeleton holds: the classes exclude each other, so nothing is tried twice."""
    return re.compile(
        rb"[^0-9A-Za-z]*".join(re.escape(needle[at : at + 1]) for at in range(len(needle))), re.IGNORECASE
    )


def _views(data: bytes) -> list[tuple[bytes, bool]]:
    """The bytes, and what may be encoded in them; with each whether it is text, that may hold further encodings."""
    left = max(MOST_DECODED * len(data), LEAST_DECODED)
    level = [data]
    views = [(data, True)]
    for _ in range(DEPTH):
        following = []
        for text in level:
            for view, is_text in _decoded(text):
                left -= len(view)
                if left < 0:
                    return views
                views.append((view, is_text))
                if is_text:
                    following.append(view)
                elif (runs := b"\n".join(_TEXT.findall(view))) != b"":
                    views.append((runs, True))
                    following.append(runs)
        level = following
    return views


def _decoded(text: bytes) -> Iterator[tuple[bytes, bool]]:
    """One step: escapes undone, base64 and hexadecimal at every place where they may begin, streams inflated."""
    if (b"%" in text or b"\\" in text or b"&#" in text) and (plain := _ESCAPE.sub(_character, text)) != text:
        yield plain, True
    if b"=" in text and (plain := _QUOTED.sub(_character, text.replace(b"=\r\n", b"").replace(b"=\n", b""))) != text:
        yield plain, True
    if not text.isascii():
        characters = text.decode(errors="ignore")
        yield unicodedata.normalize("NFKC", characters).encode(), True
        yield characters.encode("latin-1", errors="ignore"), True  # bytes as text, a character for each
    digits = text.translate(_BASE64, _NOT_BASE64)
    for begin in range(4 if len(digits) > 8 else 0):
        opened = binascii.a2b_base64(digits[begin:] + b"A" * ((begin - len(digits)) % 4))
        yield opened, False
        if _ZLIB.search(opened):
            yield from _inflated(opened)
    digits = text.replace(b"0x", b"").replace(b"\\x", b"").translate(None, _NOT_HEX)
    for begin in range(2 if len(digits) > 2 * LEAST_SPELLED else 0):
        opened = binascii.unhexlify(digits[begin : len(digits) - (len(digits) - begin) % 2])
        yield opened, False
        if _ZLIB.search(opened):
            yield from _inflated(opened)
    if _ZLIB.search(text):
        yield from _inflated(text)  # last, for it can take all that is left of the bound


def _inflated(data: bytes) -> Iterator[tuple[bytes, bool]]:
    """What the first few compressed streams in the bytes hold, each no further than a quarter of a megabyte."""
    for count, match in enumerate(_ZLIB.finditer(data)):
        if count == _MOST_STREAMS:
            return
        try:
            yield zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(data[match.start() :], LEAST_DECODED), True
        except zlib.error:
            continue


def _character(match: re.Match[bytes]) -> bytes:
    group = match.lastindex or 0
    digits = match[group]
    match group:
        case 6:
            return bytes([int(digits) & 255])
        case 7:
            return bytes([int(digits, 8)])
        case 8:
            return b" " if digits in b"nrtbf" else digits
        case _:
            return bytes([int(digits, 16)])
