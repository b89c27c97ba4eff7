"""Secrets of one execution: handles outside the broker, values only inside a request, nothing in an answer."""

import base64
import json
import re
import secrets
from collections.abc import Callable, Mapping
from functools import cached_property
from urllib.parse import quote, quote_plus, unquote

# Both spellings of a handle: as written, and as it looks after percent-encoding in a query or a form.
_HANDLE = re.compile(r"secret(?:://|%3[Aa]%2[Ff]%2[Ff])(?P<key>[A-Za-z0-9_.-]+)(?:#|%23)(?P<nonce>[0-9a-f]{32})")

# Shorter values would be found by chance in any text, and every answer would come back full of holes.
MIN_SCRUBBED = 4
MIN_BASE64_SCRUBBED = 8

_URL_SAFE = bytes.maketrans(b"+/", b"-_")


class Secrets:
    """Values by key, and the handles that stand for them during one execution.

    A handle carries a random nonce of this execution, so text that only looks like one stays text.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)
        self._nonce = secrets.token_hex(16)
        self.handles: dict[str, str] = {key: f"secret://{key}#{self._nonce}" for key in values}

    def __repr__(self) -> str:
        return f"Secrets({', '.join(self._values)})"

    def has_handle(self, text: str) -> bool:
        """True when `text` holds a handle of this execution, also when it is percent-encoded."""
        return any(self._value(match) is not None for match in _HANDLE.finditer(unquote(text)))

    def fill(self, text: str) -> str:
        """The text with each handle replaced by its value as it is."""
        return self._fill(text, str)

    def fill_query(self, text: str) -> str:
        """The query with each handle replaced by its value, percent-encoded so that it stays one value."""
        return self._fill(text, lambda value: quote(value, safe=""))

    def fill_body(self, text: str, content_type: str) -> str:
        """The body with each handle replaced by its value, escaped as JSON or form data where the type says so."""
        media_type = content_type.partition(";")[0].strip().lower()
        if media_type == "application/json" or media_type.endswith("+json"):
            return self._fill(text, lambda value: json.dumps(value)[1:-1])
        if media_type == "application/x-www-form-urlencoded":
            return self._fill(text, quote_plus)
        return self.fill(text)

    def scrub(self, data: bytes) -> bytes:
        """The bytes with every value (plain, escaped for JSON, percent-encoded, base64) replaced by its key's name."""
        for form, key in self._forms:
            if form in data:
                data = data.replace(form, b"[secret %s]" % key.encode())
        return data

    def _fill(self, text: str, encode: Callable[[str], str]) -> str:
        def value(match: re.Match[str]) -> str:
            found = self._value(match)
            return match[0] if found is None else encode(found)

        return _HANDLE.sub(value, text) if "secret" in text else text

    def _value(self, match: re.Match[str]) -> str | None:
        return self._values.get(match["key"]) if match["nonce"] == self._nonce else None

    @cached_property
    def _forms(self) -> list[tuple[bytes, str]]:
        """What a value may look like in an answer, longest first, with the key that it belongs to."""
        forms = {
            form: key for key, value in self._values.items() if len(value) >= MIN_SCRUBBED for form in _spellings(value)
        }
        return sorted(forms.items(), key=lambda item: len(item[0]), reverse=True)


def _spellings(value: str) -> set[bytes]:
    plain = {value, quote(value), quote(value, safe=""), quote_plus(value)}
    escaped = {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
    return {text.encode() for text in plain | escaped} | _base64_spellings(value.encode())


def _base64_spellings(raw: bytes) -> set[bytes]:
    """The base64 of `raw` at each of the three places where it can stand among other bytes, e.g. after `user:`."""
    found = set()
    for lead, mixed in ((0, 0), (1, 2), (2, 3)):  # the first `mixed` characters depend on the bytes before
        core = base64.b64encode(bytes(lead) + raw)[mixed : (lead + len(raw)) * 8 // 6]
        if len(core) >= MIN_BASE64_SCRUBBED:
            found |= {core, core.translate(_URL_SAFE)}
    return found
