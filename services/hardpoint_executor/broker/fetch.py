"""The words of the service `fetch`: what is asked, what is answered, and both as the JSON of a jail's frame."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hardpoint_executor.broker.denial import BrokerDenied, DenialCode


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """One HTTP request before any check; URL query, header values and body may hold secret handles."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    timeout_seconds: float | None = None

    @classmethod
    def from_arguments(cls, method: str, arguments: Mapping[str, Any]) -> "FetchRequest":
        """Read `{url, headers, body}` as jailed code sent it; a body that is not text is sent as JSON."""
        url, headers, body = arguments.get("url"), arguments.get("headers") or {}, arguments.get("body")
        if not isinstance(url, str):
            raise BrokerDenied(DenialCode.INVALID_ARGUMENT, "fetch needs a URL that is text", "pass the URL first")
        if not isinstance(headers, Mapping) or not all(isinstance(value, str) for value in headers.values()):
            raise BrokerDenied(
                DenialCode.INVALID_ARGUMENT, "headers must be an object of texts", 'use {"accept": "text/plain"}'
            )
        if body is not None and not isinstance(body, str):
            body = json.dumps(body)
            if not any(name.lower() == "content-type" for name in headers):
                headers = {**headers, "content-type": "application/json"}
        return cls(method, url, headers, body)

    @property
    def content_type(self) -> str:
        """The value of the content-type header, or nothing."""
        return next((value for name, value in self.headers.items() if name.lower() == "content-type"), "")


@dataclass(frozen=True, slots=True)
class FetchResponse:
    """The answer that a call ended with; header names are in small letters, secrets are blotted out."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def to_json(self) -> dict[str, Any]:
        """The answer for jailed code: `encoding` says whether `body` is the text itself or base64 of its bytes."""
        try:
            body, encoding = self.body.decode(), "utf-8"
        except UnicodeDecodeError:
            body, encoding = base64.b64encode(self.body).decode(), "base64"
        return {"status": self.status, "headers": dict(self.headers), "body": body, "encoding": encoding}
