"""The code of inner actions as modules, such as a jail runs: what an author wrote is the body of one function."""

import io
import tokenize
from collections.abc import Iterator
from typing import Final

from hardpoint_manifest.model import Code

FUNCTION: Final = "run"
"""The one action of such a module."""
BODY_LINE: Final = 3
"""The line of the module in which the author's first one stands, from 1."""

_PYTHON: Final = """\
import hardpoint_sdk; hardpoint_sdk.capability(id="inner")
async def run(self, input):
{body}
hardpoint_sdk.action(run)
"""
_JAVASCRIPT: Final = """\
export default {{ id: 'inner', actions: {{
async run(input) {{
{body}
}} }} }};
"""
_OPENS: Final = frozenset({"FSTRING_START", "TSTRING_START"})
_CLOSES: Final = frozenset({"FSTRING_END", "TSTRING_END"})


def module(code: Code) -> str:
    """The source of a module whose one action is this code; lines stay lines."""
    if code.language == "javascript":
        return _JAVASCRIPT.format(body=code.body)
    inside = _inside_texts(code.body)
    lines = code.body.split("\n")
    return _PYTHON.format(body="\n".join(_indented(line, at in inside) for at, line in enumerate(lines, start=1)))


def _indented(line: str, inside: bool) -> str:
    return line if inside or not line.strip() else f" {line}"


def _inside_texts(body: str) -> frozenset[int]:
    """The lines that begin inside a text of several lines, which must stay as it is."""
    try:
        return frozenset(line for first, last in _texts(body) for line in range(first + 1, last + 1))
    except (tokenize.TokenError, SyntaxError):
        return frozenset()  # the jail says what is wrong with it


def _texts(body: str) -> Iterator[tuple[int, int]]:
    opened: list[int] = []
    for part in tokenize.generate_tokens(io.StringIO(body).readline):
        kind = tokenize.tok_name[part.type]
        if kind == "STRING":
            yield part.start[0], part.end[0]
        elif kind in _OPENS:
            opened.append(part.start[0])
        elif kind in _CLOSES:
            yield opened.pop(), part.end[0]
