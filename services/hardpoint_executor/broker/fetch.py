"""The words of the service `fetch`: what is asked, what is answered, and both as the JSON of a jail's frame."""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from hardpoint_executor.broker.denial import BrokerDenied, DenialCode

DRY_RUN: Final = "hardpoint-dry-run"
"""The header that tells an answer of ours, to a request that a dry run did not make."""
_READS: Final = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """One HTTP request before any check; URL query, header values and body may hold secret handles.

    `body_file` names a temporary file to send as it is; `into` names one that the answer's body is kept in. `writes`
    says that it changes something whatever its method is.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    timeout_seconds: float | None = None
    body_file: str = ""
    into: str = ""
    writes: bool = False

    @classmethod
    def from_arguments(cls, method: str, arguments: Mapping[str, Any]) -> "FetchRequest":
        """Read `{url, headers, body | body_file, into}` as jailed code sent it; what is not text is sent as JSON."""
        url, headers, body = arguments.get("url"), arguments.get("headers") or {}, arguments.get("body")
        body_file, into = arguments.get("body_file") or "", arguments.get("into") or ""
        if not isinstance(url, str):
            raise BrokerDenied(DenialCode.INVALID_ARGUMENT, "fetch needs a URL that is text", "pass the URL first")
        if not isinstance(headers, Mapping) or not all(isinstance(value, str) for value in headers.values()):
            raise BrokerDenied(
                DenialCode.INVALID_ARGUMENT, "headers must be an object of texts", 'use {"accept": "text/plain"}'
            )
        if not isinstance(body_file, str) or not isinstance(into, str) or (body_file and body is not None):
            raise BrokerDenied(
                DenialCode.INVALID_ARGUMENT, "a body is text, or the name of one file", "pass one of the two"
            )
        if body is not None and not isinstance(body, str):
            body = json.dumps(body)
            if not any(name.lower() == "content-type" for name in headers):
                headers = {**headers, "content-type": "application/json"}
        return cls(method, url, headers, body, body_file=body_file, into=into)

    def recorded(self, content: bytes | None) -> dict[str, Any]:
        """What is asked as a cassette has it; of a file that is sent, what tells it from others."""
        asked: dict[str, Any] = {"url": self.url, "headers": dict(self.headers)}
        if content is not None:
            asked["body_file"] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        return {**asked, **({"body": self.body} if self.body is not None else {})}

    @property
    def is_write(self) -> bool:
        """Whether it may change something where it goes."""
        return self.writes or self.method.upper() not in _READS

    @property
    def content_type(self) -> str:
        """The value of the content-type header, or nothing."""
        return next((value for name, value in self.headers.items() if name.lower() == "content-type"), "")


@dataclass(frozen=True, slots=True)
class FetchResponse:
    """The answer that a call ended with; header names are in small letters, secrets are blotted out.

    `file` describes the temporary file that holds the body, when it was asked for; `body` is empty then.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    file: Mapping[str, Any] | None = None
    placeholder: bool = False
    """Whether no host gave it: it stands in for the answer to a write that a dry run did not make."""
    redirects: int = 0
    """How many were followed to come to it."""

    def to_json(self) -> dict[str, Any]:
        """The answer for jailed code: `encoding` says whether `body` is the text itself or base64 of its bytes."""
        try:
            body, encoding = self.body.decode(), "utf-8"
        except UnicodeDecodeError:
            body, encoding = base64.b64encode(self.body).decode(), "base64"
        answer = {"status": self.status, "headers": dict(self.headers), "body": body, "encoding": encoding}
        return answer if self.file is None else {**answer, "file": dict(self.file)}

    def recorded(self) -> dict[str, Any]:
        """The answer as a cassette has it."""
        return {**self.to_json(), "redirects": self.redirects}

    @classmethod
    def from_recorded(cls, answer: Mapping[str, Any]) -> "FetchResponse":
        """The answer that a cassette has."""
        body: str = answer["body"]
        data = base64.b64decode(body) if answer["encoding"] == "base64" else body.encode()
        return cls(answer["status"], answer["headers"], data, redirects=answer.get("redirects", 0))
