"""The pages of a list: which request comes next, and when there is none, within a number of pages and of items."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self
from urllib.parse import quote, unquote_plus, urlencode, urljoin, urlsplit, urlunsplit

from hardpoint_executor.broker.fetch import FetchRequest
from hardpoint_executor.runners.http.outputs import type_name
from hardpoint_kit.errors import ActionFailed
from hardpoint_manifest.expression import Expression, ExpressionError, Scope, compile
from hardpoint_manifest.model import Pagination

Variables = Mapping[str, Any]
Ask = Callable[[FetchRequest], Awaitable[Variables]]
"""Makes one request, and gives what expressions may say about its answer."""

_LINK = re.compile(r"<([^<>]*)>([^<>]*)")
_RELATIONS = re.compile(r";\s*rel\s*=\s*(?:\"([^\"]*)\"|([A-Za-z]+))", re.IGNORECASE)
"""Nothing in it can be tried in two ways: an upstream writes these headers."""


@dataclass(frozen=True, slots=True)
class PagePlan:
    """How one list is read to its end."""

    by: Pagination
    items: Expression
    cursor: Expression | None

    @classmethod
    def compile(cls, by: Pagination, scope: Scope) -> Self:
        """Compile the expressions about a page; raises ExpressionError."""
        return cls(by, compile(by.items, scope), compile(by.cursor, scope) if by.cursor else None)

    async def collect(
        self, ask: Ask, request: FetchRequest, has_secret: Callable[[str], bool], room: Callable[[], bool]
    ) -> Variables:
        """What the last page says, with the `items` of all, and whether there are `more`.

        `room` says whether another request may be made. Raises ActionFailed, and what `ask` raises.
        """
        first = request if self.by.kind != "page" else _with(request, self.by.parameter, str(self.by.first))
        asked, items = first, []
        for number in range(1, self.by.max_pages + 1):
            variables = await ask(asked)
            page = self._items(variables)
            items += page
            following = self._next(first, asked, page, number, variables, has_secret)
            if following is None or len(items) >= self.by.max_items or number == self.by.max_pages or not room():
                break
            asked = following
        more = following is not None or len(items) > self.by.max_items
        return {**variables, "items": items[: self.by.max_items], "more": more}

    def _items(self, variables: Variables) -> list[Any]:
        try:
            page = self.items.evaluate(variables)
        except ExpressionError as error:
            raise _odd(f"the answer has no {error.place or self.items.text}", "MAPPING_MISSING") from None
        if not isinstance(page, list):
            raise _odd(f"{self.items.text} is {type_name(page)}, and a page is a list", "TYPE_MISMATCH")
        return page

    def _next(
        self,
        first: FetchRequest,
        asked: FetchRequest,
        page: list[Any],
        number: int,
        variables: Variables,
        has_secret: Callable[[str], bool],
    ) -> FetchRequest | None:
        """The request of the page after this one, or None after the last."""
        if self.by.kind == "page":
            return _with(first, self.by.parameter, str(self.by.first + number)) if page else None
        if self.by.kind == "link":
            link = _next_link(str(variables["headers"].get("link", "")))
            return None if link is None else _followed(first, asked, link, has_secret)
        try:
            cursor = self.cursor.evaluate(variables) if self.cursor else None
        except ExpressionError:
            return None  # what is not there ends the list
        if cursor is None or cursor == "":
            return None
        if isinstance(cursor, bool) or not isinstance(cursor, str | int):
            raise _odd(f"{self.by.cursor} is {type_name(cursor)}, and a cursor is a text or a number", "TYPE_MISMATCH")
        return _with(first, self.by.parameter, str(cursor))


def _with(request: FetchRequest, name: str, value: str) -> FetchRequest:
    """The request with a query parameter in place of the one of that name."""
    kept = [pair for pair in _pairs(request.url) if _name(pair) != name]
    return _asking(request, [*kept, urlencode({name: value}, quote_via=quote, safe="")])


def _followed(first: FetchRequest, asked: FetchRequest, link: str, has_secret: Callable[[str], bool]) -> FetchRequest:
    """The request that a link leads to, on the same host; a secret of the first one's query is sent again.

    The upstream's own copy of that secret was cut out of its answer.
    """
    here = urlsplit(first.url)
    try:
        there = urlsplit(urljoin(asked.url, link))
        same = (here.scheme, here.netloc.lower()) == (there.scheme, there.netloc.lower())
    except ValueError:
        same = False
    if not same:
        raise ActionFailed(
            f"the next page is not at {here.scheme}://{here.netloc}, where the list is",
            reason="REDIRECT_REFUSED",
            fix="nothing was sent there; ask the service why it leads away from itself",
        )
    secret = [pair for pair in _pairs(first.url) if has_secret(pair)]
    names = {_name(pair) for pair in secret}
    following = replace(first, url=urlunsplit(there._replace(fragment="")))
    return _asking(following, [*(pair for pair in _pairs(following.url) if _name(pair) not in names), *secret])


def _next_link(header: str) -> str | None:
    """The target of the relation `next` (RFC 8288), or None."""
    return next((match[1].strip() for match in _LINK.finditer(header) if _is_next(match[2])), None)


def _is_next(parameters: str) -> bool:
    return any("next" in f"{quoted} {bare}".lower().split() for quoted, bare in _RELATIONS.findall(parameters))


def _pairs(url: str) -> list[str]:
    return [pair for pair in url.partition("?")[2].split("&") if pair]


def _name(pair: str) -> str:
    return unquote_plus(pair.partition("=")[0])


def _asking(request: FetchRequest, pairs: list[str]) -> FetchRequest:
    return replace(request, url="?".join(filter(None, (request.url.partition("?")[0], "&".join(pairs)))))


def _odd(message: str, reason: str) -> ActionFailed:
    return ActionFailed(message, reason=reason, place="pagination", fix="correct `pagination` in the capability's file")
