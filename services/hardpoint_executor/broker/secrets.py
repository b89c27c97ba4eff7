"""Secrets of one execution: handles outside the broker, values only inside a request, nothing in an answer."""

import base64
import json
import re
import secrets
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any
from urllib.parse import quote, quote_plus, unquote

# Both spellings of a handle: as written, and as it looks after percent-encoding in a query or a form.
_HANDLE = re.compile(r"secret(?:://|%3[Aa]%2[Ff]%2[Ff])(?P<key>[A-Za-z0-9_.-]+)(?:#|%23)(?P<nonce>[0-9a-f]{32})")

# Shorter values would be found by chance in any text, and every answer would come back full of holes.
MIN_SCRUBBED = 4


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

    def scrub(self, text: str) -> str:
        """The text with every value, plain, percent-encoded or in base64, replaced by the name of its key."""
        if self._forms is not None:
            return self._forms.sub(self._name_of, text)
        return text

    def _fill(self, text: str, encode: Callable[[str], str]) -> str:
        def value(match: re.Match[str]) -> str:
            found = self._value(match)
            return match[0] if found is None else encode(found)

        return _HANDLE.sub(value, text) if "secret" in text else text

    def _value(self, match: re.Match[str]) -> str | None:
        return self._values.get(match["key"]) if match["nonce"] == self._nonce else None

    @cached_property
    def _keys_by_form(self) -> dict[str, str]:
        return {
            form: key
            for key, value in self._values.items()
            if len(value) >= MIN_SCRUBBED
            for form in _forms(value)
        }

    @cached_property
    def _forms(self) -> re.Pattern[str] | None:
        longest_first = sorted(self._keys_by_form, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def _name_of(self, match: re.Match[str]) -> str:
        return f"[secret {self._keys_by_form[match[0]]}]"
