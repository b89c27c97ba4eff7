"""The words of an expression: where its texts, names and member paths are, without evaluating anything.

Rewrites the JavaScript spellings of the design document into CEL and finds the paths (`data.weather[0].main`) that the
rest of the package reasons about. Rewriting keeps columns wherever it can, so that CEL's positions stay true.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from hardpoint_manifest.expression.errors import ExpressionError
from hardpoint_manifest.names import CEL_WORDS

MAX_LENGTH: Final = 4096
MAX_NESTING: Final = 24
MAX_LOOPS: Final = 4
MAX_LOOP_NESTING: Final = 2

LOOPS: Final = frozenset({"all", "exists", "exists_one", "map", "filter"})
_LITERALS: Final = frozenset({"true", "false", "null", "in"})
_SPELLINGS: Final = {"===": "== ", "!==": "!= "}
_OPEN: Final = {"(": ")", "[": "]", "{": "}"}

_TOKEN: Final = re.compile(
    r"""
      (?P<space>\s+|//[^\n]*)
    | (?P<text>[bB]?[rR][bB]?(?:\"{3}.*?\"{3}|'{3}.*?'{3}|"[^"\n]*"|'[^'\n]*')
        | [bB]?(?:\"{3}(?:[^\\]|\\.)*?\"{3}|'{3}(?:[^\\]|\\.)*?'{3}|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'))
    | (?P<number>0[xX][0-9a-fA-F]+[uU]?|\d+\.\d+(?:[eE][+-]?\d+)?|\d+(?:[eE][+-]?\d+)?[uU]?)
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<quoted>`[^`\n]+`)
    | (?P<sign>===|!==|==|!=|<=|>=|&&|\|\||[-+*/%!<>?:.,()\[\]{}])
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Token:
    """One word of an expression; `start` counts characters from 0."""

    kind: str
    text: str
    start: int


@dataclass(frozen=True, slots=True)
class MemberPath:
    """A value reached by names and positions alone, such as `data.weather[0].main`."""

    root: str
    parts: tuple[str | int, ...]
    start: int

    def __str__(self) -> str:
        text = self.root
        for part in self.parts:
            if isinstance(part, int):
                text += f"[{part}]"
            else:
                text += f".{part}" if re.fullmatch(r"[A-Za-z_]\w*", part) else f'["{part}"]'
        return text


@dataclass(frozen=True, slots=True)
class Cost:
    """How deep loops stand in each other, and how many `+` join values: anywhere, and in what a loop goes over."""

    nesting: int
    additions: int
    range_additions: int


@dataclass(frozen=True, slots=True)
class Source:
    """An expression read: its CEL text, the paths in it, and what bounds its cost."""

    cel: str
    paths: tuple[MemberPath, ...]
    whole: MemberPath | None
    cost: Cost


def tokens(text: str, start: int = 0) -> Iterator[Token]:
    """The words of the text from `start` on, without the spaces; raises ExpressionError at a character that is none."""
    position = start
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ExpressionError.syntax(text, position, f"unexpected {text[position]!r}")
        if match.lastgroup != "space":
            yield Token(str(match.lastgroup), match.group(), position)
        position = match.end()


def read(text: str, aliases: Mapping[str, str]) -> Source:
    """Read one expression; `aliases` are short names of longer paths (`channel` for `input.channel`)."""
    if len(text) > MAX_LENGTH:
        raise ExpressionError.syntax(text, MAX_LENGTH, f"an expression has at most {MAX_LENGTH} characters")
    words = list(tokens(text))
    if not words:
        raise ExpressionError.syntax(text, 0, "the expression is empty")
    cost = _cost(text, words)
    bound = _loop_variables(words)
    paths: list[MemberPath] = []
    cel, end = "", 0
    whole: MemberPath | None = None
    for index, word in enumerate(words):
        cel += text[end : word.start] + _spelled(words, index, aliases, bound)
        end = word.start + len(word.text)
        if _starts_path(words, index, bound):
            path, used = _path(words, index, aliases)
            paths.append(path)
            whole = path if index == 0 and used == len(words) else whole
    return Source(cel + text[end:], tuple(paths), whole, cost)


def _cost(text: str, words: list[Token]) -> Cost:
    """What bounds the cost; raises when brackets do not pair, or beyond the limits."""
    opened: list[tuple[str, bool]] = []
    loops = deepest = additions = outside = 0
    for index, word in enumerate(words):
        nesting = sum(is_loop for _, is_loop in opened)
        if word.kind == "sign" and word.text in _OPEN:
            loop = word.text == "(" and index > 1 and words[index - 1].text in LOOPS and words[index - 2].text == "."
            loops += loop
            opened.append((_OPEN[word.text], loop))
            deepest = max(deepest, nesting + loop)
            if len(opened) > MAX_NESTING:
                raise ExpressionError.syntax(text, word.start, f"more than {MAX_NESTING} brackets inside each other")
        elif word.kind == "sign" and word.text in ")]}" and (not opened or opened.pop()[0] != word.text):
            raise ExpressionError.syntax(text, word.start, f"{word.text!r} closes nothing")
        elif word.text == "+":
            additions += 1
            outside += not nesting
    if loops > MAX_LOOPS or deepest > MAX_LOOP_NESTING:
        raise ExpressionError(
            "EXPRESSION_INVALID",
            f"an expression has at most {MAX_LOOPS} loops, {MAX_LOOP_NESTING} inside each other",
            fix="do this in a code action",
        )
    return Cost(deepest, additions, outside if loops == 1 else additions)


def _loop_variables(words: list[Token]) -> frozenset[str]:
    return frozenset(
        words[index + 3].text
        for index in range(len(words) - 4)
        if words[index].text == "."
        and words[index + 1].text in LOOPS
        and words[index + 2].text == "("
        and words[index + 3].kind == "name"
        and words[index + 4].text == ","
    )


def _starts_path(words: list[Token], index: int, bound: frozenset[str]) -> bool:
    word = words[index]
    after_dot = index > 0 and words[index - 1].text == "."
    called = index + 1 < len(words) and words[index + 1].text == "("
    return word.kind == "name" and not after_dot and not called and word.text not in _LITERALS | bound


def _path(words: list[Token], index: int, aliases: Mapping[str, str]) -> tuple[MemberPath, int]:
    """The path that starts at this word, and the index after its last word."""
    start = words[index].start
    root, *first = aliases.get(words[index].text, words[index].text).split(".")
    parts: list[str | int] = list(first)
    index += 1
    while index + 1 < len(words):
        sign, word = words[index].text, words[index + 1]
        following = words[index + 2].text if index + 2 < len(words) else ""
        if sign == "." and word.kind in {"name", "quoted"} and following != "(":
            parts.append(word.text.strip("`"))
            index += 2
        elif sign == "[" and following == "]" and word.kind == "number" and word.text.isdigit():
            parts.append(int(word.text[:9]))
            index += 3
        elif (
            sign == "[" and following == "]" and word.kind == "text" and word.text[0] in "\"'" and "\\" not in word.text
        ):
            parts.append(word.text[1:-1])
            index += 3
        else:
            break
    return MemberPath(root, tuple(parts), start), index


def _spelled(words: list[Token], index: int, aliases: Mapping[str, str], bound: frozenset[str]) -> str:
    word = words[index]
    if word.kind == "sign":
        return _SPELLINGS.get(word.text, word.text)
    if word.kind == "name" and index > 0 and words[index - 1].text == ".":
        if word.text == "includes" and index + 1 < len(words) and words[index + 1].text == "(":
            return "contains"
        return f"`{word.text}`" if word.text in CEL_WORDS else word.text
    if _starts_path(words, index, bound):
        return aliases.get(word.text, word.text)
    return word.text
