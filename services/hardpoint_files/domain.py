"""Owns the nouns of stored files and their rules: names that are data, bounds, what an execution may; pure."""

import base64
import secrets
import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta

from hardpoint_kit.errors import InvalidArgument, NotFound, OutOfRange
from hardpoint_kit.names import FileName

MOST_BYTES = 32 * 1024 * 1024
"""Of one file."""
LONGEST_NAME = 200

# What is not shown, or changes the order in which the rest is: a name must read as what it is.
_UNSEEN = frozenset({"Cc", "Cs", "Co", "Cn", "Zl", "Zp"})
_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True, slots=True)
class Quota:
    """How many files an org may keep, and how many bytes they may have together."""

    files: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Announced:
    """What is said of bytes before they come: their name, the type they are said to have, size and digest."""

    display_name: str
    declared_type: str
    digest: str
    size_bytes: int

    def __post_init__(self) -> None:
        check_name(self.display_name)
        if self.size_bytes > MOST_BYTES:
            raise OutOfRange(
                f"{self.size_bytes:,} bytes are announced; a file has at most {MOST_BYTES:,}",
                reason="FILE_TOO_LARGE",
                place="header.size_bytes",
                fix="split the file, or compress it",
                limit_bytes=MOST_BYTES,
            )


@dataclass(frozen=True, slots=True)
class File:
    """A file of an org; `run` is the resource name of the run that saved it, empty when it was uploaded.

    `execution` is what it is counted for then. Times are UTC; without `expire_time` it stays until it is deleted.
    """

    name: FileName
    display_name: str
    type: str
    digest: str
    size_bytes: int
    creator: str
    create_time: datetime
    run: str = ""
    execution: str = ""
    expire_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Expired:
    """What is known of a file that is kept no longer: since when, and which execution saved it."""

    name: FileName
    execution: str
    expire_time: datetime

    def error(self) -> NotFound:
        """How whoever asks for it hears of that."""
        since = self.expire_time.isoformat().replace("+00:00", "Z")
        return NotFound(
            "file",
            self.name,
            message=f'file "{self.name}" expired at {since}',
            reason="FILE_EXPIRED",
            fix="have it made again, and kept for longer where it is needed later",
            expire_time=since,
        )


def whole_second(moment: datetime) -> datetime:
    """The moment, or the next one that has no part of a second: people and handles show it."""
    return moment + timedelta(microseconds=-moment.microsecond % 1_000_000)


def new_name(org: str) -> FileName:
    """A name that nobody can guess: 128 random bits."""
    return FileName(org, base64.b32encode(secrets.token_bytes(16)).decode().rstrip("=").lower())


def check_name(text: str) -> None:
    """Refuse what cannot be the name of a file anywhere; raises InvalidArgument FILE_NAME_INVALID."""
    problem = _problem(text)
    if problem:
        raise InvalidArgument(
            {"header.display_name": problem},
            reason="FILE_NAME_INVALID",
            fix='use a name such as "invoice.pdf", without its folder',
        )


def _problem(text: str) -> str:
    if not text or len(text) > LONGEST_NAME:
        return f"a file's name has 1 to {LONGEST_NAME} characters"
    if "/" in text or "\\" in text or text in (".", ".."):
        return "a file's name holds no path"
    if any(unicodedata.category(letter) in _UNSEEN or letter in _TURNING for letter in text):
        return "a file's name holds no control characters"
    if text != text.strip():
        return "a file's name neither begins nor ends with a space"
    return ""
