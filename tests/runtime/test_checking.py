"""Replays that decide about a release, and tests that are recorded: what the executor is asked, what is told."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from hardpoint.runtime.v1 import agent_pb2, run_pb2
from hardpoint_kit.documents import to_struct, to_value
from hardpoint_kit.errors import ActionFailed, Cancelled, DeadlineExceeded, Unavailable
from hardpoint_manifest.cassette import Cassette, write
from hardpoint_manifest.model import Example
from hardpoint_runtime.domain.executions import Ended, Execution
from hardpoint_runtime.domain.releases import RecordedExample
from hardpoint_runtime.domain.runs import RunState, Usage
from runtime.conftest import Client, Fakes
from runtime.factories import API_KEY, release
from runtime.fakes import failing, raising

NAME = "orgs/acme/capabilities/weather/releases/2.0.0"
DATA = write(Cassette(action="get-weather", input={"location": "x"}, nonce="0" * 32, output={"t": 1}))


def example(name: str, **expected: object) -> RecordedExample:
    return RecordedExample(Example(name=name, action="get-weather", input={"location": "x"}, **expected), DATA)


@pytest.fixture
def draft(fakes: Fakes) -> str:
    """A draft that needs a secret, which nobody gave it, and calls what is not installed."""
    fakes.registry.add(replace(release(version="2.0.0", requirements=(API_KEY,)), calls=("ocr.extract",)))
    return NAME


async def check(client: Client) -> list[str]:
    return list((await client.agents.CheckRelease(agent_pb2.CheckReleaseRequest(release=NAME))).failed)


async def test_examples_are_replayed_without_settings_and_each_is_judged(
    client: Client, fakes: Fakes, draft: str
) -> None:
    fakes.registry.recorded = [
        example("holds", expected_output={"t": {"$type": "number"}}),
        example("golden"),
        example("differs", expected_output={"t": 2}),
        example("was-to-fail", expected_error="NOT_JSON"),
    ]

    async def give(execution: Execution) -> Ended:
        assert execution.taped.cassette == DATA
        assert (execution.lease_token, execution.files.ticket) == ("", "")
        assert [callee.name for callee in execution.callees] == ["ocr.extract"]
        return Ended(RunState.SUCCEEDED, to_value({"t": 1}), None, Usage())

    fakes.executor.behave = give
    assert await check(client) == ["differs", "was-to-fail"]
    ((name, failures),) = fakes.registry.finished
    assert name == NAME
    assert failures["differs"][0] == "t is 1, not 2"
    assert fakes.config.leased == []


async def test_a_failure_is_judged_by_its_reason(client: Client, fakes: Fakes, draft: str) -> None:
    fakes.registry.recorded = [example("diverges"), example("meant", expected_error="REPLAY_DIVERGED")]

    async def diverge(execution: Execution) -> Ended:
        return Ended(RunState.FAILED, None, ActionFailed("call 1 asks ..", reason="REPLAY_DIVERGED"), Usage())

    fakes.executor.behave = diverge
    assert await check(client) == ["diverges"]
    assert "call 1 asks" in fakes.registry.finished[0][1]["diverges"][0]


@pytest.mark.parametrize(
    "behave",
    [
        raising(Unavailable("no executor", reason="NO_EXECUTOR")),
        failing(Cancelled("the executor stops")),
    ],
)
async def test_nothing_is_decided_while_nothing_can_be_run_to_its_end(
    client: Client, fakes: Fakes, draft: str, behave: Callable[[Execution], Awaitable[Ended]]
) -> None:
    fakes.registry.recorded = [example("holds")]
    fakes.executor.behave = behave
    with pytest.raises(Unavailable):
        await check(client)
    assert fakes.registry.finished == []


async def test_what_is_late_is_told_and_decided_by_the_registry(client: Client, fakes: Fakes, draft: str) -> None:
    fakes.registry.recorded = [example("slow"), example("slower")]
    fakes.executor.behave = failing(DeadlineExceeded("the action took longer than 30 s", reason="TIMEOUT"))
    fakes.registry.patient = True
    with pytest.raises(Unavailable) as refused:
        await check(client)
    assert "publish it again" in refused.value.fix
    fakes.registry.patient = False
    assert await check(client) == ["slow"]
    ((_, failures),) = fakes.registry.finished
    assert "did not end in time: the action took longer than 30 s" in failures["slow"][0]
    assert "push and publish again" in failures["slow"][1]


async def test_a_time_out_that_is_expected_holds(client: Client, fakes: Fakes, draft: str) -> None:
    fakes.registry.recorded = [example("slow", expected_error="TIMEOUT")]
    fakes.executor.behave = failing(DeadlineExceeded("the action took longer than 30 s", reason="TIMEOUT"))
    assert await check(client) == []


async def test_what_failed_while_it_was_recorded_is_answered_with_its_cassette(client: Client, fakes: Fakes) -> None:
    fakes.registry.add(release(version="2.0.0"))

    async def fail(execution: Execution) -> Ended:
        assert execution.taped.record
        return Ended(RunState.FAILED, None, ActionFailed("no", reason="UPSTREAM_ERROR"), Usage(), cassette=DATA)

    fakes.executor.behave = fail
    request = agent_pb2.TestActionRequest(
        release=NAME, action="get-weather", input=to_struct({"location": "x"}), record=True
    )
    answer = await client.agents.TestAction(request)
    assert (answer.state, answer.reason, answer.cassette) == (run_pb2.RUN_STATE_FAILED, "UPSTREAM_ERROR", DATA)
