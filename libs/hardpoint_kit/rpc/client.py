"""Owns the client side of a call: a channel that shows a token, has deadlines, repeats what may be repeated, and
raises the class that the server raised.

Client streams are given as iterators, not written with `call.write`.
"""

import asyncio
import contextlib
import json
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import cache
from typing import Any, Self

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import Message
from opentelemetry.trace import StatusCode

from hardpoint_kit.caller import ANY_ORG, current_caller
from hardpoint_kit.errors import HardpointError, Internal, Unavailable
from hardpoint_kit.rpc.spans import CODE, client_span
from hardpoint_kit.rpc.status import from_rpc_error
from hardpoint_kit.rpc.wire import LARGEST_MESSAGE, ORG_METADATA, SUBJECT_METADATA

CALL_SECONDS = 10.0
UPLOAD_SECONDS = 120.0
ATTEMPTS = 3
FIRST_PAUSE_SECONDS = 0.1

_LOST = "Internal error from Core"
"""What grpc.aio says of a call whose answer it lost."""
_AGAIN_BYTES = 1024 * 1024
"""What is kept of a call's messages, to be written again."""

Token = Callable[[], str] | str | None
Wire = Callable[..., Any]
Pairs = Sequence[tuple[str, Any]]

_CHANNEL_OPTIONS = (
    ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
    ("grpc.max_receive_message_length", LARGEST_MESSAGE),
    ("grpc.max_send_message_length", LARGEST_MESSAGE),
    ("grpc.max_metadata_size", 64 * 1024),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # A new channel must not begin with what an earlier one learnt of another server at the same address.
    ("grpc.use_local_subchannel_pool", 1),
    # A restarted peer is found again within a second, not within the two minutes of the default.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)


def channel(address: str, *, token: Token = None, act_for: bool = False) -> grpc.aio.Channel:
    """Open a channel to a unit at `host:port`; every call on it raises HardpointError and nothing of gRPC's own.

    `token` is shown as the bearer token; a callable is asked for every call, so that the token can be rotated.
    With `act_for`, calls name the current caller's org and subject, which the peer believes of units only. Unary calls
    without a timeout get one; those without side effects, or with a request id, are repeated while the peer is
    UNAVAILABLE and time is left. Streams that are answered are generators: they call when they are first read.
    """
    return _Channel(grpc.aio.insecure_channel(address, options=_CHANNEL_OPTIONS), _Shown(token, act_for))


class _Channel(grpc.aio.Channel):
    """Wraps the calls themselves: interceptors of the library would make tasks and wrappers anew for every call."""

    def __init__(self, wire: grpc.aio.Channel, shown: "_Shown") -> None:
        self._wire = wire
        self._shown = shown

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        """Close the channel; calls under way may end within `grace` seconds."""
        await self._wire.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """The state of the connection."""
        return self._wire.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Return when the state is another."""
        await self._wire.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Return when there is a connection."""
        await self._wire.channel_ready()

    def unary_unary(self, method: str, *serializers: Any, **options: Any) -> Any:
        """A method of one message each way."""
        return self._repeated(method, self._wire.unary_unary(method, *serializers, **options))

    def stream_unary(self, method: str, *serializers: Any, **options: Any) -> Any:
        """A method that is sent many messages and answers one."""
        return self._heard(method, self._wire.stream_unary(method, *serializers, **options))

    def unary_stream(self, method: str, *serializers: Any, **options: Any) -> Any:
        """A method that answers many messages."""
        return self._streamed(method, self._wire.unary_stream(method, *serializers, **options))

    def stream_stream(self, method: str, *serializers: Any, **options: Any) -> Any:
        """A method of many messages each way."""
        return self._streamed(method, self._wire.stream_stream(method, *serializers, **options))

    def _repeated(self, method: str, call: Wire) -> Wire:
        once = self._once(method, call)

        async def make(request: Any, *, timeout: float | None = None, **options: Any) -> Any:
            timeout = CALL_SECONDS if timeout is None else timeout
            ends = time.monotonic() + timeout
            attempts = ATTEMPTS if repeatable(method, request) else 1
            for attempt in range(1, attempts + 1):
                try:
                    return await once(request, timeout=max(0.0, ends - time.monotonic()), **options)
                except Unavailable as error:
                    pause = _pause(attempt, error)
                    if attempt == attempts or time.monotonic() + pause >= ends:
                        raise
                await asyncio.sleep(pause)
            raise AssertionError("unreachable: the last attempt returns or raises")

        return make

    def _heard(self, method: str, call: Wire) -> Wire:
        once = self._once(method, call)

        async def make(requests: AsyncIterator[Any], **options: Any) -> Any:
            sent = _Sent()
            writing = sent.noting(requests)
            for _ in range(ATTEMPTS - 1):
                try:
                    return await once(writing, **options)
                except Internal as error:
                    if error.message != _LOST or not sent.messages:
                        raise
                finally:
                    sent.answered.set()
                # The answer came while more was being written, and the library forgets it then. It is a refusal, which
                # comes again when the same is written again; without what follows nothing else comes of it.
                writing = sent.again()
            return await once(writing, **options)

        return make

    def _once(self, method: str, call: Wire) -> Wire:
        async def make(request: Any, *, timeout: float | None = None, metadata: Pairs = (), **options: Any) -> Any:
            timeout = UPLOAD_SECONDS if timeout is None else timeout
            with _span(method) as carried:
                shown = self._shown.beside(metadata, carried)
                return await call(request, timeout=timeout, metadata=shown, **options)

        return make

    def _streamed(self, method: str, call: Wire) -> Wire:
        async def make(request: Any, *, metadata: Pairs = (), **options: Any) -> AsyncIterator[Any]:
            with _span(method) as carried:
                answers = call(request, metadata=self._shown.beside(metadata, carried), **options)
                try:
                    while (answer := await answers.read()) is not grpc.aio.EOF:
                        yield answer
                finally:
                    answers.cancel()  # nothing to a call that ended; the end of one whose reader went away

        return make


class _Sent:
    """What was written of a call, to be written again: all of it, or of much the first message."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.answered = asyncio.Event()
        self._bytes = 0
        self._ended = False

    async def noting(self, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """The same requests, noted."""
        async for request in requests:
            self._bytes += request.ByteSize()
            if self._bytes > _AGAIN_BYTES:
                del self.messages[1:]
            if self._bytes <= _AGAIN_BYTES or not self.messages:
                self.messages.append(request)
            yield request
        self._ended = True

    async def again(self) -> AsyncIterator[Any]:
        """What was noted. Where that is a part of what was to be written, no end of it is said before the answer."""
        self.answered.clear()
        for message in self.messages:
            yield message
        if not self._ended and self._bytes <= _AGAIN_BYTES:
            await self.answered.wait()


class _Shown:
    """What every call on a channel says about who calls."""

    def __init__(self, token: Token, act_for: bool) -> None:
        self._token = token
        self._act_for = act_for

    def beside(self, metadata: Pairs, carried: dict[str, str]) -> list[tuple[str, Any]]:
        """Return a call's own metadata, what is carried for its span, and who calls."""
        token = self._token() if callable(self._token) else self._token
        if token:
            carried["authorization"] = f"Bearer {token}"
        who = current_caller()
        if self._act_for and who is not None and who.org not in ("", ANY_ORG):
            carried[ORG_METADATA] = who.org
            carried[SUBJECT_METADATA] = who.subject
        return [*metadata, *carried.items()]


@contextlib.contextmanager
def _span(method: str) -> Iterator[dict[str, str]]:
    """The span of a call as the metadata that carries it, ended with its status; raises what the server raised."""
    span, carried = client_span(method)
    code = grpc.StatusCode.CANCELLED
    try:
        yield carried
        code = grpc.StatusCode.OK
    except grpc.aio.AioRpcError as failed:
        code = failed.code()
        error = from_rpc_error(failed)
        span.set_status(StatusCode.ERROR, error.reason)
        raise error from None
    finally:
        span.set_attribute(CODE, code.value[0])
        span.end()


def repeatable(method: str, request: Message) -> bool:
    """Tell whether making the call twice is the same as making it once."""
    return _without_side_effects(method) or bool(getattr(request, "request_id", ""))


@cache
def _without_side_effects(method: str) -> bool:
    name = method.removeprefix("/").replace("/", ".")
    try:
        found = descriptor_pool.Default().FindMethodByName(name)
    except KeyError:
        return False
    return bool(found.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS)


def _pause(attempt: int, error: HardpointError) -> float:
    jittered: float = FIRST_PAUSE_SECONDS * 2 ** (attempt - 1) * random.uniform(0.5, 1.5)  # noqa: S311 - not a secret
    return max(jittered, error.retry_after or 0.0)
