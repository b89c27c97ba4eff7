"""What a call tells about itself: one span and one measurement, and no argument in either."""

from collections.abc import Mapping
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from hardpoint_kit.errors import ActionFailed
from hardpoint_kit.options import Options
from hardpoint_kit.telemetry import setup
from hardpoint_runtime.service import executions
from runtime.conftest import AGENT, TOOL, Client, Fakes, eventually
from runtime.fakes import failing


class Histogram:
    """Keeps what is measured."""

    def __init__(self) -> None:
        self.measured: list[tuple[float, Mapping[str, str]]] = []

    def record(self, seconds: float, attributes: Mapping[str, str]) -> None:
        self.measured.append((seconds, attributes))


@pytest.fixture
def spans() -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    setup("tests", Options()).add_span_processor(SimpleSpanProcessor(exporter))
    return exporter


def tool_spans(spans: InMemorySpanExporter) -> list[ReadableSpan]:
    return [span for span in spans.get_finished_spans() if span.name.startswith("execute_tool")]


async def test_a_call_is_one_span_without_its_arguments(attached: Client, spans: InMemorySpanExporter) -> None:
    answer = await attached.call(location="a-very-private-place")
    (span,) = tool_spans(spans)
    assert span.name == f"execute_tool {TOOL}"
    assert dict(span.attributes or {}) == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": TOOL,
        "gen_ai.agent.id": AGENT,
        "hardpoint.capability": "orgs/acme/capabilities/weather",
        "hardpoint.version": "1.0.0",
        "hardpoint.run": answer.run,
        "hardpoint.state": "SUCCEEDED",
    }
    assert not any("a-very-private-place" in seen.to_json() for seen in spans.get_finished_spans())


async def test_the_span_and_the_run_share_their_trace(
    attached: Client, spans: InMemorySpanExporter, query: Any
) -> None:
    await attached.call()
    (span,) = tool_spans(spans)
    assert span.context is not None
    assert await query("SELECT trace_id FROM runs") == [(f"{span.context.trace_id:032x}",)]


async def test_a_failed_call_is_a_failed_span(attached: Client, spans: InMemorySpanExporter, fakes: Fakes) -> None:
    fakes.executor.behave = failing(ActionFailed("broken"))
    with pytest.raises(ActionFailed):
        await attached.call()
    (span,) = tool_spans(spans)
    assert not span.status.is_ok
    assert (span.attributes or {})["hardpoint.state"] == "FAILED"


async def test_durations_are_measured_by_capability_and_action(
    attached: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    histogram = Histogram()
    monkeypatch.setattr(executions, "_duration", histogram)
    await attached.call()
    ((seconds, attributes),) = histogram.measured
    assert seconds > 0
    assert attributes == {
        "hardpoint.capability": "orgs/acme/capabilities/weather",
        "hardpoint.action": "get-weather",
        "hardpoint.state": "SUCCEEDED",
    }


async def test_a_warm_call_uses_the_database_for_nothing_but_its_record(
    attached: Client, spans: InMemorySpanExporter
) -> None:
    """Word of the attachment may still be on its way at the first calls, which then read it again."""

    async def warm() -> bool:
        spans.clear()
        await attached.call()
        (call,) = tool_spans(spans)
        assert call.context is not None
        trace = call.context.trace_id
        finished = [span for span in spans.get_finished_spans() if span.context and span.context.trace_id == trace]
        return "transaction" not in {span.name for span in finished}

    await eventually(warm)
    assert [await warm() for _ in range(5)] == [True] * 5
