"""Owns what happens around every RPC that is served: outcome, caller and rule, field rules.

Request streams are checked message by message as the handler reads them; handlers read through their iterator.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import grpc
import protovalidate
import structlog
from google.protobuf.message import Message
from opentelemetry import metrics, trace

from hardpoint_kit.auth import MethodRule, Verifier
from hardpoint_kit.caller import NOBODY, current_caller, serve
from hardpoint_kit.errors import (
    Cancelled,
    DeadlineExceeded,
    HardpointError,
    Internal,
    InvalidArgument,
    Unauthenticated,
)
from hardpoint_kit.rpc.status import from_rpc_error, trailing_metadata
from hardpoint_kit.telemetry import trace_id

Context = Any
Handler = Any
Behaviour = Callable[[Any, Context], Any]
Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Handler]]

EXEMPT = ("/grpc.health.v1.Health/", "/grpc.reflection.")
"""Methods that need no caller: they tell nothing about any org."""

_SERVER_FAULTS = {
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}
_log = structlog.stdlib.get_logger(__name__)
_duration = metrics.get_meter(__name__).create_histogram(
    "rpc.server.duration", unit="s", description="How long RPCs took to serve."
)


def with_behaviour(handler: Handler, unary: Behaviour, stream: Behaviour) -> Handler:
    """Return the handler with another behaviour: `unary` when it answers one message, `stream` when many."""
    if handler.response_streaming:
        make = (
            grpc.stream_stream_rpc_method_handler if handler.request_streaming else grpc.unary_stream_rpc_method_handler
        )
        return make(stream, handler.request_deserializer, handler.response_serializer)
    make = grpc.stream_unary_rpc_method_handler if handler.request_streaming else grpc.unary_unary_rpc_method_handler
    return make(unary, handler.request_deserializer, handler.response_serializer)


def behaviour_of(handler: Handler) -> Behaviour:
    """Return the one function that serves the handler's RPC."""
    behaviour: Behaviour = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    return behaviour


class OutcomeInterceptor(grpc.aio.ServerInterceptor):
    """Ends every call with a status that the caller can act on, and records how long it took.

    What is not a HardpointError is a defect: the caller gets INTERNAL and the trace id, the log gets the stack.
    """

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler:
        """Wrap the handler."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(EXEMPT):
            return handler
        behaviour = behaviour_of(handler)

        async def unary(request: Any, context: Context) -> Any:
            started = time.perf_counter()
            try:
                response = await behaviour(request, context)
            except BaseException as error:
                await _fail(method, context, error, started)
                raise
            _measure(method, grpc.StatusCode.OK, started)
            return response

        async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
            started = time.perf_counter()
            try:
                async for response in behaviour(request, context):
                    yield response
            except BaseException as error:
                await _fail(method, context, error, started)
                raise
            _measure(method, grpc.StatusCode.OK, started)

        return with_behaviour(handler, unary, stream)


async def _fail(method: str, context: Context, raised: BaseException, started: float) -> None:
    """Abort the call with the status of what was raised; returns when that must go on its way unchanged."""
    error = _mapped(raised)
    if error is None:
        if isinstance(raised, asyncio.CancelledError):
            _measure(method, grpc.StatusCode.CANCELLED, started)
        return
    if isinstance(error, Internal):
        error.metadata.setdefault("trace", trace_id())
        _log.error("rpc failed", method=method, reason=error.reason, exc_info=raised)
    else:
        _log.info("rpc refused", method=method, code=error.code.name, reason=error.reason, problem=error.message)
    span = trace.get_current_span()
    span.record_exception(raised)
    span.set_attribute("hardpoint.reason", error.reason)
    if error.code in _SERVER_FAULTS:
        span.set_status(trace.StatusCode.ERROR, error.reason)
    _measure(method, error.code, started)
    await context.abort(error.code, error.message[:2000], trailing_metadata(error))


def _mapped(raised: BaseException) -> HardpointError | None:
    """Return the error to answer with, None for what the gRPC library itself must see."""
    if isinstance(raised, grpc.aio.AioRpcError):
        raised = from_rpc_error(raised)
    if isinstance(raised, HardpointError):
        if raised.from_peer and isinstance(raised, Unauthenticated):
            # A peer refused our own token; telling the caller to log in again would be wrong.
            return _defect()
        return raised
    if isinstance(raised, asyncio.CancelledError):
        task = asyncio.current_task()
        return None if task is not None and task.cancelling() else Cancelled("a call this one needs was cancelled")
    if isinstance(raised, TimeoutError):
        return DeadlineExceeded("the work took longer than it may", fix="try again, or ask for less")
    if isinstance(raised, Exception) and not isinstance(raised, grpc.aio.AbortError):
        return _defect()
    return None


def _defect() -> Internal:
    return Internal("internal error", fix="report it with the trace id")


def _measure(method: str, code: grpc.StatusCode, started: float) -> None:
    service, _, name = method.removeprefix("/").partition("/")
    _duration.record(
        time.perf_counter() - started,
        {"rpc.service": service, "rpc.method": name, "rpc.grpc.status_code": code.value[0]},
    )


class _RequestInterceptor(grpc.aio.ServerInterceptor, ABC):
    """Looks at a call before its handler runs, and at each request message before the handler sees it."""

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler:
        """Wrap the handler."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(EXEMPT):
            return handler
        behaviour = behaviour_of(handler)
        prepare = self._prepare_stream if handler.request_streaming else self._prepare

        async def unary(request: Any, context: Context) -> Any:
            return await behaviour(await prepare(method, request, context), context)

        async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
            async for response in behaviour(await prepare(method, request, context), context):
                yield response

        return with_behaviour(handler, unary, stream)

    async def _prepare(self, method: str, request: Message, context: Context) -> Message:
        await self.admit(method, context)
        self.check(method, request, first=True)
        return request

    async def _prepare_stream(
        self, method: str, requests: AsyncIterator[Message], context: Context
    ) -> AsyncIterator[Message]:
        await self.admit(method, context)
        return self._checked(method, requests)

    async def _checked(self, method: str, requests: AsyncIterator[Message]) -> AsyncIterator[Message]:
        first = True
        async for request in requests:
            self.check(method, request, first=first)
            first = False
            yield request

    async def admit(self, method: str, context: Context) -> None:
        """Look at the call itself."""

    @abstractmethod
    def check(self, method: str, request: Message, first: bool) -> None:
        """Look at one request message; `first` is false for the later ones of a stream."""


class CallerInterceptor(_RequestInterceptor):
    """Verifies who calls and applies the method's rule; without a rule nobody is let in."""

    def __init__(self, verifier: Verifier, rules: Mapping[str, MethodRule]) -> None:
        self._verifier = verifier
        self._rules = rules

    async def admit(self, method: str, context: Context) -> None:
        """Verify the token and check the caller's roles."""
        rule = self._rules[method]
        caller = NOBODY
        if rule.needs_token:
            caller = await self._verifier.caller(dict(context.invocation_metadata()))
            rule.admit(caller)
        serve(caller)

    def check(self, method: str, request: Message, first: bool) -> None:
        """Check the org of the resource that the request names, and keep the request's id with the caller."""
        caller = current_caller() or NOBODY
        self._rules[method].check(caller, request, required=first)
        if first:
            serve(replace(caller, request_id=getattr(request, "request_id", "")))


class ValidationInterceptor(_RequestInterceptor):
    """Checks each message against the field rules of its proto."""

    def __init__(self) -> None:
        self._validator = protovalidate.Validator()

    def check(self, method: str, request: Message, first: bool) -> None:
        """Raise InvalidArgument with every violation by field path."""
        del method, first
        violations = self._validator.collect_violations(request)
        if violations:
            raise InvalidArgument({_path(violation): violation.proto.message for violation in violations})
        if b"\0" in request.SerializeToString() and (place := _zero_character(request)):
            raise InvalidArgument({place: "holds a zero character, which no text may"}, fix="remove it")


def _zero_character(message: Message) -> str:
    """The first text field of a message or of those inside it that holds a zero character: no database keeps one.

    Documents (Struct, Value) are left to those who store them: what is only passed on may hold any text.
    """
    for field, value in message.ListFields():
        if field.message_type is not None and field.message_type.full_name.startswith("google.protobuf."):
            continue
        entries = value.items() if hasattr(value, "items") else enumerate(value) if field.is_repeated else [("", value)]
        for _, item in entries:
            if isinstance(item, str) and "\0" in item:
                return str(field.name)
            if isinstance(item, Message) and (inner := _zero_character(item)):
                return f"{field.name}.{inner}"
    return ""


def _path(violation: protovalidate.Violation) -> str:
    path = ""
    for element in violation.proto.field.elements if violation.proto.field else ():
        path += f".{element.field_name}" if path else element.field_name
        if element.subscript is not None:
            path += f"[{element.subscript.value}]"
    return path
