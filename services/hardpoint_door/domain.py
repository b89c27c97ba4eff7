"""Owns what of a request goes on to the runtime: a body that is not too large, and the headers that say who sent it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from hardpoint_manifest.headers import is_senders

MAX_BODY_BYTES: Final = 1 << 20
MOST_HEADERS: Final = 40
LONGEST_HEADER: Final = 4096


class Unreadable(Exception):
    """The request is none that a sender of webhooks makes; `status` is what to answer."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True, slots=True)
class Said:
    """What to answer; `retry_after` in seconds, 0 when it is not said."""

    status: int
    body: bytes = b""
    content_type: str = ""
    retry_after: int = 0


def passed_on(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """The headers that go on, names in small letters.

    Raises Unreadable for one that comes twice, since two readers could each believe another one, and for too many.
    """
    found: dict[str, str] = {}
    for raw, value in headers:
        name = raw.decode("latin-1").lower()
        if name != "content-type" and not is_senders(name):
            continue
        if name in found or len(value) > LONGEST_HEADER or len(found) >= MOST_HEADERS or not value.isascii():
            raise Unreadable(400)
        found[name] = value.decode("ascii")
    return found
