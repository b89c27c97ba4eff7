"""From an input to a request: no value leaves its place in the URL, in a header or in the body."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote, quote_plus, unquote, urlencode

from hardpoint_executor.broker.fetch import FetchRequest
from hardpoint_executor.runners.http import basic
from hardpoint_kit.errors import InvalidArgument
from hardpoint_manifest.expression import Budget, Expression, ExpressionError, Scope, Structure, Template, as_text
from hardpoint_manifest.model import Body, HttpCall

Variables = Mapping[str, Any]
Parts = tuple[str | Expression, ...]

_CONTENT_TYPES = {
    "json": "application/json",
    "form": "application/x-www-form-urlencoded",
    "raw": "text/plain; charset=utf-8",
}
_STEPS = {".", ".."}


@dataclass(frozen=True, slots=True)
class RequestPlan:
    """A compiled request; `path` also holds scheme and host, which are fixed text."""

    method: str
    path: Parts
    url_query: Parts
    query: Structure
    headers: Structure
    body: "BodyPlan | None"
    timeout_seconds: float | None
    basic: bool = False
    """Whether it has a user's name and password."""

    @classmethod
    def compile(cls, call: HttpCall, scope: Scope) -> Self:
        """Compile the templates of a call; raises ExpressionError."""
        path, url_query = _split_at_query(Template.parse(call.url, scope).parts)
        headers = dict(call.headers)
        named = {name.lower() for name in headers}
        if "accept" not in named:
            headers["Accept"] = "application/json"
        if call.body is not None and "content-type" not in named:
            headers["Content-Type"] = _CONTENT_TYPES[call.body.kind]
        return cls(
            call.method,
            path,
            url_query,
            Structure.parse(call.query, scope),
            Structure.parse(headers, scope),
            None if call.body is None else BodyPlan.compile(call.body, scope),
            call.timeout_seconds,
            call.basic is not None and "authorization" not in named,
        )

    def render(self, variables: Variables) -> FetchRequest:
        """The request for these values, secrets still as handles; raises InvalidArgument naming the place."""
        place = "url"
        try:
            path = _below(_joined(self.path, variables, _path_value))
            query = [_joined(self.url_query, variables, _quoted)]
            place = "query"
            query.append(urlencode(list(_pairs(self.query.evaluate(variables))), quote_via=quote, safe=""))
            place = "headers"
            headers = {
                name: as_text(value, name)
                for name, value in self.headers.evaluate(variables).items()
                if value is not None
            }
            if self.basic:
                headers["Authorization"] = f"Basic {_basic(variables)}"
            place = "body"
            body = None if self.body is None else self.body.render(variables)
        except ExpressionError as error:
            raise InvalidArgument(
                f"{place}: {error.message}", reason="EXPRESSION_FAILED", place=place, fix=error.fix
            ) from None
        url = "?".join(filter(None, (path, "&".join(filter(None, query)))))
        return FetchRequest(self.method, url, headers, body, self.timeout_seconds)


@dataclass(frozen=True, slots=True)
class BodyPlan:
    """A compiled body: JSON and form data are structures, raw is one text."""

    kind: str
    content: Structure

    @classmethod
    def compile(cls, body: Body, scope: Scope) -> Self:
        """Compile the templates of a body; raises ExpressionError, and ValueError when the kind does not fit."""
        wanted = {"form": dict, "raw": str}.get(body.kind, object)
        if not isinstance(body.content, wanted):
            raise ValueError(f"a {body.kind} body is not {type(body.content).__name__}")
        return cls(body.kind, Structure.parse(body.content, scope))

    def render(self, variables: Variables) -> str:
        """The text of the body."""
        content = self.content.evaluate(variables)
        if self.kind == "json":
            return json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        if self.kind == "form":
            return urlencode(list(_pairs(content)), quote_via=quote_plus)
        return "" if content is None else as_text(content)


def _split_at_query(parts: Parts) -> tuple[Parts, Parts]:
    for index, part in enumerate(parts):
        if isinstance(part, str) and "?" in part:
            before, _, after = part.partition("?")
            return (*parts[:index], before), (after, *parts[index + 1 :])
    return parts, ()


def _joined(parts: Parts, variables: Variables, encode: Callable[[str], str]) -> str:
    budget, texts = Budget(), []
    for part in parts:
        text = part if isinstance(part, str) else as_text(part.evaluate(variables, budget), part.text)
        budget.made.take(text)
        texts.append(text if isinstance(part, str) else encode(text))
    return "".join(texts)


def _path_value(text: str) -> str:
    """One value inside one segment."""
    if not text:
        raise ExpressionError("EXPRESSION_FAILED", "an empty value would change the path of the URL")
    return _quoted(text)


def _below(path: str) -> str:
    """The path, which no value may climb in; servers that decode `%2F` early must find no step in it either."""
    if not _STEPS.isdisjoint(unquote(path).replace("\\", "/").split("/")):
        raise ExpressionError("EXPRESSION_FAILED", "a value would climb in the path of the URL")
    return path


def _basic(variables: Variables) -> str:
    if basic.KEY not in variables:
        message = "the user name or the password has no value, or the name holds a colon"
        raise ExpressionError("EXPRESSION_FAILED", message, fix="set both; a colon ends the name")
    return str(variables[basic.KEY])


def _quoted(text: str) -> str:
    return quote(text, safe="")


def _pairs(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Names and texts as they are sent: a list repeats its name, null is left out."""
    for name, value in values.items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, Mapping | list):
                raise ExpressionError("EXPRESSION_FAILED", f"{name} is not a single value or a list of them", name)
            if item is not None:
                yield name, as_text(item, name)
