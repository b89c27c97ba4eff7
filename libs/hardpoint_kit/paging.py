"""Owns list paging: tokens that belong to one query, and the size of a page."""

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from hardpoint_kit.errors import InvalidArgument

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some of a list, in order; `next_page_token` is empty on the last page."""

    items: tuple[T, ...]
    next_page_token: str = ""


class PageToken:
    """Where the next page of one query starts, as text that means nothing to the caller."""

    @staticmethod
    def encode(fingerprint: str, cursor: Sequence[str | int]) -> str:
        """Write the sort key of the last item shown (`cursor`) for the query with this fingerprint."""
        return base64.urlsafe_b64encode(json.dumps([fingerprint, *cursor]).encode()).decode().rstrip("=")

    @staticmethod
    def decode(token: str, fingerprint: str, *shape: type[str] | type[int]) -> Any:
        """Read the cursor back, None for the first page: a tuple of the types in `shape`, fit for a query.

        Raises InvalidArgument PAGE_TOKEN_MISMATCH for a token of another query or of nobody.
        """
        if not token:
            return None
        try:
            parts = json.loads(base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True))
        except (binascii.Error, ValueError, RecursionError):
            parts = None
        if not isinstance(parts, list) or not parts or not isinstance(parts[0], str):
            raise _mismatch("is not a page token of ours")
        if parts[0] != fingerprint:
            raise _mismatch("belongs to a list with other parameters")
        cursor = tuple(parts[1:])
        if [type(part) for part in cursor] != list(shape) or not all(map(_fits, cursor)):
            raise _mismatch("is not a page token of ours")
        return cursor


def query_fingerprint(request: Message) -> str:
    """Tell a list request from all others, whichever page and page size it asks for."""
    return fingerprint(request, "page_token", "page_size")


def fingerprint(message: Message, *ignored: str) -> str:
    """Hash a message without the fields named in `ignored`."""
    copy = type(message)()
    copy.CopyFrom(message)
    for field in ignored:
        if field in copy.DESCRIPTOR.fields_by_name:
            copy.ClearField(field)
    text = copy.DESCRIPTOR.full_name.encode() + b"\0" + copy.SerializeToString(deterministic=True)
    return hashlib.sha256(text).hexdigest()[:32]


def page_size(requested: int, default: int = 50, maximum: int = 200) -> int:
    """Return how many items to show: `default` for 0, never above `maximum`; raises InvalidArgument below 0."""
    if requested < 0:
        raise InvalidArgument({"page_size": "must not be negative"})
    return min(requested or default, maximum)


def _fits(part: str | int) -> bool:
    """Whether the database can compare with it: no zero character, no more than 64 bits."""
    return "\0" not in part if isinstance(part, str) else abs(part) < 2**63


def _mismatch(problem: str) -> InvalidArgument:
    return InvalidArgument(
        {"page_token": problem},
        reason="PAGE_TOKEN_MISMATCH",
        fix="start again without page_token, or keep every other parameter as in the first request",
    )
