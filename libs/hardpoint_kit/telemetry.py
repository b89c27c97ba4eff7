"""Owns what a process tells about itself: traces, metrics and log lines, without secrets in any of them."""

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog
from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from hardpoint_kit.caller import current_caller
from hardpoint_kit.carrier import carrier
from hardpoint_kit.options import Options
from hardpoint_kit.traces import Traces

REDACTED = "[redacted]"
_SECRET_WORDS = ("authorization", "token", "secret", "password", "passwd", "cookie", "api_key", "private_key", "ticket")

tracer = trace.get_tracer("hardpoint")
meter = metrics.get_meter("hardpoint")
_propagator = TraceContextTextMapPropagator()


class Telemetry:
    """The process's spans and measurements; what was recorded last leaves with `shutdown`."""

    def __init__(self, service_name: str) -> None:
        resource = Resource.create({SERVICE_NAME: service_name})
        self.traces = Traces(resource)
        self._meters = MeterProvider(resource=resource)
        self._measured = False

    def add_span_processor(self, processor: SpanProcessor) -> None:
        """Send ended spans to one more place, such as a test's or a demo's memory."""
        self.traces.add_span_processor(processor)

    def add_metric_reader(self, reader: MetricReader) -> None:
        """Have measurements read by one more; before the first, instruments do nothing."""
        if not self._measured:
            self._measured = True
            metrics.set_meter_provider(self._meters)
        self._meters.add_metric_reader(reader)

    def shutdown(self) -> None:
        """Send what is left and stop."""
        self.traces.shutdown()
        self._meters.shutdown()


_telemetry: Telemetry | None = None

# Local variables of a stack hold what people sent, secrets too.
_tracebacks = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))


def setup(service_name: str, options: Options) -> Telemetry:
    """Set the process's logging, tracing and metrics up; a second call returns what the first one set.

    Spans and metrics leave the process only when `otlp_endpoint` is set.
    """
    global _telemetry
    if _telemetry is None:
        _setup_logging(options)
        _telemetry = Telemetry(service_name)
        trace.set_tracer_provider(_telemetry.traces)
        if options.otlp_endpoint:
            _telemetry.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=options.otlp_endpoint)))
            _telemetry.add_metric_reader(
                PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=options.otlp_endpoint))
            )
    return _telemetry


def inject() -> dict[str, str]:
    """Return the current trace context as headers, to be carried where no library does it."""
    return carrier(trace.get_current_span())


def extract(carried: Mapping[str, str]) -> Context:
    """Read a trace context that `inject` wrote."""
    return _propagator.extract(carried)


def trace_id() -> str:
    """Return the id of the current trace, empty outside one."""
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else ""


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace every value whose key sounds like a secret, however deep it lies."""
    for key in event:
        event[key] = _redacted(key, event[key])
    return event


def _redacted(key: str, value: Any) -> Any:
    name = key.lower().replace("-", "_")
    if any(word in name for word in _SECRET_WORDS):
        return REDACTED
    if isinstance(value, Mapping):
        return {str(inner): _redacted(str(inner), value[inner]) for inner in value}
    if isinstance(value, list | tuple):
        return [_redacted("", inner) for inner in value]
    return value


def _add_context(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        event["trace_id"] = trace.format_trace_id(span.trace_id)
        event["span_id"] = trace.format_span_id(span.span_id)
    who = current_caller()
    if who is not None and who.org:
        event.setdefault("org", who.org)
    return event


def _setup_logging(options: Options) -> None:
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_context,
        redact,
    ]
    last: list[structlog.types.Processor] = (
        [_tracebacks, structlog.processors.JSONRenderer()]
        if options.log_format == "json"
        else [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(options.log_level.upper())
    for chatty in ("httpx", "httpcore", "alembic", "sqlalchemy.engine"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
