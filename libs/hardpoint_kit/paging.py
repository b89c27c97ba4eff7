"""Owns list paging: tokens that belong to one query, and the size of a page."""

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.message import Message

from hardpoint_kit.errors import InvalidArgument

T = TypeVar("T")
Cursor = tuple[str | int, ...]


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
    def decode(token: str, fingerprint: str) -> Cursor | None:
        """Read the cursor back, None for the first page; raises InvalidArgument PAGE_TOKEN_MISMATCH for a token of
        another query or of nobody."""
        if not token:
            return None
        try:
            parts = json.loads(base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True))
        except (binascii.Error, ValueError, RecursionError):
            parts = None
        if not isinstance(parts, list) or not all(type(part) in (str, int) for part in parts):
            raise _mismatch("is not a page token of ours")
        if parts[:1] != [fingerprint]:
            raise _mismatch("belongs to a list with other parameters")
        return tuple(parts[1:])


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


def _mismatch(problem: str) -> InvalidArgument:
    return InvalidArgument(
        {"page_token": problem},
        reason="PAGE_TOKEN_MISMATCH",
        fix="start again without page_token, or keep every other parameter as in the first request",
    )
