"""Owns what `self.websocket` gives back: a WebSocket whose other end is the broker's.

The JavaScript SDK offers the same in `websocket.mjs`.
"""

import base64
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

_Ask = Callable[[str, str, Mapping[str, Any]], Awaitable[Any]]


class WebSocket:
    """An open WebSocket; it is closed at the end of the execution, if not before.

    `subprotocol` is the one that the server chose, empty for none. `closed` is `{"code", "reason"}` once the server has
    ended it.
    """

    def __init__(self, ask: _Ask, opened: Mapping[str, Any]) -> None:
        self._ask = ask
        self._number: int = opened["socket"]
        self.subprotocol: str = opened["subprotocol"]
        self.closed: dict[str, Any] | None = None

    async def send(self, data: Any) -> None:
        """Send a text, bytes, or any other value as JSON. Handles in a text become secrets. Raises BrokerError."""
        if isinstance(data, bytes | bytearray | memoryview):
            said = {"data": base64.b64encode(data).decode(), "encoding": "base64"}
        else:
            said = {"data": data if isinstance(data, str) else json.dumps(data, allow_nan=False, ensure_ascii=False)}
        await self._ask("websocket", "send", {"socket": self._number, **said})

    async def receive(self, *, timeout: float | None = None) -> str | bytes | None:
        """The next message; None when the server has closed it. `timeout` is in seconds, 5 where none is given.

        Raises BrokerError; UPSTREAM_TIMEOUT when nothing came in time, and then it is still open.
        """
        wanted = {} if timeout is None else {"timeout": timeout}
        answer = await self._ask("websocket", "receive", {"socket": self._number, **wanted})
        if "closed" in answer:
            self.closed = answer["closed"]
            return None
        data: str = answer["data"]
        return base64.b64decode(data) if answer["encoding"] == "base64" else data

    async def close(self) -> None:
        """Close it. What the server still sends is not heard."""
        await self._ask("websocket", "close", {"socket": self._number})
