"""Owns which part of a list is asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from hardpoint_kit.paging import Page, PageToken, page_size

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Window:
    """The `size` items after the one whose key is `after`; `query` is the fingerprint of the list it belongs to."""

    size: int
    after: str
    query: str

    @classmethod
    def of(cls, size: int, token: str, query: str) -> "Window":
        """Read what a list request asks for; raises InvalidArgument."""
        (after,) = PageToken.decode(token, query, str) or ("",)
        return cls(page_size(size), after, query)

    @property
    def limit(self) -> int:
        """How many items to read: one more than are shown says whether a page follows."""
        return self.size + 1

    def page(self, items: Sequence[T], key: Callable[[T], str]) -> Page[T]:
        """Cut what was read to a page."""
        shown = tuple(items[: self.size])
        more = len(items) > self.size
        return Page(shown, PageToken.encode(self.query, (key(shown[-1]),)) if more else "")
