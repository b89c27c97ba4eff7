"""Owns what a process tells about itself: traces, metrics and log lines, without secrets in any of them."""

import logging
import sys
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

import structlog
from opentelemetry import metrics, propagate, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler, SamplingResult

from hardpoint_kit.caller import current_caller
from hardpoint_kit.options import Options

REDACTED = "[redacted]"
_SECRET_WORDS = ("authorization", "token", "secret", "password", "passwd", "cookie", "api_key", "private_key", "ticket")

tracer = trace.get_tracer("hardpoint")
meter = metrics.get_meter("hardpoint")


class _WhenHeard(Sampler):
    """Records spans once there is somewhere to send them; until then a trace is an id in log lines and runs."""

    heard = False

    def should_sample(self, *args: Any, **kwargs: Any) -> SamplingResult:
        """Record all or nothing."""
        return (ALWAYS_ON if self.heard else ALWAYS_OFF).should_sample(*args, **kwargs)

    def get_description(self) -> str:
        """Name the sampler."""
        return "WhenHeard"


@dataclass(frozen=True, slots=True)
class Telemetry:
    """The process's providers; what was recorded last leaves with `shutdown`."""

    tracer_provider: TracerProvider
    meter_provider: MeterProvider
    sampler: _WhenHeard

    def add_span_processor(self, processor: SpanProcessor) -> None:
        """Send ended spans to one more place, such as a test's or a demo's memory."""
        self.sampler.heard = True
        self.tracer_provider.add_span_processor(processor)

    def shutdown(self) -> None:
        """Send what is left and stop."""
        self.tracer_provider.shutdown()
        self.meter_provider.shutdown()


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
        resource = Resource.create({SERVICE_NAME: service_name})
        readers: list[MetricReader] = []
        sampler = _WhenHeard()
        tracer_provider = TracerProvider(resource=resource, sampler=ParentBased(sampler))
        if options.otlp_endpoint:
            sampler.heard = True
            tracer_provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=options.otlp_endpoint)))
            readers.append(PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=options.otlp_endpoint)))
        meter_provider = MeterProvider(resource=resource, metric_readers=readers)
        trace.set_tracer_provider(tracer_provider)
        metrics.set_meter_provider(meter_provider)
        _telemetry = Telemetry(tracer_provider, meter_provider, sampler)
    return _telemetry


def inject() -> dict[str, str]:
    """Return the current trace context as headers, to be carried where no library does it."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier


def extract(carrier: Mapping[str, str]) -> Context:
    """Read a trace context that `inject` wrote."""
    return propagate.extract(carrier)


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
