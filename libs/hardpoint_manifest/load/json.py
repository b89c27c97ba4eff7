"""JSON with places: strict, without recursion, one pass.

The standard decoder knows no lines, recurses, and accepts NaN and repeated keys; it still decodes the single texts.
"""

import json
import math
import re
from typing import Any, Final

from hardpoint_manifest.document import Place
from hardpoint_manifest.load.tree import QUOTE, Tree, place_at, refuse, whole_number

_TOKEN: Final = re.compile(
    r"""[ \t\r\n]*(?:
      (?P<text>"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*")
    | (?P<number>-?(?:0|[1-9][0-9]*)(?P<fraction>\.[0-9]+)?(?P<power>[eE][-+]?[0-9]+)?(?![0-9A-Za-z.]))
    | (?P<word>[A-Za-z]+)
    | (?P<sign>[\[\]{},:])
    | (?P<end>\Z)
    )""",
    re.VERBOSE,
)
_WORDS: Final = {"true": True, "false": False, "null": None}
_CLOSING: Final = {"{": "}", "[": "]"}


def scan(text: str) -> Tree:
    """Read a JSON text; raises ManifestError."""
    return _Scanner(text).scan()


class _Scanner:
    """What may come next is one word: a value, a key, a colon, or what follows a value."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tree = Tree()
        self.opened: list[str] = []
        self.position = 0
        self.line = 1
        self.line_start = 0

    def scan(self) -> Tree:
        expected = "value"
        just_opened = False
        while expected != "end":
            kind, word, place = self._next()
            if just_opened and word == _CLOSING[self.opened[-1]] and kind == "sign":
                expected, just_opened = self._close(), False
                continue
            just_opened = False
            if expected == "value" and kind == "sign" and word in _CLOSING:
                self.tree.open({} if word == "{" else [], place)
                self.opened.append(word)
                expected, just_opened = ("key" if word == "{" else "value"), True
            elif expected == "value" and kind in {"text", "number", "word"}:
                self.tree.value(self._scalar(kind, word, place), place)
                expected = self._after_value()
            elif expected == "key" and kind == "text":
                self.tree.key(self._text(word, place), place)
                expected = "colon"
            elif expected == "colon" and word == ":":
                expected = "value"
            elif expected == "more" and word == ",":
                expected = "key" if self.opened[-1] == "{" else "value"
            elif expected == "more" and kind == "sign" and word == _CLOSING[self.opened[-1]]:
                expected = self._close()
            else:
                self._unexpected(expected, kind, word, place)
        kind, word, place = self._next()
        if kind != "end":
            refuse(
                "not-json", f"{word[:16]!r} after the end of the document", place, "remove what follows the last brace"
            )
        return self.tree

    def _next(self) -> tuple[str, str, Place]:
        match = _TOKEN.match(self.text, self.position)
        if match is None:
            blank = re.compile(r"[ \t\r\n]*").match(self.text, self.position)
            at = blank.end() if blank else self.position
            refuse("not-json", f"unexpected {self.text[at]!r}", place_at(self.text, at), _advice(self.text[at]))
        kind = str((match["number"] and "number") or match.lastgroup)
        start = match.start(kind)
        newlines = self.text.count("\n", self.position, start)
        if newlines:
            self.line += newlines
            self.line_start = self.text.rfind("\n", 0, start) + 1
        self.position = match.end()
        return kind, match[kind], Place(self.line, start - self.line_start + 1)

    def _close(self) -> str:
        self.opened.pop()
        self.tree.close()
        return self._after_value()

    def _after_value(self) -> str:
        return "more" if self.opened else "end"

    def _scalar(self, kind: str, word: str, place: Place) -> Any:
        if kind == "text":
            return self._text(word, place)
        if kind == "word":
            if word not in _WORDS:
                refuse("not-json", f"{word[:16]} is no JSON value", place, "put texts in double quotes", self.tree.path)
            return _WORDS[word]
        if word.lstrip("-").isdigit():
            return whole_number(word, place, self.tree.path)
        number = float(word)
        if not math.isfinite(number):
            refuse("number-too-large", "the number does not fit 64 bits", place, QUOTE, self.tree.path)
        return number

    def _text(self, word: str, place: Place) -> str:
        text = str(json.loads(word))
        if any("\ud800" <= character <= "\udfff" for character in text):
            message = "the text holds half a character (a lone surrogate)"
            refuse("not-json", message, place, "write the whole character, or remove it", self.tree.path)
        return text

    def _unexpected(self, expected: str, kind: str, word: str, place: Place) -> None:
        wanted = {
            "value": "a value",
            "key": "a key in double quotes",
            "colon": "`:`",
            "more": f"`,` or `{_CLOSING[self.opened[-1]]}`" if self.opened else "nothing more",
        }[expected]
        found = "the file ends" if kind == "end" else f"there is {word[:16]!r}"
        fix = "remove the comma before it" if expected == "key" and word == "}" else f"write {wanted} there"
        refuse("not-json", f"{found} where {wanted} must stand", place, fix, self.tree.path)


def _advice(character: str) -> str:
    known = {"'": "use double quotes", "/": "JSON has no comments", '"': "the text is not closed"}
    return known.get(character, "remove it")
