"""Secrets of one execution: references inside the jail, values only in a request to a host that they are for.

Jailed code and templates hold `secret://KEY#nonce`. The nonce is random for each execution, so text that only looks
like a reference stays text, and a reference is worth nothing once the execution is over.
"""

import json
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, quote_plus, unquote, urlsplit

from hardpoint_executor.broker.declared import declaring
from hardpoint_executor.broker.denial import BrokerDenied, DenialCode
from hardpoint_executor.broker.policy import Target

# Both spellings of a handle: as written, and as it looks after percent-encoding in a query or a form.
_HANDLE = re.compile(r"secret(?:://|%3[Aa]%2[Ff]%2[Ff])(?P<key>[A-Za-z0-9_.-]+)(?:#|%23)(?P<nonce>[0-9a-f]{32})")


@dataclass(frozen=True, slots=True)
class Secret:
    """A value, the host rules that it may be sent to, and the JSON Pointer of its declaration.

    `no_text` is the key whose value is no text, where it is that or would be made of it; then it has no value here.
    """

    value: str = field(repr=False)
    hosts: frozenset[str]
    pointer: str = ""
    no_text: str = ""

    def text(self) -> str:
        """The value; raises BrokerDenied SETTING_INVALID for one that is no text."""
        if self.no_text:
            raise BrokerDenied(
                DenialCode.SETTING_INVALID,
                f"the value of the secret {self.no_text} is not text",
                f"give {self.no_text} a value that is text in UTF-8",
                setting=self.no_text,
            )
        return self.value


class Secrets:
    """Values by key, and the handles that stand for them during one execution."""

    def __init__(self, secrets_by_key: Mapping[str, Secret], nonce: str = "") -> None:
        self._secrets = dict(secrets_by_key)
        self._nonce = nonce or secrets.token_hex(16)
        self.handles: dict[str, str] = {key: f"secret://{key}#{self._nonce}" for key in secrets_by_key}

    def __repr__(self) -> str:
        return f"Secrets({', '.join(self._secrets)})"

    def value(self, key: str) -> str | None:
        """The value of a secret, for a service that the broker itself speaks to; raises as `Secret.text`."""
        found = self._secrets.get(key)
        return found.text() if found else None

    def has_handle(self, text: str) -> bool:
        """True when `text` holds a handle of this execution, also when it is percent-encoded."""
        return any(self._named(match) is not None for match in _HANDLE.finditer(unquote(text)))

    def named(self, text: str) -> str:
        """The text with the name of a secret in the place of each handle, which is another one in each execution."""
        if "secret" not in text:
            return text
        return _HANDLE.sub(lambda match: f"secret:{match['key']}" if self._named(match) else match[0], text)

    def fill(self, text: str, target: Target) -> str:
        """The text with each handle replaced by its value as it is. All fills raise BrokerDenied for a wrong host."""
        return self._fill(text, target, str)

    def fill_query(self, text: str, target: Target) -> str:
        """The query with each handle replaced by its value, percent-encoded so that it stays one value."""
        return self._fill(text, target, lambda value: quote(value, safe=""))

    def fill_body(self, text: str, content_type: str, target: Target) -> str:
        """The body with each handle replaced by its value, escaped as JSON or form data where the type says so."""
        media_type = content_type.partition(";")[0].strip().lower()
        if media_type == "application/json" or media_type.endswith("+json"):
            return self._fill(text, target, lambda value: json.dumps(value)[1:-1])
        if media_type == "application/x-www-form-urlencoded":
            return self._fill(text, target, quote_plus)
        return self.fill(text, target)

    def _fill(self, text: str, target: Target, encode: Callable[[str], str]) -> str:
        def value(match: re.Match[str]) -> str:
            found = self._named(match)
            if found is None:
                return match[0]
            if not target.within(found.hosts):
                raise _not_for(match["key"], found, target)
            return encode(found.text())

        return _HANDLE.sub(value, text) if "secret" in text else text

    def _named(self, match: re.Match[str]) -> Secret | None:
        return self._secrets.get(match["key"]) if match["nonce"] == self._nonce else None


def password_in(value: str) -> str:
    """The password of a URL such as `postgresql://user:password@host/database`, or nothing."""
    if "@" not in value:
        return ""
    try:
        return unquote(urlsplit(value).password or "")
    except ValueError:
        return ""


def _not_for(key: str, secret: Secret, target: Target) -> BrokerDenied:
    return BrokerDenied(
        DenialCode.SECRET_NOT_FOR_HOST,
        f"the secret {key} is not for host {target.rule}",
        f"send it to {' or '.join(sorted(secret.hosts)) or 'no host'}; only the author can declare another host for it",
        secret=key,
        host=target.rule,
        **declaring(f"{secret.pointer}/hosts", [*sorted(secret.hosts), target.rule]),
    )
