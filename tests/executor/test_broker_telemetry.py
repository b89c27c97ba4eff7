"""What operators see of a call: spans, logs, and no secret in either."""

import logging
import traceback

import pytest
import structlog
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from executor.brokers import URL, broker_of, client_of, code_of
from executor.upstream import Seen, Upstream, json_answer, redirect
from hardpoint_executor.broker import http
from hardpoint_executor.broker.denial import BrokerDenied
from hardpoint_executor.broker.fetch import FetchRequest


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(http, "tracer", provider.get_tracer("test"))
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
    ok, bad = spans.get_finished_spans()
    assert (ok.events, bad.events) == ((), ())
    assert (bad.attributes or {})["error.type"] == "UPSTREAM_ERROR"
    assert not [text for text in texts if "hunter2" in text]


async def test_each_attempt_is_one_client_span_and_the_upstream_hears_of_it(spans: InMemorySpanExporter) -> None:
    def respond(request: Seen) -> bytes:
        return redirect("/next?token=x") if request.target == "/v1" else json_answer({}, 404)

    async with Upstream(respond) as api, client_of({"api.example.com": api}) as client:
        await broker_of(client).fetch(FetchRequest("GET", URL))
    first, second = spans.get_finished_spans()
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
