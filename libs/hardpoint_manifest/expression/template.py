"""Templates: texts with `${...}` or `{{...}}` in them, and structures of such texts.

A text that is one placeholder keeps the type of its value; a placeholder inside a text becomes text. What a value
contains is never read as a template again.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Self
from urllib.parse import quote, urlsplit

from hardpoint_manifest.expression.budget import Budget
from hardpoint_manifest.expression.compiled import Expression, compile
from hardpoint_manifest.expression.errors import ExpressionError
from hardpoint_manifest.expression.scope import Scope
from hardpoint_manifest.expression.tokens import tokens

MAX_LENGTH: Final = 64 * 1024
MAX_EXPRESSIONS: Final = 200
_OPENINGS: Final = {"${": "}", "{{": "}}"}


@dataclass(frozen=True, slots=True)
class Template:
    """A text, cut into what stands as it is and the expressions between."""

    text: str
    parts: tuple[str | Expression, ...]

    @classmethod
    def parse(cls, text: str, scope: Scope) -> Self:
        """Read a template; raises ExpressionError with the position in it."""
        if len(text) > MAX_LENGTH:
            raise ExpressionError("EXPRESSION_INVALID", f"a template has at most {MAX_LENGTH} characters")
        parts = tuple(islice(_parts(text, scope), 2 * MAX_EXPRESSIONS + 1))
        if sum(isinstance(part, Expression) for part in parts) > MAX_EXPRESSIONS or len(parts) > 2 * MAX_EXPRESSIONS:
            raise ExpressionError("EXPRESSION_INVALID", f"a template holds at most {MAX_EXPRESSIONS} expressions")
        return cls(text, parts)

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """The expressions in it, in order."""
        return tuple(part for part in self.parts if isinstance(part, Expression))

    @property
    def whole(self) -> Expression | None:
        """The one expression that is the whole text, or None."""
        return self.parts[0] if len(self.parts) == 1 and isinstance(self.parts[0], Expression) else None

    def evaluate(
        self, variables: Mapping[str, Any], encode: Callable[[str], str] = str, budget: Budget | None = None
    ) -> Any:
        """The value of a whole placeholder, or the text with every value in it passed through `encode`.

        Raises ExpressionError, also for a text that is too long.
        """
        budget = budget or Budget()
        if self.whole is not None:
            return self.whole.evaluate(variables, budget)
        texts = []
        for part in self.parts:
            text = part if isinstance(part, str) else as_text(part.evaluate(variables, budget), part.text, budget)
            budget.made.take(text, self.text)
            texts.append(text if isinstance(part, str) else encode(text))
        return "".join(texts)

    def evaluate_url(self, variables: Mapping[str, Any]) -> str:
        """The text as a URL: values are percent-encoded, and none may step out of its place in the path."""
        url = str(self.evaluate(variables, lambda text: quote(text, safe="")))
        if any(segment in {".", ".."} for segment in urlsplit(url).path.split("/")):
            raise ExpressionError("EXPRESSION_FAILED", "a value would change the path of the URL", self.text)
        return url


@dataclass(frozen=True, slots=True)
class Structure:
    """A JSON value whose texts are templates; keys are as they stand."""

    content: Any

    @classmethod
    def parse(cls, value: Any, scope: Scope) -> Self:
        """Read a value; raises ExpressionError at the first text that is no template."""
        return cls(_map(value, lambda text: Template.parse(text, scope)))

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """The expressions in all of it, in order."""
        return tuple(one for template in _templates(self.content) for one in template.expressions)

    def evaluate(self, variables: Mapping[str, Any], budget: Budget | None = None) -> Any:
        """The value filled in; an entry that is an optional value which was not given is left out.

        Raises ExpressionError, also for a value that is too large to be written out.
        """
        budget = budget or Budget()
        filled = _fill(self.content, variables, budget)
        budget.write_out(filled)
        return filled


def as_text(value: Any, place: str = "", budget: Budget | None = None) -> str:
    """A value as it appears inside a text: a text as it is, else JSON; raises ExpressionError for null and too much."""
    if value is None:
        raise ExpressionError("EXPRESSION_FAILED", f"{place or 'a value'} is null, which has no text", place)
    if isinstance(value, str):
        return value
    (budget or Budget()).write_out(value, place)
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except RecursionError:
        raise ExpressionError("EXPRESSION_FAILED", f"{place or 'a value'} is nested too deeply", place) from None


def _parts(text: str, scope: Scope) -> Iterator[str | Expression]:
    position = 0
    while position < len(text):
        starts = [at for at in (text.find(opening, position) for opening in _OPENINGS) if at >= 0]
        if not starts:
            break
        start = min(starts)
        if start > position:
            yield text[position:start]
        end, position = _end(text, start)
        yield compile(text[start + 2 : end].strip(), scope)
    if position < len(text) or not text:
        yield text[position:]


def _end(text: str, start: int) -> tuple[int, int]:
    """Where the expression of the placeholder ends, and where the text goes on; braces inside it must pair."""
    closing = _OPENINGS[text[start : start + 2]]
    depth = 0
    for word in tokens(text, start + 2):
        if word.text == "}" and depth == 0:
            if text.startswith(closing, word.start):
                return word.start, word.start + len(closing)
            break
        depth += (word.text == "{") - (word.text == "}")
    raise ExpressionError.syntax(text, start, f"{text[start : start + 2]!r} is not closed")


def _map(value: Any, change: Callable[[str], Template]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _map(part, change) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_map(part, change) for part in value]
    return value


def _templates(value: Any) -> Iterator[Template]:
    if isinstance(value, Template):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _templates(part)


def _fill(value: Any, variables: Mapping[str, Any], budget: Budget) -> Any:
    if isinstance(value, Template):
        return value.evaluate(variables, budget=budget)
    if isinstance(value, dict):
        return {key: _fill(part, variables, budget) for key, part in value.items() if not _is_absent(part, variables)}
    if isinstance(value, list):
        return [_fill(part, variables, budget) for part in value if not _is_absent(part, variables)]
    return value


def _is_absent(value: Any, variables: Mapping[str, Any]) -> bool:
    return isinstance(value, Template) and value.whole is not None and value.whole.is_absent(variables)
