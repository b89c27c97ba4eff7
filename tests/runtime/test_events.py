"""What happens to runs comes to triggers: each once, after it happened, and runs that start each other end."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from hardpoint.manifest.v1.manifest_pb2 import Verifier
from hardpoint.runtime.v1 import agent_pb2, run_pb2, trigger_pb2
from hardpoint_kit.clock import SystemClock
from hardpoint_kit.documents import to_struct
from hardpoint_kit.errors import ActionFailed, InvalidArgument, Unavailable
from hardpoint_kit.rpc.server import Server
from hardpoint_runtime.server import Options, assemble
from hardpoint_runtime.store.deliveries import Deliveries
from runtime.conftest import AGENT, TOOL, Another, Client, Fakes, Query, eventually
from runtime.fakes import failing, succeed
from runtime.triggers import create, history, settled, states
from runtime.workflows import Shop, install, start, steps, until, workflow
from serving import Serve, SetClock

HERE = "event.run.subject == 'ada'"
Waiting = Callable[..., Awaitable[trigger_pb2.Trigger]]


async def on(client: Client, event: str, trigger_id: str = "hook", **given: Any) -> trigger_pb2.Trigger:
    given.setdefault("input", {"location": "${event.run.name}"})
    kind = trigger_pb2.TRIGGER_TYPE_EVENT
    return await create(client, trigger_id, type=kind, event=event, verifier=Verifier(), **given)


async def _ran(fakes: Fakes, executions: int) -> bool:
    return len(fakes.executor.executions) == executions


async def all_are(client: Client, *wanted: str) -> None:
    """Wait until these became of what came, in any order: within a millisecond there is none."""

    async def holds() -> bool:
        return sorted(await states(client)) == sorted(wanted)

    await eventually(holds)


async def test_a_failed_run_starts_another(attached: Client, fakes: Fakes) -> None:
    await on(attached, "run.failed", filter=f"event.run.reason == 'USER_ERROR' && {HERE}")
    await on(attached, "run.finished", "other", filter="event.run.agent == 'nobody'")
    fakes.executor.behave = failing(ActionFailed("no luck"))
    with pytest.raises(ActionFailed) as failed:
        await attached.call()
    await all_are(attached, "DEAD", "FILTERED")
    (first,) = [one for one in await history(attached) if one.state == trigger_pb2.DELIVERY_STATE_DEAD]
    assert first.provider_id == f"{failed.value.metadata['run'].rpartition('/')[2]}/FAILED"
    assert fakes.executor.executions[1].input == {"location": failed.value.metadata["run"]}
    fakes.executor.behave = succeed
    await attached.call()
    await settled(attached, "FILTERED", name=f"{AGENT}/triggers/other")
    assert len(await history(attached)) == 2


async def test_what_happens_elsewhere_or_while_it_is_paused_is_not_heard(
    attached: Client, fakes: Fakes, query: Query
) -> None:
    await attached.call()
    trigger = await on(attached, "run.finished", filter=HERE)
    test = agent_pb2.TestActionRequest(
        release="orgs/acme/capabilities/weather/releases/1.0.0",
        action="get-weather",
        input=to_struct({"location": "Oslo"}),
    )
    await attached.agents.TestAction(test)
    await attached.triggers.PauseTrigger(trigger_pb2.PauseTriggerRequest(name=trigger.name))
    await attached.call()
    await attached.triggers.ResumeTrigger(trigger_pb2.ResumeTriggerRequest(name=trigger.name))
    assert await query("SELECT 1 FROM run_events") == []
    dry = agent_pb2.CallActionRequest(agent=AGENT, action=TOOL, input=test.input, dry_run=True)
    await attached.agents.CallAction(dry)
    heard = await attached.call()
    await all_are(attached, "DELIVERED", "FILTERED")
    (one,) = [one for one in await history(attached) if one.state == trigger_pb2.DELIVERY_STATE_DELIVERED]
    assert one.provider_id.startswith(heard.run.rpartition("/")[2])
    with pytest.raises(InvalidArgument) as wrong:
        await on(attached, "run.exploded", "wrong")
    assert "run.failed" in wrong.value.fix


async def test_of_what_starts_nothing_not_all_is_written_down(attached: Client, query: Query) -> None:
    """Each run of an org is an event for each of its triggers: rows would have no end."""
    await on(attached, "run.finished", filter="event.run.agent == 'nobody'")
    await on(attached, "run.finished", "other", filter="event.run.action == 'last.one'")
    for _ in range(12):
        await attached.call()

    async def told() -> bool:
        return await query("SELECT 1 FROM run_events") == []

    await eventually(told)
    assert await states(attached) == ["FILTERED"] * 10
    assert len(await states(attached, f"{AGENT}/triggers/other")) == 10


async def test_triggers_that_start_each_other_stop(attached: Client, fakes: Fakes) -> None:
    ping, pong = f"{AGENT}/triggers/ping", f"{AGENT}/triggers/pong"
    await on(attached, "run.finished", "ping", filter=f"event.run.subject in ['ada', '{pong}']")
    await on(attached, "run.finished", "pong", filter=f"event.run.subject == '{ping}'")
    await attached.call()

    async def stopped() -> bool:
        return "REFUSED" in await states(attached, ping)

    await eventually(stopped)
    (last,) = [one for one in await history(attached, ping) if one.state == trigger_pb2.DELIVERY_STATE_REFUSED]
    assert (last.reason, last.run) == ("EVENT_DEPTH", "")
    assert len(fakes.executor.executions) == 1 + 8
    assert "EVENT_DEPTH" not in {one.reason for one in await history(attached, pong)}


async def test_what_comes_of_one_run_is_bounded_in_its_breadth_too(
    attached: Client, fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three triggers on failures, whose runs fail, would make 3 + 9 + 27 runs of one before they are too deep."""
    monkeypatch.setattr("hardpoint_runtime.domain.deliveries.MOST_DEPTH", 3)
    monkeypatch.setattr("hardpoint_runtime.store.children.MOST_DESCENDANTS", 5)
    hooks = [f"hook{number}" for number in range(3)]
    for hook in hooks:
        await on(attached, "run.failed", hook)
    fakes.executor.behave = failing(ActionFailed("no luck"))
    with pytest.raises(ActionFailed):
        await attached.call()

    async def over() -> bool:
        found = [state for hook in hooks for state in await states(attached, f"{AGENT}/triggers/{hook}")]
        return found.count("DEAD") == 5 and found.count("REFUSED") == 3 * 6 - 5

    await eventually(over)
    assert len(fakes.executor.executions) == 1 + 5
    told = [one for hook in hooks for one in await history(attached, f"{AGENT}/triggers/{hook}") if not one.run]
    assert {one.reason for one in told} == {"EVENT_LIMIT"}
    with pytest.raises(ActionFailed):  # another run has a budget of its own
        await attached.call()
    await eventually(lambda: _ran(fakes, 2 * (1 + 5)))


async def test_attempts_do_not_multiply_what_triggers_hear(
    attached: Client, fakes: Fakes, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is started by a failure and fails itself is tried again, and only the first time starts something."""
    monkeypatch.setattr("hardpoint_runtime.domain.deliveries.MOST_ATTEMPTS", 2)
    monkeypatch.setattr("hardpoint_runtime.domain.deliveries.MOST_DEPTH", 2)
    await on(attached, "run.failed")
    fakes.executor.behave = failing(Unavailable("gone"))
    with pytest.raises(Unavailable):
        await attached.call()

    async def over() -> bool:
        clock.move(seconds=1)
        return set(await states(attached)) == {"DEAD", "REFUSED"}

    await eventually(over)
    await all_are(attached, "DEAD", "DEAD", "REFUSED")
    assert len(fakes.executor.executions) == 1 + 2 * 2


async def test_an_event_is_told_once_by_two_processes_and_after_a_failure(
    attached: Client, another: Another, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    await another()
    await on(attached, "run.finished", filter=HERE)
    kept, failures = Deliveries.add_once, [Unavailable("the database went away")] * 2

    async def add_once(self: Deliveries, delivery: Any) -> bool:
        if failures:
            raise failures.pop()
        return await kept(self, delivery)

    monkeypatch.setattr(Deliveries, "add_once", add_once)
    for _ in range(3):
        await attached.call()

    async def told() -> bool:
        return (await states(attached)).count("DELIVERED") == 3 and await query("SELECT 1 FROM run_events") == []

    await eventually(told)
    assert not failures
    ids = [one.provider_id for one in await history(attached)]
    assert len(ids) == len(set(ids))


@pytest.fixture
async def walking(url: str, fakes: Fakes, serve: Serve) -> Server:
    """The one runtime of this process that walks workflows."""
    return await serve(assemble(Options(runtime_database_url=url), SystemClock(), fakes.peers(), tuple))


async def test_a_workflow_that_waits_and_ends_is_told_of(walking: Server, dial: Any, fakes: Fakes) -> None:
    client = dial(walking)
    shop = Shop(fakes.executor)
    await install(client, fakes, workflow({"id": "ask", "does": "approval", "input": "?"}, {"id": "mail"}))
    given = {"action": "shop.look", "input": {"run": "${event.run.name}"}}
    waiting = await on(client, "run.waiting", "waiting", **given)
    ended = await on(client, "run.finished", "ended", filter="event.run.action == 'orders.run'", **given)
    run = await start(client)
    await settled(client, "DELIVERED", name=waiting.name)
    (asked,) = [step for step in (await steps(client, run.name)).values() if step.digest]
    await client.runs.ApproveStep(run_pb2.ApproveStepRequest(step=asked.name, digest=asked.digest))
    await until(client, run.name)

    async def told() -> bool:
        return "DELIVERED" in await states(client, ended.name)

    await eventually(told)
    assert sorted(shop.asked) == ["look", "look", "mail"]


async def test_a_run_that_waits_is_told_of_once_however_often_it_stops(
    walking: Server, dial: Any, fakes: Fakes, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside a question that nobody has answered yet other steps wait for their time, each for itself."""
    monkeypatch.setattr("hardpoint_runtime.service.stretch.LINGER_SECONDS", 0.0)
    client = dial(walking)
    pauses = [{"id": f"pause-{at}", "does": "wait", "input": seconds} for at, seconds in ((1, 0.1), (2, 2.0))]
    ask = {"id": "ask", "does": "approval", "input": "?"}
    late = {**ask, "id": "late", "after": [{"step": "pause-2", "port": "done"}]}
    await install(client, fakes, workflow(ask, late, *pauses))
    waiting = await on(client, "run.waiting", "waiting", action="shop.look", input={"run": "${event.run.name}"})
    run = await start(client)

    async def asked(*names: str) -> None:
        async def holds() -> bool:
            waits = (await client.runs.GetRun(run_pb2.GetRunRequest(name=run.name))).state == run_pb2.RUN_STATE_WAITING
            found = await steps(client, run.name)
            ended = all(found[name].state == run_pb2.RUN_STATE_SUCCEEDED for name in names if name in found)
            return waits and set(names) <= set(found) and ended and await query("SELECT 1 FROM run_events") == []

        await eventually(holds)

    await asked("pause-1")
    await asked("pause-1", "pause-2")
    assert len(await history(client, waiting.name)) == 2, "one for each question"
