"""Owns descriptor 3, the only thing in a jail that leads out: frames to the executor and its replies."""

import itertools
import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from .response import BrokerError

DESCRIPTOR = 3


def encode(frame: Mapping[str, Any]) -> bytes:
    """Return a frame's bytes. Raises TypeError and ValueError for what is not JSON: NaN, lone surrogates, objects."""
    return framed(json.dumps(frame, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode())


def framed(body: bytes) -> bytes:
    """Return a body with its length before it."""
    return len(body).to_bytes(4, "big") + body


def send(frame: Mapping[str, Any]) -> None:
    """Send one frame."""
    send_bytes(encode(frame))


def send_bytes(data: bytes) -> None:
    """Send an encoded frame."""
    while data:
        data = data[os.write(DESCRIPTOR, data) :]


def receive() -> dict[str, Any]:
    """Wait for one frame. Raises EOFError when the executor is gone."""
    frame: dict[str, Any] = json.loads(receive_text())
    return frame


def receive_text() -> str:
    """Wait for one frame and return its JSON. Raises EOFError when the executor is gone."""
    return _exactly(int.from_bytes(_exactly(4), "big")).decode()


def next_call() -> dict[str, Any]:
    """Wait for a call, past replies that the one before did not wait for; leave when the executor is gone."""
    while True:
        try:
            frame = receive()
        except EOFError:
            os._exit(0)
        if "reply" not in frame:
            return frame


class Broker:
    """Asks the executor's broker. Outside an event loop it simply waits; inside one, many asks may be open at once."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._open: dict[int, Any] = {}

    async def ask(self, service: str, method: str, arguments: Mapping[str, Any]) -> Any:
        """Return the broker's answer. Raises BrokerError."""
        number = next(self._numbers)
        send({"ask": {"id": number, "service": service, "method": method, "arguments": arguments}})
        loop = _running_loop()
        reply = receive()["reply"] if loop is None else await self._reply(number, loop)
        if "error" in reply:
            raise BrokerError(reply["error"]["code"], reply["error"]["message"], number)
        return reply.get("value")

    async def _reply(self, number: int, loop: Any) -> Any:
        if not self._open:
            loop.add_reader(DESCRIPTOR, self._on_reply, loop)
        self._open[number] = loop.create_future()
        return await self._open[number]

    def _on_reply(self, loop: Any) -> None:
        reply = receive()["reply"]
        waiting = self._open.pop(reply["id"], None)
        if not self._open:
            loop.remove_reader(DESCRIPTOR)
        if waiting is not None and not waiting.done():
            waiting.set_result(reply)


def _running_loop() -> Any:
    asyncio = sys.modules.get("asyncio")
    return asyncio._get_running_loop() if asyncio is not None else None


def _exactly(size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        chunk = os.read(DESCRIPTOR, size - len(data))
        if not chunk:
            raise EOFError("the executor is gone")
        data += chunk
    return bytes(data)
