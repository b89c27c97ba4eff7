"""Owns what type bytes are of: found in the bytes themselves, whatever is declared; pure.

Nothing in a text says which kind of text it is, so among types of text the declared one counts, or the name's ending.
"""

import codecs
import mimetypes
import re
from pathlib import Path

import filetype

UNKNOWN = "application/octet-stream"
TEXT = "text/plain"
HEAD_BYTES = 64 * 1024
"""What is looked at: the beginning."""

_TEXTS = frozenset(
    {
        TEXT,
        "text/csv",
        "text/tab-separated-values",
        "text/markdown",
        "text/calendar",
        "text/vcard",
        "text/css",
        "text/xml",
        "application/xml",
        "application/json",
        "application/x-ndjson",
        "application/yaml",
        "application/toml",
        "application/sql",
        "message/rfc822",
    }
)
_SPELLINGS = {"text/x-csv": "text/csv", "text/json": "application/json", "application/x-yaml": "application/yaml"}
_ENDINGS = {
    ".md": "text/markdown",
    ".csv": "text/csv",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".toml": "application/toml",
    ".ndjson": "application/x-ndjson",
}
# Two letters at the beginning, with which a text may also begin.
_WEAK = frozenset({"image/bmp", "application/x-msdownload"})
_NOT_TEXT = re.compile(r"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
_SPACE = re.compile(r"\s*")
_XML = re.compile(r"<\?xml[^>]*>", re.IGNORECASE)
_MARKUP = re.compile(r"<(!doctype\s+html|html|head|body|script|svg)\b", re.IGNORECASE)


def type_of(head: bytes, declared: str, name: str) -> str:
    """The type of a file from its first `HEAD_BYTES`, what it is said to be, and its name."""
    text = _text(head)
    found: str = filetype.guess_mime(head) or ""
    if found and not (found in _WEAK and text is not None):
        return found
    if text is None:
        return UNKNOWN
    if markup := _MARKUP.match(text, _before_markup(text)):
        return "image/svg+xml" if markup[1].lower() == "svg" else "text/html"
    said = declared.partition(";")[0].strip().lower() or _by_ending(name)
    said = _SPELLINGS.get(said, said)
    return said if said in _TEXTS else TEXT


def _before_markup(text: str) -> int:
    """Where a text begins but for space, an XML declaration and comments; no place of it is looked at twice."""
    at = _past_space(text, 0)
    if declared := _XML.match(text, at):
        at = _past_space(text, declared.end())
    while text.startswith("<!--", at) and (end := text.find("-->", at + 4)) >= 0:
        at = _past_space(text, end + 3)
    return at


def _past_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _text(head: bytes) -> str | None:
    """The head as text, when it is one; a character that is cut at its end does not count against it."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head, final=len(head) < HEAD_BYTES)
    except UnicodeDecodeError:
        return None
    return None if _NOT_TEXT.search(text) else text


def _by_ending(name: str) -> str:
    return _ENDINGS.get(Path(name).suffix.lower()) or mimetypes.guess_type(name)[0] or ""
