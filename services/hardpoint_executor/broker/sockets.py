"""The service `websocket`: WebSockets of one execution, under the same rules as its requests, gone when it ends.

Hosts, ports, headers and secrets are those of `fetch`. What comes is scrubbed message by message, and looked at
together with what came before, since a secret may come in parts. A redirect is not followed.
"""

import asyncio
import base64
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from opentelemetry import trace

from hardpoint_executor.broker.denial import BrokerDenied, DenialCode
from hardpoint_executor.broker.http import HttpClient
from hardpoint_executor.broker.means import Means, invalid, no_method, spend_call, text_of
from hardpoint_executor.broker.outlet import spoken
from hardpoint_executor.broker.policy import Target
from hardpoint_executor.broker.scrub import Unfit
from hardpoint_executor.broker.socket_denials import denials
from hardpoint_executor.broker.socket_words import headers_of, message_of, subprotocols_of, target_of
from hardpoint_executor.broker.wire import Message, Wire

PERMISSION: Final = "network.websocket"
CLOSING_SECONDS: Final = 1.0
"""What a server may take to agree that it is over."""
_REMEMBERED: Final = 4096
"""Bytes of what came before that are looked at together with a message."""
_FRAME_BYTES: Final = 64
"""For which a frame counts besides its own: it takes time, however small it is."""


@dataclass(slots=True)
class _Socket:
    """An open one, with the end of what came over it: as it stood, and the texts of JSON alone."""

    wire: Wire
    target: Target
    before: tuple[bytes, bytes] = (b"", b"")
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One message is received and looked at after the other: none overtakes a larger one."""


class Sockets:
    """The service `websocket` of one execution."""

    def __init__(self, means: Means, http: HttpClient) -> None:
        self._means = means
        self._dialler = http.dialler
        self._tls = http.tls
        self._sockets: dict[int, _Socket] = {}
        self._opening = 0
        self._messages = 0
        self._received = 0

    async def ask(self, method: str, arguments: Mapping[str, Any]) -> Any:
        """Answer with a JSON value; raises BrokerDenied."""
        self._means.permit(PERMISSION, "a WebSocket")
        if method == "open":
            return await self._open(arguments)
        return await self._means.outside("websocket", method, arguments, partial(self._do, method, arguments))

    async def _do(self, method: str, arguments: Mapping[str, Any]) -> Any:
        match method:
            case "send":
                return await self._send(self._named(arguments), arguments)
            case "receive":
                return await self._receive(self._named(arguments), arguments)
            case "close":
                return await self._close(self._named(arguments))
            case _:
                raise no_method("websocket", method, "open, send, receive or close")

    def close(self) -> None:
        """End all that are open."""
        for socket in self._sockets.values():
            socket.wire.abort()

    async def _open(self, arguments: Mapping[str, Any]) -> Any:
        means = self._means
        if self._opening + sum(socket.wire.is_open for socket in self._sockets.values()) >= means.limits.sockets:
            raise _spent("websockets", means.limits.sockets, "WebSockets open at a time", "close one first")
        spend_call(means.limits, means.usage)
        self._opening += 1
        try:
            return await self._opened(arguments)
        finally:
            self._opening -= 1

    async def _opened(self, arguments: Mapping[str, Any]) -> Any:
        means = self._means
        target = target_of(means, text_of(arguments, "url"))
        headers = headers_of(means, arguments, target)
        subprotocols = subprotocols_of(means, arguments, target)
        means.usage.permissions.add(PERMISSION)
        means.usage.hosts.add(target.rule)
        dialled = partial(self._spoken_to, target, headers, subprotocols)
        return await means.outside("websocket", "open", arguments, dialled)

    async def _spoken_to(self, target: Target, headers: dict[str, str], subprotocols: Sequence[str]) -> Any:
        means = self._means
        trace.get_current_span().set_attributes({"server.address": target.host, "server.port": target.port})
        again = "look whether the host is up, and try again later"
        async with means.within(means.limits.call_seconds, f"the WebSocket of host {target.host}", again):
            with denials(target):
                wire = await self._dialled(target)
            try:
                with denials(target):
                    chosen = await wire.shake_hands(target, headers, subprotocols)
            except BaseException:
                wire.abort()
                raise
        number = len(self._sockets) + 1
        self._sockets[number] = _Socket(wire, target)
        return {"socket": number, "subprotocol": means.outlet.said(chosen)}

    async def _dialled(self, target: Target) -> Wire:
        reader, writer = await self._dialler.connect(target.host, target.port)
        if target.scheme == "https" and not self._dialler.is_alias(target.host):
            try:
                await writer.start_tls(self._tls, server_hostname=target.host)
            except BaseException:
                writer.transport.abort()
                raise
        return Wire((reader, writer), self._means.limits.message_bytes, self._count_received, self._count_sent)

    async def _send(self, socket: _Socket, arguments: Mapping[str, Any]) -> None:
        means = self._means
        message = message_of(means, socket.target, arguments)
        if len(message.data) > means.limits.message_bytes:
            raise BrokerDenied(
                DenialCode.REQUEST_TOO_LARGE,
                f"the message is larger than {means.limits.message_bytes} bytes",
                "send less, in several messages",
                limit=str(means.limits.message_bytes),
            )
        self._spend_message()
        if not socket.wire.is_open:
            raise BrokerDenied(
                DenialCode.WEBSOCKET_CLOSED,
                f"the WebSocket of host {socket.target.host} is closed",
                "open another one; what was sent before may have arrived",
                host=socket.target.rule,
            )
        slow = "open another one: what was not taken is lost"
        async with means.within(means.limits.call_seconds, f"the WebSocket of host {socket.target.host}", slow):
            with denials(socket.target, socket.wire):
                means.usage.begin_write()
                await socket.wire.send(message)

    async def _receive(self, socket: _Socket, arguments: Mapping[str, Any]) -> Any:
        means = self._means
        self._spend_message()
        ends = time.monotonic() + _seconds(arguments.get("timeout"), means.limits.call_seconds)
        what, again = f"the WebSocket of host {socket.target.host}", "receive again, or with a longer timeout"
        async with means.within(ends - time.monotonic(), what, again):
            await socket.turn.acquire()
        try:
            async with means.within(ends - time.monotonic(), what, again):
                with denials(socket.target, socket.wire):
                    message = await socket.wire.receive()
            return await self._answer(socket, message)
        finally:
            socket.turn.release()

    async def _answer(self, socket: _Socket, message: Message | None) -> Any:
        if message is None:
            code, reason = socket.wire.closed
            said = (await self._scrubbed(socket, reason.encode())).decode(errors="replace")
            return {"closed": {"code": code, "reason": said}}
        data = await self._scrubbed(socket, message.data)
        if message.is_text:
            return {"data": data.decode(errors="replace"), "encoding": "utf-8"}
        return {"data": base64.b64encode(data).decode(), "encoding": "base64"}

    async def _close(self, socket: _Socket) -> None:
        try:
            async with self._means.within(CLOSING_SECONDS, "the server", ""):
                with denials(socket.target, socket.wire):
                    await socket.wire.close()
        except BrokerDenied:
            pass  # it is over, whether the server agrees or not
        finally:
            socket.wire.abort()

    def _named(self, arguments: Mapping[str, Any]) -> _Socket:
        number = arguments.get("socket")
        found = self._sockets.get(number) if type(number) is int else None
        if found is None:
            raise invalid("there is no such WebSocket", "open it first: it is this execution's alone")
        return found

    async def _scrubbed(self, socket: _Socket, data: bytes) -> bytes:
        """What came, without secrets; one that came in parts, or that cannot be cut out, ends the WebSocket."""
        outlet = self._means.outlet
        try:
            data = await outlet.answer(data)
            before, spoken_before = socket.before
            together = before + data, spoken_before + spoken(data)
            if key := await outlet.holds(b"\n".join(together)):
                raise Unfit(key)
        except Unfit as unfit:
            socket.wire.abort()
            raise BrokerDenied(
                DenialCode.ANSWER_HOLDS_SECRET,
                f"what host {socket.target.host} sent holds the secret {unfit.key} in an encoding or in parts, and is "
                "withheld",
                "ask the host for messages that do not repeat what it is sent",
                host=socket.target.rule,
                secret=unfit.key,
            ) from None
        socket.before = together[0][-_REMEMBERED:], together[1][-_REMEMBERED:]
        return data

    def _spend_message(self) -> None:
        if self._messages >= self._means.limits.messages:
            most = self._means.limits.messages
            raise _spent("websocket_messages", most, "messages over WebSockets", "put more into one message")
        self._messages += 1

    def _count_received(self, size: int, frames: int) -> None:
        self._means.usage.bytes_received += size
        self._received += size + frames * _FRAME_BYTES
        if self._received > self._means.limits.socket_bytes:
            most = self._means.limits.socket_bytes
            raise _spent("websocket_bytes", most, "bytes over WebSockets", "ask the host for less")

    def _count_sent(self, size: int) -> None:
        self._means.usage.bytes_sent += size


def _spent(budget: str, most: int, what: str, fix: str) -> BrokerDenied:
    return BrokerDenied(
        DenialCode.BUDGET, f"an execution has at most {most} {what}", fix, budget=budget, limit=str(most)
    )


def _seconds(asked: Any, default: float) -> float:
    if asked is None:
        return default
    if isinstance(asked, bool) or not isinstance(asked, int | float) or asked < 0:
        raise invalid("timeout is a number of seconds", "use 0 or more")
    return float(asked)
