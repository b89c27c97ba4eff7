"""Owns the client side of a call: a channel that shows a token, has deadlines, repeats what may be repeated, and
raises the class that the server raised.

Client streams are given as iterators, not written with `call.write`.
"""

import asyncio
import contextlib
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import cache
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import Message
from opentelemetry.instrumentation.grpc import aio_client_interceptors

from hardpoint_kit.caller import ANY_ORG, current_caller
from hardpoint_kit.errors import HardpointError, Unavailable
from hardpoint_kit.rpc.status import from_rpc_error
from hardpoint_kit.rpc.wire import LARGEST_MESSAGE, ORG_METADATA, SUBJECT_METADATA

CALL_SECONDS = 10.0
UPLOAD_SECONDS = 120.0
ATTEMPTS = 3
FIRST_PAUSE_SECONDS = 0.1

Token = Callable[[], str] | str | None
Details = Any
Call = Any
Continuation = Callable[[Details, Any], Awaitable[Call]]

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
    UNAVAILABLE and time is left.
    """
    shown = _Shown(token, act_for)
    interceptors = [
        _UnaryUnary(shown),
        _UnaryStream(shown),
        _StreamUnary(shown),
        _StreamStream(shown),
        *aio_client_interceptors(),  # type: ignore[no-untyped-call]
        _UnaryUnaryEnd(),
        _StreamUnaryEnd(),
    ]
    return grpc.aio.insecure_channel(address, options=_CHANNEL_OPTIONS, interceptors=interceptors)


class _Shown:
    """What every call on a channel says about who calls."""

    def __init__(self, token: Token, act_for: bool) -> None:
        self._token = token
        self._act_for = act_for

    def on(self, details: Details, timeout: float | None) -> Details:
        """Return the call's details with a timeout and the metadata of who calls."""
        metadata = grpc.aio.Metadata(*(details.metadata or ()))
        token = self._token() if callable(self._token) else self._token
        if token:
            metadata["authorization"] = f"Bearer {token}"
        who = current_caller()
        if self._act_for and who is not None and who.org not in ("", ANY_ORG):
            metadata[ORG_METADATA] = who.org
            metadata[SUBJECT_METADATA] = who.subject
        return details._replace(timeout=timeout, metadata=metadata)


class _UnaryUnary(grpc.aio.UnaryUnaryClientInterceptor):
    def __init__(self, shown: _Shown) -> None:
        self._shown = shown

    async def intercept_unary_unary(
        self, continuation: Continuation, client_call_details: Details, request: Any
    ) -> Call:
        """Make the call, again while that may help."""
        timeout = CALL_SECONDS if client_call_details.timeout is None else client_call_details.timeout
        ends = time.monotonic() + timeout
        attempts = ATTEMPTS if repeatable(_text(client_call_details.method), request) else 1
        for attempt in range(1, attempts + 1):
            try:
                return await _finished(
                    continuation(self._shown.on(client_call_details, max(0.0, ends - time.monotonic())), request)
                )
            except Unavailable as error:
                pause = _pause(attempt, error)
                if attempt == attempts or time.monotonic() + pause >= ends:
                    raise
            await asyncio.sleep(pause)
        raise AssertionError("unreachable: the last attempt returns or raises")


class _StreamUnary(grpc.aio.StreamUnaryClientInterceptor):
    def __init__(self, shown: _Shown) -> None:
        self._shown = shown

    async def intercept_stream_unary(
        self, continuation: Continuation, client_call_details: Details, request_iterator: Any
    ) -> Call:
        """Make the call."""
        timeout = UPLOAD_SECONDS if client_call_details.timeout is None else client_call_details.timeout
        return await _finished(continuation(self._shown.on(client_call_details, timeout), request_iterator))


class _UnaryStream(grpc.aio.UnaryStreamClientInterceptor):
    def __init__(self, shown: _Shown) -> None:
        self._shown = shown

    async def intercept_unary_stream(
        self, continuation: Continuation, client_call_details: Details, request: Any
    ) -> AsyncIterator[Any]:
        """Make the call."""
        return _messages(await continuation(self._shown.on(client_call_details, client_call_details.timeout), request))


class _StreamStream(grpc.aio.StreamStreamClientInterceptor):
    def __init__(self, shown: _Shown) -> None:
        self._shown = shown

    async def intercept_stream_stream(
        self, continuation: Continuation, client_call_details: Details, request_iterator: Any
    ) -> AsyncIterator[Any]:
        """Make the call."""
        details = self._shown.on(client_call_details, client_call_details.timeout)
        return _messages(await continuation(details, request_iterator))


class _UnaryUnaryEnd(grpc.aio.UnaryUnaryClientInterceptor):
    """Waits for the answer next to the wire: a caller cancelled inside the instrumentation would leave the call be."""

    async def intercept_unary_unary(
        self, continuation: Continuation, client_call_details: Details, request: Any
    ) -> Call:
        """Make the call."""
        return await _ended(await continuation(client_call_details, request))


class _StreamUnaryEnd(grpc.aio.StreamUnaryClientInterceptor):
    """The same for client streams."""

    async def intercept_stream_unary(
        self, continuation: Continuation, client_call_details: Details, request_iterator: Any
    ) -> Call:
        """Make the call."""
        return await _ended(await continuation(client_call_details, request_iterator))


async def _ended(call: Call) -> Call:
    with contextlib.suppress(grpc.aio.AioRpcError):
        await call
    return call


async def _finished(calling: Awaitable[Call]) -> Call:
    """Return the call when its answer is there; raises what the server raised."""
    try:
        call = await calling
        await call
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from None
    return call


async def _messages(call: Call) -> AsyncIterator[Any]:
    try:
        async for message in call:
            yield message
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from None
    finally:
        call.cancel()  # nothing to a call that ended; the end of one whose reader went away


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


def _text(method: str | bytes) -> str:
    return method.decode() if isinstance(method, bytes) else method
