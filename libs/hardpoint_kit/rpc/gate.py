"""Owns what happens around every RPC that is served: its span, the caller and the rule, the field rules, the outcome.

Handlers are wrapped once, when they are registered: interceptors of the library would be run anew for every call.
Request streams are checked message by message as the handler reads them; handlers read through their iterator.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import grpc
import structlog
from google.protobuf.message import Message
from opentelemetry import context as otel
from opentelemetry import metrics, trace

from hardpoint_kit.auth import MethodRule, Verifier
from hardpoint_kit.caller import NOBODY, current_caller, serve
from hardpoint_kit.errors import Cancelled, DeadlineExceeded, HardpointError, Internal, Unauthenticated
from hardpoint_kit.rpc.fields import FieldCheck
from hardpoint_kit.rpc.spans import CODE, attributes, server_span
from hardpoint_kit.rpc.status import from_rpc_error, trailing_metadata
from hardpoint_kit.telemetry import trace_id

Context = Any
Handler = Any
Behaviour = Callable[[Any, Context], Any]
Prepare = Callable[["_Served", MethodRule, Any], Awaitable[Any]]

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


class Gate:
    """Lets in who may call what, with a request that is well formed; without a rule nobody is let in."""

    def __init__(self, verifier: Verifier, rules: Mapping[str, MethodRule]) -> None:
        self._verifier = verifier
        self._rules = rules
        self._fields = FieldCheck()

    def guard(self, method: str, handler: Handler) -> Handler:
        """Return the handler of `/package.Service/Method` behind the gate.

        Every call ends with a status that the caller can act on. What is not a HardpointError is a defect: the caller
        gets INTERNAL and the trace id, the log gets the stack.
        """
        rule = self._rules[method]
        behaviour: Behaviour = (
            handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
        )
        prepare: Prepare = self._prepare_stream if handler.request_streaming else self._prepare

        async def unary(request: Any, context: Context) -> Any:
            served = _Served(method, context)
            try:
                response = await behaviour(await prepare(served, rule, request), context)
            except BaseException as error:
                await served.fail(error)
                raise
            served.end(grpc.StatusCode.OK)
            return response

        async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
            served = _Served(method, context)
            try:
                # Closed here and now: what a handler began must not wait for the garbage collector to be ended.
                async with aclosing(behaviour(await prepare(served, rule, request), context)) as responses:
                    async for response in responses:
                        yield response
            except BaseException as error:
                await served.fail(error)
                raise
            served.end(grpc.StatusCode.OK)

        return _with_behaviour(handler, unary, stream)

    async def _prepare(self, served: "_Served", rule: MethodRule, request: Message) -> Message:
        caller = await self._admit(served, rule)
        rule.check(caller, request)
        request_id = getattr(request, "request_id", "")
        if request_id:
            serve(replace(caller, request_id=request_id))
        self._fields.check(request)
        return request

    async def _prepare_stream(
        self, served: "_Served", rule: MethodRule, requests: AsyncIterator[Message]
    ) -> AsyncIterator[Message]:
        await self._admit(served, rule)
        return self._checked(rule, requests)

    async def _checked(self, rule: MethodRule, requests: AsyncIterator[Message]) -> AsyncIterator[Message]:
        first = True
        async for request in requests:
            caller = current_caller() or NOBODY
            rule.check(caller, request, required=first)
            if first:
                serve(replace(caller, request_id=getattr(request, "request_id", "")))
            self._fields.check(request)
            first = False
            yield request

    async def _admit(self, served: "_Served", rule: MethodRule) -> Any:
        """Verify the token and check the caller's roles; the caller is that of the task from here on."""
        caller = NOBODY
        if rule.needs_token:
            caller = await self._verifier.caller(served.metadata)
            rule.admit(caller)
        serve(caller)
        return caller


class _Served:
    """One call while it is served: its metadata, its span, its clock."""

    def __init__(self, method: str, context: Context) -> None:
        self.metadata: dict[str, Any] = dict(context.invocation_metadata())
        self._started = time.perf_counter()
        self._method = method
        self._context = context
        self._span, current = server_span(method, self.metadata)
        # Every call is served in a task of its own, which takes the context with it when it ends.
        otel.attach(current)

    def end(self, code: grpc.StatusCode) -> None:
        """Close the span and count the call."""
        self._span.set_attribute(CODE, code.value[0])
        self._span.end()
        _duration.record(time.perf_counter() - self._started, {**attributes(self._method), CODE: code.value[0]})

    async def fail(self, raised: BaseException) -> None:
        """Abort the call with the status of what was raised; returns when that must go on its way unchanged."""
        error = _mapped(raised)
        if error is None:
            self.end(grpc.StatusCode.CANCELLED)
            return
        if isinstance(error, Internal):
            error.metadata.setdefault("trace", trace_id())
            _log.error("rpc failed", method=self._method, reason=error.reason, exc_info=raised)
            self._span.add_event("exception", {"exception.type": _name_of(type(raised))})
        else:
            _log.info(
                "rpc refused", method=self._method, code=error.code.name, reason=error.reason, problem=error.loggable
            )
        self._span.set_attribute("hardpoint.reason", error.reason)
        if error.code in _SERVER_FAULTS:
            self._span.set_status(trace.StatusCode.ERROR, error.reason)
        self.end(error.code)
        await self._context.abort(error.code, error.message[:2000], trailing_metadata(error))


def _with_behaviour(handler: Handler, unary: Behaviour, stream: Behaviour) -> Handler:
    """Return the handler with another behaviour: `unary` when it answers one message, `stream` when many."""
    if handler.response_streaming:
        make = (
            grpc.stream_stream_rpc_method_handler if handler.request_streaming else grpc.unary_stream_rpc_method_handler
        )
        return make(stream, handler.request_deserializer, handler.response_serializer)
    make = grpc.stream_unary_rpc_method_handler if handler.request_streaming else grpc.unary_unary_rpc_method_handler
    return make(unary, handler.request_deserializer, handler.response_serializer)


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


def _name_of(kind: type[BaseException]) -> str:
    """The name of an exception as OpenTelemetry writes it."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _defect() -> Internal:
    return Internal("internal error", fix="report it with the trace id")
