"""One trace from caller to database, lines that can be found by it, and no secret in either."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from hardpoint_kit.caller import Caller, acting_as
from hardpoint_kit.database import Database
from hardpoint_kit.errors import ActionFailed, InvalidArgument
from hardpoint_kit.options import Options
from hardpoint_kit.telemetry import REDACTED, extract, inject, redact, setup, trace_id, tracer
from kit.echo import SHAPES, Echo, call

MINE = "orgs/acme/agents/a"


@pytest.mark.parametrize("method", SHAPES)
async def test_one_trace_through_a_call(
    method: str, server: Any, servicer: Any, dial: Any, spans: Any, database_url: Any
) -> None:
    database = Database(await database_url("kit.example"))

    async def act(request: Any, context: Any) -> None:
        async with database.transaction("acme"):
            pass

    servicer.act = act
    with tracer.start_as_current_span("test") as root:
        await call(dial(server), method, Echo(name=MINE))
        inside = trace_id()
    await database.close()
    ended = {span.kind: span for span in spans.get_finished_spans()}
    assert {span.context.trace_id for span in spans.get_finished_spans()} == {root.get_span_context().trace_id}
    assert ended[SpanKind.SERVER].parent.span_id == ended[SpanKind.CLIENT].context.span_id
    assert "transaction" in {span.name for span in spans.get_finished_spans()}
    assert inside == f"{root.get_span_context().trace_id:032x}"


@pytest.mark.parametrize("method", SHAPES)
async def test_server_span_tells_how_the_call_failed(
    method: str, server: Any, servicer: Any, dial: Any, spans: Any
) -> None:
    async def act(request: Any, context: Any) -> None:
        raise ZeroDivisionError

    servicer.act = act
    with pytest.raises(Exception, match="internal error") as caught:
        await call(dial(server), method, Echo(name=MINE))
    (span,) = (span for span in spans.get_finished_spans() if span.kind is SpanKind.SERVER)
    assert span.status.status_code is StatusCode.ERROR
    assert "ZeroDivisionError" in {event.attributes["exception.type"] for event in span.events}
    assert caught.value.metadata["trace"] == f"{span.context.trace_id:032x}"  # type: ignore[attr-defined]


async def test_refusal_is_not_the_servers_fault(server: Any, dial: Any, spans: Any) -> None:
    with pytest.raises(InvalidArgument):
        await call(dial(server), "One", Echo())
    (span,) = (span for span in spans.get_finished_spans() if span.kind is SpanKind.SERVER)
    assert span.status.status_code is StatusCode.UNSET
    assert span.attributes["hardpoint.reason"] == "INVALID_ARGUMENT"


async def test_words_that_may_repeat_what_was_sent_are_for_the_caller_alone(
    server: Any, servicer: Any, dial: Any, spans: Any, lines: io.StringIO
) -> None:
    sent = "a-very-private-place"

    async def act(request: Any, context: Any) -> None:
        with tracer.start_as_current_span("inner"):
            raise ActionFailed(f"nobody is in {sent}")

    servicer.act = act
    with pytest.raises(ActionFailed, match=sent):
        await call(dial(server), "One", Echo(name=MINE))
    told = "".join(span.to_json() for span in spans.get_finished_spans()) + lines.getvalue()
    assert "USER_ERROR" in told
    assert sent not in told
    (inner,) = (span for span in spans.get_finished_spans() if span.name == "inner")
    assert inner.status.status_code is StatusCode.ERROR


async def test_calls_are_timed_by_method_and_code(server: Any, dial: Any, telemetry: Any) -> None:
    reader = InMemoryMetricReader()
    telemetry.add_metric_reader(reader)
    await call(dial(server), "Down", Echo(name=MINE))
    with pytest.raises(InvalidArgument):
        await call(dial(server), "One", Echo())
    data: Any = reader.get_metrics_data()
    points = [
        point
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == "rpc.server.duration"
        for point in metric.data.data_points
    ]
    counted = {
        (point.attributes["rpc.method"], point.attributes["rpc.grpc.status_code"]): point.count for point in points
    }
    assert counted[("Down", 0)] == 1
    assert counted[("One", 3)] == 1


def test_trace_context_can_be_carried_by_hand(telemetry: Any) -> None:
    with tracer.start_as_current_span("here") as here:
        carrier = inject()
    with tracer.start_as_current_span("there", context=extract(carrier)) as there:
        assert there.get_span_context().trace_id == here.get_span_context().trace_id


@pytest.fixture
def lines(telemetry: Any) -> Iterator[io.StringIO]:
    """What the process writes to its log meanwhile."""
    (handler,) = (
        handler
        for handler in logging.getLogger().handlers
        if isinstance(handler, logging.StreamHandler)
        and isinstance(handler.formatter, structlog.stdlib.ProcessorFormatter)
    )
    buffer = io.StringIO()
    before = handler.setStream(buffer)
    yield buffer
    handler.setStream(before)


def test_line_reads_alone(lines: io.StringIO) -> None:
    with acting_as(Caller("ada", "acme", frozenset())), tracer.start_as_current_span("act"):
        expected = trace_id()
        structlog.get_logger("test").warning("release published", release="orgs/acme/x", token="hunter2")
    line = json.loads(lines.getvalue())
    assert line["event"] == "release published"
    assert (line["org"], line["trace_id"], line["level"]) == ("acme", expected, "warning")
    assert line["token"] == REDACTED


def test_lines_of_libraries_look_the_same(lines: io.StringIO) -> None:
    logging.getLogger("some.library").warning("odd: %s", 7, extra={"password": "hunter2"})
    line = json.loads(lines.getvalue())
    assert (line["event"], line["logger"], line["password"]) == ("odd: 7", "some.library", REDACTED)


def test_stack_is_in_the_line(lines: io.StringIO) -> None:
    sent = "hunter" + str(2)
    try:
        raise ZeroDivisionError("boom" if sent else "")
    except ZeroDivisionError:
        structlog.get_logger("test").exception("it broke")
    assert sent not in lines.getvalue()
    (told,) = json.loads(lines.getvalue())["exception"]
    assert (told["exc_type"], told["exc_value"]) == ("ZeroDivisionError", "boom")


def test_setup_is_done_once(telemetry: Any) -> None:
    assert setup("other", Options()) is telemetry


def test_secrets_are_redacted_however_deep() -> None:
    event = {
        "event": "x",
        "Authorization": "Bearer hunter2",
        "api-key": "hunter2",
        "nested": {"headers": [{"set-cookie": "hunter2"}], "DB_PASSWORD": "hunter2", "city": "Oslo"},
        "lease_token": b"hunter2",
    }
    cleaned = redact(None, "info", event)
    assert "hunter2" not in str(cleaned)
    assert "Oslo" in str(cleaned)


def test_spans_are_recorded_once_somebody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardpoint_kit.telemetry._telemetry", None)
    fresh = setup("fresh", Options())
    mine = fresh.traces.get_tracer("test")
    unheard = mine.start_span("unheard")
    assert unheard.get_span_context().is_valid
    assert not unheard.is_recording()
    assert unheard.get_span_context().trace_flags.sampled, "those we call may have somebody who listens"
    exporter = InMemorySpanExporter()
    fresh.add_span_processor(SimpleSpanProcessor(exporter))
    mine.start_span("heard").end()
    assert [span.name for span in exporter.get_finished_spans()] == ["heard"]
