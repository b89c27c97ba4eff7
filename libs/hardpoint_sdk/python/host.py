"""Owns what `self` offers of the platform: call, fetch, websocket, file, context, log, progress, services.

All asks the broker. The JavaScript SDK offers the same in `host.mjs`.
"""

import base64
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from .response import Response
from .services import Ai, Calendar, Database, Email
from .websocket import WebSocket

PART_BYTES = 512 * 1024
"""Of a stored file, in one frame."""

Ask = Callable[[str, str, Mapping[str, Any]], Awaitable[Any]]
"""Service, method and arguments to the broker's answer; raises BrokerError."""
Send = Callable[[Mapping[str, Any]], None]
"""Sends a frame that has no answer."""


def offered(ask: Ask, send: Send) -> dict[str, Any]:
    """What `self` gets, by name."""

    async def fetch(
        url: str,
        *,
        method: str = "GET",
        headers: Any = None,
        body: str | None = None,
        json: Any = None,
        body_file: str | None = None,
        into: str | None = None,
    ) -> Response:
        given = {"body": body if json is None else json, "body_file": body_file, "into": into}
        arguments = {"url": url, "headers": dict(headers or {})}
        arguments.update({name: value for name, value in given.items() if value is not None})
        return Response(await ask("fetch", method.upper(), arguments))

    async def websocket(url: str, *, headers: Any = None, subprotocols: Any = ()) -> WebSocket:
        wanted = {"url": url, "headers": dict(headers or {}), "subprotocols": list(subprotocols)}
        return WebSocket(ask, await ask("websocket", "open", wanted))

    def log(message: object, level: str = "info") -> None:
        send({"log": {"level": level, "message": str(message)}})

    def progress(fraction: float, message: str = "") -> None:
        send({"progress": {"fraction": fraction, "message": message}})

    async def call(action: str, input: Mapping[str, Any] | None = None) -> Any:
        return await ask("call", "run", {"action": action, "input": dict(input or {})})

    here = {"call": call, "fetch": fetch, "websocket": websocket, "log": log, "progress": progress}
    services = {"db": Database(ask), "ai": Ai(ask), "email": Email(ask), "calendar": Calendar(ask)}
    return {**here, "file": Files(ask), "context": Context(ask), **services}


class Files:
    """Files, which are all kept outside the jail.

    Temporary ones have a name, are gone with the execution, and need the permission `file.temporary`. Stored ones are
    kept for the organisation and have a handle, `{"id", "name", "type", "size"}`, and `expire_time` where they are not
    kept for ever: those of the input, and what this execution saves. To open them needs `file.read`, to save them
    `file.write`.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def write(self, name: str, data: str | bytes, *, append: bool = False) -> dict[str, Any]:
        """Write text or bytes, in place of what is there or after it; `{name, size}`."""
        if isinstance(data, str):
            arguments = {"name": name, "data": data, "encoding": "utf-8", "append": append}
        else:
            encoded = base64.b64encode(data).decode()
            arguments = {"name": name, "data": encoded, "encoding": "base64", "append": append}
        described: dict[str, Any] = await self._ask("file", "write", arguments)
        return described

    async def read(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """Bytes from `offset` on, at most `length`; without a length, all the rest."""
        parts: list[bytes] = []
        while True:
            got = sum(map(len, parts))
            wanted = {} if length is None else {"length": length - got}
            answer = await self._ask("file", "read", {"name": name, "offset": offset + got, **wanted})
            part = base64.b64decode(answer["data"])
            parts.append(part)
            got += len(part)
            if not part or got == length or offset + got >= answer["size"]:
                return b"".join(parts)

    async def open(self, handle: Any, *, offset: int = 0, length: int | None = None, into: str | None = None) -> Any:
        """Bytes of a stored file from `offset` on, at most `length`; all the rest without one.

        With `into` all of it becomes the temporary file of that name, without passing through here; `{name, size}`.
        """
        if into is not None:
            return await self._ask("file", "open", {"file": handle, "into": into})
        parts: list[bytes] = []
        got = 0
        while True:
            most = PART_BYTES if length is None else min(PART_BYTES, length - got)
            answer = await self._ask("file", "open", {"file": handle, "offset": offset + got, "length": most})
            parts.append(base64.b64decode(answer["data"]))
            got += len(parts[-1])
            if not parts[-1] or got == length or offset + got >= answer["size"]:
                return b"".join(parts)

    async def save(
        self,
        name: str,
        data: str | bytes = b"",
        type: str | None = None,
        *,
        from_file: str | None = None,
        expires_in: int | None = None,
    ) -> dict[str, Any]:
        """Store text, bytes, or the temporary file `from_file`; the handle. `type` counts where the bytes are text.

        With `expires_in` it is gone after so many seconds, 30 days at most; the handle's `expire_time` says when.
        """
        given = {"type": type, "expires_in": expires_in}
        asked: dict[str, Any] = {"name": name} | {key: value for key, value in given.items() if value is not None}
        handle: dict[str, Any]
        if from_file is not None:
            handle = await self._ask("file", "save", {**asked, "from_file": from_file})
            return handle
        left = memoryview(data.encode() if isinstance(data, str) else data)
        while len(left) > PART_BYTES:
            part = base64.b64encode(left[:PART_BYTES]).decode()
            asked = await self._ask("file", "save", {**asked, "data": part, "encoding": "base64", "more": True})
            left = left[PART_BYTES:]
        part = base64.b64encode(left).decode()
        handle = await self._ask("file", "save", {**asked, "data": part, "encoding": "base64"})
        return handle

    async def list(self, *, stored: bool = False) -> list[dict[str, Any]]:
        """`{name, size}` of each temporary file, by name; or the handles of what may be opened."""
        found: list[dict[str, Any]] = await self._ask("file", "list", {"stored": True} if stored else {})
        return found

    async def size(self, name: str) -> int:
        """Bytes of a file."""
        size: int = await self._ask("file", "size", {"name": name})
        return size

    async def delete(self, name: str) -> None:
        """Remove a file."""
        await self._ask("file", "delete", {"name": name})


class Context:
    """What is known of the call, and what the calling agent says it knows: nobody proved that."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def get(self) -> dict[str, Any]:
        """org, capability, release, action, agent, run, execution, idempotency_key: each where there is one.

        `at` and `seed` always, the time and a text to make new names of: in a call that is held to a plan, which has
        them in what it writes, they are those of the dry run. The seed is the same in each attempt of an effect.
        user, conversation and files too, each where it was given and is granted.
        """
        known: dict[str, Any] = await self._ask("context", "get", {})
        return known

    async def user(self) -> dict[str, str] | None:
        """Who the agent acts for: id, name, email, locale, time_zone, each where it was given. Needs `context.user`."""
        user: dict[str, str] | None = await self._ask("context", "user", {})
        return user

    async def conversation(self) -> dict[str, Any] | None:
        """`{"id", "messages": [{"role", "text"}]}`, the last messages, oldest first. Needs `context.conversation`."""
        conversation: dict[str, Any] | None = await self._ask("context", "conversation", {})
        return conversation

    async def files(self) -> list[dict[str, Any]]:
        """Handles of files that were shared with the agent, for `file.open`. Needs `context.files`."""
        files: list[dict[str, Any]] = await self._ask("context", "files", {})
        return files
