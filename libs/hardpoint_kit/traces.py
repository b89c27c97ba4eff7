"""Owns spans: the library's own once somebody listens; until then a trace is an id, in log lines and in runs.

With the library's spans and measurements, a warm call that nobody watches made some three hundred Python calls more.

A span says which error ended it and none of the error's words: an action that fails may repeat what it was given.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from opentelemetry import context as otel
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import StatusCode

from hardpoint_kit.errors import HardpointError

_ids = RandomIdGenerator()


class Traces(trace.TracerProvider):
    """Tracers that record from the first processor on; before, all spans of a trace in a process are one."""

    def __init__(self, resource: Resource) -> None:
        self._recording = TracerProvider(resource=resource)
        self.heard = False

    def get_tracer(self, *args: Any, **kwargs: Any) -> trace.Tracer:
        """See the API."""
        return _Tracer(self, self._recording.get_tracer(*args, **kwargs))

    def add_span_processor(self, processor: SpanProcessor) -> None:
        """Send ended spans to one more place."""
        self._recording.add_span_processor(processor)
        self.heard = True

    def force_flush(self) -> None:
        """Send what has ended."""
        self._recording.force_flush()

    def shutdown(self) -> None:
        """Send what is left and stop."""
        self._recording.shutdown()


class _Tracer(trace.Tracer):
    def __init__(self, traces: Traces, recording: trace.Tracer) -> None:
        self._traces = traces
        self._recording = recording

    def start_span(self, name: str, context: otel.Context | None = None, *args: Any, **kwargs: Any) -> trace.Span:
        """See the API."""
        if self._traces.heard:
            return self._recording.start_span(name, context, *args, **kwargs)
        outer = trace.get_current_span(context)
        return outer if outer.get_span_context().is_valid else trace.NonRecordingSpan(_new_trace())

    def start_as_current_span(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """See the API; for `with` only."""
        if self._traces.heard:
            return self._recorded(name, *args, **kwargs)
        outer = trace.get_current_span()
        if outer is trace.INVALID_SPAN:
            return trace.use_span(trace.NonRecordingSpan(_new_trace()))
        return _Within(outer)

    @contextmanager
    def _recorded(self, name: str, *args: Any, **kwargs: Any) -> Iterator[trace.Span]:
        kwargs |= {"record_exception": False, "set_status_on_exception": False}
        with self._recording.start_as_current_span(name, *args, **kwargs) as span:
            try:
                yield span
            except Exception as error:
                kind = error.reason if isinstance(error, HardpointError) else type(error).__name__
                span.set_status(StatusCode.ERROR, kind)
                raise


class _Within:
    """A `with` whose span is the one that is current already."""

    __slots__ = ("_span",)

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def __enter__(self) -> trace.Span:
        return self._span

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, stack: TracebackType | None
    ) -> None:
        pass


def _new_trace() -> trace.SpanContext:
    """Sampled, for whoever is called: that nobody listens here says nothing about them."""
    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED)
    return trace.SpanContext(_ids.generate_trace_id(), _ids.generate_span_id(), is_remote=False, trace_flags=flags)
