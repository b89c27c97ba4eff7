"""Owns what both sides of a call say of it in a trace, by the OpenTelemetry conventions.

Needs the API of OpenTelemetry alone, so that a client need not load what only servers use.
"""

from collections.abc import Mapping
from functools import cache

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from hardpoint_kit.carrier import carrier

CODE = "rpc.grpc.status_code"

_tracer = trace.get_tracer("hardpoint")
_propagator = TraceContextTextMapPropagator()


def client_span(method: str) -> tuple[Span, dict[str, str]]:
    """Start the span of a call to `/package.Service/Method`, with the metadata that carries it to the server."""
    span = _tracer.start_span(method[1:], kind=SpanKind.CLIENT, attributes=attributes(method))
    return span, carrier(span)


def server_span(method: str, metadata: Mapping[str, str]) -> tuple[Span, Context]:
    """Start the span of a call that is served, and the context in which it is the current one."""
    parent = _propagator.extract(metadata)
    span = _tracer.start_span(method[1:], parent, SpanKind.SERVER, attributes(method))
    return span, trace.set_span_in_context(span, parent)


@cache
def attributes(method: str) -> Mapping[str, str]:
    """What a span or a measurement says of a method."""
    service, _, name = method[1:].partition("/")
    return {"rpc.system": "grpc", "rpc.service": service, "rpc.method": name}
