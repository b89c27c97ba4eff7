"""A place for spans: a small OTLP/gRPC receiver that keeps what it is sent, and the tree of one trace."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import grpc
import grpc.aio
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric


@dataclass(frozen=True, slots=True)
class Span:
    """One span as it was received; times in nanoseconds."""

    trace: str
    id: str
    parent: str
    name: str
    service: str
    start: int
    end: int
    failed: bool
    attributes: dict[str, object]
    events: tuple[str, ...] = ()
    problem: str = ""

    @property
    def milliseconds(self) -> float:
        """How long it took."""
        return (self.end - self.start) / 1e6


@dataclass
class Receiver(trace_service_pb2_grpc.TraceServiceServicer, metrics_service_pb2_grpc.MetricsServiceServicer):
    """Listens on a free loopback port; `spans` and `metrics` hold all that came."""

    spans: list[Span] = field(default_factory=list)
    metrics: list[Metric] = field(default_factory=list)
    endpoint: str = ""

    async def start(self) -> None:
        """Listen."""
        self._server = grpc.aio.server()
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(self, self._server)
        metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(self, self._server)
        self.endpoint = f"http://127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        await self._server.start()

    async def stop(self) -> None:
        """Stop listening."""
        await self._server.stop(0)

    def trace(self, trace_id: str) -> list[Span]:
        """The spans of one trace that came so far."""
        return [span for span in self.spans if span.trace == trace_id]

    def has(self, trace_id: str, service: str, name: str) -> bool:
        """Whether a span of this service, whose name ends so, came for the trace."""
        return any(span.service == service and span.name.endswith(name) for span in self.trace(trace_id))

    async def Export(self, request, _context):  # type: ignore[no-untyped-def]
        """Take spans or metrics: both services have one method, of this name."""
        if isinstance(request, metrics_service_pb2.ExportMetricsServiceRequest):
            for resource in request.resource_metrics:
                for scope in resource.scope_metrics:
                    self.metrics.extend(scope.metrics)
            return metrics_service_pb2.ExportMetricsServiceResponse()
        self.spans.extend(_spans(request))
        return trace_service_pb2.ExportTraceServiceResponse()


def in_order(spans: list[Span]) -> Iterator[tuple[int, Span]]:
    """The spans of one trace as a tree: each with its depth, children by start time after their parent."""
    known = {span.id for span in spans}
    children: dict[str, list[Span]] = defaultdict(list)
    for span in sorted(spans, key=lambda span: span.start):
        children[span.parent if span.parent in known else ""].append(span)

    def below(parent: str, depth: int) -> Iterator[tuple[int, Span]]:
        for span in children[parent]:
            yield depth, span
            yield from below(span.id, depth + 1)

    return below("", 0)


def _spans(request: trace_service_pb2.ExportTraceServiceRequest) -> Iterator[Span]:
    for resource in request.resource_spans:
        service = str(_attributes(resource.resource.attributes).get("service.name", ""))
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Span(
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.name,
                    service,
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    span.status.code == 2,
                    _attributes(span.attributes),
                    tuple(f"{event.name} {_attributes(event.attributes)}" for event in span.events),
                    span.status.message,
                )


def _attributes(pairs: "list[KeyValue]") -> dict[str, object]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> object:
    kind = value.WhichOneof("value")
    return getattr(value, kind) if kind else None
