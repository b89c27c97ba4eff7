"""Owns what `self.fetch` gives back, and what it raises."""

import base64
import json
from collections.abc import Mapping
from typing import Any


class BrokerError(Exception):
    """The platform refused or could not do what the plugin asked; `code` says why, such as `HOST_NOT_GRANTED`.

    An action that lets it through ends as denied, by the refusal that the platform gave to the ask of that number.
    """

    def __init__(self, code: str, message: str, ask: int = 0) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.ask = ask


class Response:
    """An HTTP answer. Header names are lower case; `body` is bytes, `text` the same as UTF-8.

    `file` is `{name, size}` when the body was kept in a temporary file.
    """

    def __init__(self, answer: Mapping[str, Any]) -> None:
        body: str = answer["body"]
        self.status: int = answer["status"]
        self.headers: dict[str, str] = answer["headers"]
        self.file: dict[str, Any] | None = answer.get("file")
        self.body: bytes = base64.b64decode(body) if answer["encoding"] == "base64" else body.encode()

    @property
    def ok(self) -> bool:
        """True for a status from 200 to 299."""
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        """The body as text; bytes that are not UTF-8 become replacement characters."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body parsed as JSON. Raises ValueError when it is not JSON."""
        return json.loads(self.body)
