"""S23: one call is one trace over every hop, into the jail and out to the upstream, without arguments or secrets."""

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from hardpoint.runtime.v1 import run_pb2

from .conftest import System, add_file, eventually, http_capability

PLACE = "Ushuaia-canary"
CODE = b"""
export default {
  id: 'fetcher', name: 'Fetcher', version: '1.0.0',
  actions: {
    async look(input) {
      const answer = await this.fetch(input.url);
      return { status: answer.status };
    },
    async lose(input) { throw new Error(`nobody is in ${input.place}`); }
  },
  hosts: ['upstream.test'],
  permissions: ['network.http.get', 'compute.moderate']
};
"""


async def received(system: System, turn: trace.Span) -> list:
    """The spans of an agent's turn, when the last of them came: the parent of each is among them, or is the turn."""
    context = turn.get_span_context()
    trace_id, root = trace.format_trace_id(context.trace_id), trace.format_span_id(context.span_id)

    def orphans() -> list[str]:
        spans = system.receiver.trace(trace_id)
        known = {span.id for span in spans} | {root}
        return [f"{span.service}: {span.name}" for span in spans if span.parent not in known]

    async def whole() -> bool:
        ended = system.receiver.has(trace_id, system.service("runtime"), "CallAction")
        return ended and system.receiver.has(trace_id, system.service("executor"), "ExecuteToEnd") and not orphans()

    try:
        await eventually(whole)
    except TimeoutError:
        assert orphans() == [], "a span without its parent is no part of the tree"
        raise
    return system.receiver.trace(trace_id)


async def test_http_call(system, client, agent, add):
    url = system.upstream.serve((200, {"ok": True}))
    await add(
        http_capability(
            url,
            action={"inputs": [{"name": "place", "type": "string", "required": True}]},
            integration={"params": {"place": "${input.place}"}},
        )
    )
    tracer = TracerProvider().get_tracer("test")
    with tracer.start_as_current_span("turn") as turn:
        response = await agent.execute("probe.get", {"place": PLACE})
    trace_id = trace.format_trace_id(turn.get_span_context().trace_id)

    assert response.error is None
    spans = await received(system, turn)
    names = [span.name for span in spans]
    assert any(name.startswith("execute_tool") for name in names)
    assert "GET" in names
    upstream = system.upstream.asked(url)[-1]
    assert upstream.headers["traceparent"].split("-")[1] == trace_id
    assert upstream.query == {"place": PLACE}
    tool = next(span for span in spans if span.name.startswith("execute_tool"))
    assert tool.attributes["gen_ai.operation.name"] == "execute_tool"
    assert tool.attributes["gen_ai.tool.name"] == "probe.get"
    assert PLACE not in repr(spans)
    run = await client.runs.GetRun(run_pb2.GetRunRequest(name=response.run))
    assert run.trace_id == trace_id


@pytest.mark.jail
async def test_jailed_call(system, client, agent):
    await add_file(client, agent, CODE, "fetcher.js")
    url = system.upstream.serve((200, {"ok": True}))
    tracer = TracerProvider().get_tracer("test")
    with tracer.start_as_current_span("turn") as turn:
        response = await agent.execute("fetcher.look", {"url": f"{url}?place={PLACE}"})
    trace_id = trace.format_trace_id(turn.get_span_context().trace_id)

    assert response.error is None, response.error
    assert response.data == {"status": 200}
    spans = await received(system, turn)
    assert any("jail" in span.name for span in spans)
    assert "GET" in [span.name for span in spans]
    assert system.upstream.asked(url)[-1].headers["traceparent"].split("-")[1] == trace_id
    assert PLACE not in repr(spans)


@pytest.mark.jail
async def test_what_went_wrong_with_an_argument_is_told_to_the_caller_alone(system, client, agent):
    await add_file(client, agent, CODE, "fetcher.js")
    ends = system.deployment.ends()
    with TracerProvider().get_tracer("test").start_as_current_span("turn") as turn:
        failed = await agent.execute("fetcher.lose", {"place": PLACE})
    assert PLACE in failed.error.message
    spans = await received(system, turn)
    assert [span.problem for span in spans if span.name.startswith("execute_tool")] == ["USER_ERROR"]
    assert PLACE not in repr(spans)
    assert "USER_ERROR" in system.deployment.log(ends)
    assert PLACE not in system.deployment.log(ends)


async def test_durations_are_measured_by_capability_and_action(system, agent, add):
    await add(http_capability(system.upstream.serve((200, {"ok": True}))))
    await agent.execute("probe.get")

    async def measured() -> bool:
        return any(
            metric.name == "hardpoint.action.duration" and "probe" in str(metric) for metric in system.receiver.metrics
        )

    await eventually(measured)
