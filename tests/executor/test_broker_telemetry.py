"""What operators see of a call: spans, logs, and no secret in either."""

import logging
import traceback
from typing import Any

import pytest
import structlog
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from executor.brokers import URL, broker_of, client_of, code_of, resolving
from executor.upstream import Seen, Upstream, json_answer, redirect
from hardpoint_executor.broker import broker as broker_module
from hardpoint_executor.broker import http
from hardpoint_executor.broker.denial import BrokerDenied
from hardpoint_executor.broker.fetch import FetchRequest


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(http, "tracer", provider.get_tracer("test"))
    monkeypatch.setattr(broker_module, "tracer", provider.get_tracer("test"))
    return exporter


async def test_a_secret_is_in_no_error_log_or_span(
    caplog: pytest.LogCaptureFixture, spans: InMemorySpanExporter
) -> None:
    value = "hunter2-hunter2"
    caplog.set_level(logging.DEBUG)

    def respond(request: Seen) -> bytes:
        return b"not HTTP \r\n\r\n" if "bad" in request.target else json_answer({}, 503)

    texts: list[str] = []
    with structlog.testing.capture_logs() as logs:
        async with Upstream(respond) as api, client_of({"api.example.com": api}) as client:
            broker = broker_of(client, secrets={"KEY": value})
            handle = broker.secrets.handles["KEY"]
            texts.append(repr(broker.secrets))
            await broker.fetch(FetchRequest("POST", f"{URL}?key={handle}", {"X-Key": handle}, handle))
            for url in (f"{URL}/bad", "https://evil.test/", "https://api.example.com:99999/"):
                with pytest.raises(BrokerDenied) as denied:
                    await broker.fetch(FetchRequest("POST", f"{url}?key={handle}", {"X-Key": handle}, handle))
                texts += [*traceback.format_exception(denied.value), denied.value.fix]
            assert api.seen[0].target.endswith(value)
    texts += [repr(logs), *(record.getMessage() for record in caplog.records)]
    texts += [span.to_json() for span in spans.get_finished_spans()]
    _, bad = (span for span in spans.get_finished_spans() if span.kind == SpanKind.CLIENT)
    assert not [span for span in spans.get_finished_spans() if span.events]
    assert (bad.attributes or {})["error.type"] == "UPSTREAM_ERROR"
    assert not [text for text in texts if "hunter2" in text]


async def test_each_attempt_is_one_client_span_and_the_upstream_hears_of_it(spans: InMemorySpanExporter) -> None:
    def respond(request: Seen) -> bytes:
        return redirect("/next?token=x") if request.target == "/v1" else json_answer({}, 404)

    async with Upstream(respond) as api, client_of({"api.example.com": api}) as client:
        await broker_of(client).fetch(FetchRequest("GET", URL))
    first, second, effect = spans.get_finished_spans()
    assert effect.name == "broker fetch"
    assert first.attributes == {
        "http.request.method": "GET",
        "server.address": "api.example.com",
        "server.port": 443,
        "url.scheme": "https",
        "http.response.status_code": 302,
    }
    assert (second.attributes or {})["error.type"] == "404"
    assert not second.status.is_ok
    for span, seen in zip((first, second), api.seen, strict=True):
        assert span.kind == SpanKind.CLIENT
        assert span.events == ()
        assert span.context is not None
        traceparent = seen.header("traceparent") or ""
        assert traceparent.startswith(f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-")


async def test_a_denial_is_logged_with_its_code_and_owner() -> None:
    async with client_of({}) as client:
        with structlog.testing.capture_logs() as logs:
            await code_of(broker_of(client), FetchRequest("GET", "https://evil.test/"))
    [entry] = logs
    assert (entry["code"], entry["org"], entry["capability"]) == ("HOST_NOT_GRANTED", "acme", "weather-lookup")
    assert "evil.test" in entry["event"]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> InMemoryMetricReader:
    reader = InMemoryMetricReader()
    meter = MeterProvider([reader]).get_meter("test")
    monkeypatch.setattr(broker_module, "duration", meter.create_histogram("hardpoint.broker.duration", "s"))
    monkeypatch.setattr(broker_module, "io", meter.create_counter("hardpoint.broker.io", "By"))
    monkeypatch.setattr(http, "duration", meter.create_histogram("http.client.request.duration", "s"))
    return reader


def readings(reader: InMemoryMetricReader) -> dict[str, list[tuple[dict[str, object], float]]]:
    data = reader.get_metrics_data()
    return {
        metric.name: [
            (dict(point.attributes), getattr(point, "value", getattr(point, "count", 0)))
            for point in metric.data.data_points
        ]
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


async def test_every_effect_is_a_span_and_a_reading(
    spans: InMemorySpanExporter, measured: InMemoryMetricReader
) -> None:
    async with Upstream(lambda _: json_answer({"a": 1})) as api, client_of({"api.example.com": api}) as client:
        broker = broker_of(client, secrets={"KEY": "hunter2-hunter2"})
        key = broker.secrets.handles["KEY"]
        await broker.ask("fetch", "post", {"url": f"{URL}/hidden?key={key}", "body": "12345"})
        await broker.ask("file", "write", {"name": "hidden", "data": "hidden"})
        await broker.ask("context", "get", {})
        for service, method, arguments in (
            ("fetch", "GET", {"url": "https://hidden.test/"}),
            ("hidden", "hidden", {}),
            ("file", "hidden", {}),
        ):
            with pytest.raises(BrokerDenied):
                await broker.ask(service, method, arguments)
    finished = spans.get_finished_spans()
    assert [(span.name, (span.attributes or {}).get("error.type")) for span in finished] == [
        ("POST", None),
        ("broker fetch", None),
        ("broker file", None),
        ("broker context", None),
        ("broker fetch", "HOST_NOT_GRANTED"),
        ("broker unknown", "SERVICE_UNKNOWN"),
        ("broker file", "SERVICE_UNKNOWN"),
    ]
    assert finished[0].parent == finished[1].context
    found = readings(measured)
    assert [(dict(a), n) for a, n in found["hardpoint.broker.duration"]] == [
        ({"hardpoint.broker.service": "fetch", "hardpoint.broker.method": "POST"}, 1),
        ({"hardpoint.broker.service": "file", "hardpoint.broker.method": "write"}, 1),
        ({"hardpoint.broker.service": "context", "hardpoint.broker.method": "get"}, 1),
        (
            {
                "hardpoint.broker.service": "fetch",
                "hardpoint.broker.method": "GET",
                "error.type": "HOST_NOT_GRANTED",
            },
            1,
        ),
        (
            {
                "hardpoint.broker.service": "unknown",
                "hardpoint.broker.method": "_OTHER",
                "error.type": "SERVICE_UNKNOWN",
            },
            1,
        ),
        (
            {"hardpoint.broker.service": "file", "hardpoint.broker.method": "_OTHER", "error.type": "SERVICE_UNKNOWN"},
            1,
        ),
    ]
    assert found["hardpoint.broker.io"] == [
        ({"network.io.direction": "transmit"}, 5),
        ({"network.io.direction": "receive"}, 8),
    ]
    [(attributes, count)] = found["http.client.request.duration"]
    assert (attributes["http.request.method"], attributes["http.response.status_code"], count) == ("POST", 200, 1)
    told = repr(found) + "".join(span.to_json() for span in finished)
    assert "hidden" not in told
    assert "hunter2" not in told


@pytest.mark.parametrize(
    ("service", "method", "arguments"),
    [
        ("calendar", "get", {"path": "/ada/x"}),
        ("email", "search", {}),
        ("email", "send", {"to": "a@example.com", "subject": "x", "body": "x"}),
        ("db", "query", {"sql": "SELECT 1"}),
    ],
)
async def test_where_a_url_leads_that_is_a_secret_is_in_no_span_and_no_reading(
    service: str, method: str, arguments: dict[str, Any], spans: InMemorySpanExporter, measured: InMemoryMetricReader
) -> None:
    place = "ada:hunter2@hidden.example.com"
    schemes = {
        "CALDAV_URL": f"https://{place}/ada/",
        "IMAP_URL": f"imap://{place}",
        "SMTP_URL": f"smtp://{place}",
        "DATABASE_URL": f"postgresql://{place}/x?sslmode=disable",
    }
    async with client_of({}, resolving(["10.0.0.7"])) as client:
        broker = broker_of(client, secrets=schemes, settings={"EMAIL_FROM": "a@example.com"})
        with pytest.raises(BrokerDenied) as denied:
            await broker.ask(service, method, arguments)
        assert denied.value.code == "ADDRESS_NOT_PUBLIC"
    told = [span.to_json() for span in spans.get_finished_spans()]
    assert told
    assert "hidden" not in "".join(told) + repr(readings(measured))


async def test_a_span_names_the_models_of_the_settings_and_no_other(spans: InMemorySpanExporter) -> None:
    settings = {"AI_URL": URL, "AI_MODEL": "model-1"}
    answered = {"choices": [{"message": {"content": "hello"}}]}
    async with Upstream(lambda _: json_answer(answered)) as api, client_of({"api.example.com": api}) as client:
        broker = broker_of(client, secrets={"AI_KEY": "k-123456"}, settings=settings)
        await broker.ask("ai", "chat", {"prompt": "a"})
        await broker.ask("ai", "chat", {"prompt": "a", "model": "what the customer said"})
    asked = [span.attributes or {} for span in spans.get_finished_spans() if span.name == "broker ai"]
    assert [attributes["gen_ai.request.model"] for attributes in asked] == ["model-1", "_OTHER"]
