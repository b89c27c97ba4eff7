"""What becomes of what was accepted: run, tried again, dead, replayed, taken up from the dead."""

import asyncio
import hashlib
import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hardpoint.runtime.v1 import agent_pb2, trigger_pb2
from hardpoint_kit.caller import SYSTEM
from hardpoint_kit.database import Database
from hardpoint_kit.errors import (
    ActionFailed,
    Conflict,
    InvalidArgument,
    NotFound,
    Unavailable,
)
from hardpoint_kit.names import ReleaseName, TriggerName
from hardpoint_runtime.domain.deliveries import Delivery, DeliveryState
from hardpoint_runtime.domain.executions import Ended, Execution
from hardpoint_runtime.domain.releases import Effect
from hardpoint_runtime.service.dispatcher import LIVES
from hardpoint_runtime.store import Store
from runtime.conftest import AGENT, eventually
from runtime.factories import action, release
from runtime.fakes import Gate, failing, raising, succeed
from runtime.triggers import create, history, settled, slack_event, states


async def test_what_never_began_is_tried_again_later_and_then_is_dead(attached, deliver, fakes, clock):
    hook = await create(attached)
    fakes.executor.behave = raising(Unavailable("no executor can be reached", reason="NO_EXECUTOR"))
    await deliver(hook, slack_event())
    await settled(attached, "ACCEPTED")

    async def attempts(number: int) -> bool:
        (one,) = await history(attached)
        waits = one.state == trigger_pb2.DELIVERY_STATE_ACCEPTED
        return one.attempts == number and waits and one.reason == "NO_EXECUTOR"

    await eventually(lambda: attempts(1))
    for number in range(2, 6):
        clock.move(hours=1)
        await eventually(lambda number=number: attempts(number))
    clock.move(hours=1)
    await settled(attached, "DEAD")
    (dead,) = await history(attached)
    assert (dead.attempts, dead.reason) == (6, "NO_EXECUTOR")


def test_pauses_grow_and_are_no_shorter_than_was_asked_for():
    at = datetime(2026, 3, 1, tzinfo=UTC)
    fresh = Delivery.of(TriggerName("acme", "helper", "hook"), b"{}", {}, at)

    def pause(attempts: int, **more: Any) -> float:
        failed = replace(fresh, attempts=attempts).failed(Unavailable("not now", **more), True, at)
        assert failed.state is DeliveryState.ACCEPTED
        return (failed.due_at - at).total_seconds()

    assert [pause(attempts) for attempts in range(1, 6)] == [2, 8, 32, 128, 512]
    assert (pause(1, retry_after=60), pause(4, retry_after=60)) == (60, 128)


@pytest.mark.parametrize(
    ("effect", "idempotent", "state"),
    [("READ", False, "ACCEPTED"), ("WRITE", False, "DEAD"), ("WRITE", True, "ACCEPTED")],
)
async def test_what_ran_is_repeated_only_when_that_does_no_harm(
    client, fakes, dial, server, deliver, effect, idempotent, state
):
    act = replace(action(), effect=Effect(effect), idempotent=idempotent)
    fakes.registry.add(release(actions=(act,)))
    await client.create_agent()
    await client.install()
    await client.attach()
    hook = await create(client)
    fakes.executor.behave = failing(Unavailable("the executor was lost while the action ran"))
    await deliver(hook, slack_event())

    async def tried() -> bool:
        (one,) = await history(client)
        return one.attempts == 1 and bool(one.run) and bool(one.reason)

    await eventually(tried)
    assert await states(client) == [state]


async def test_an_action_that_failed_by_itself_is_dead_at_once_and_can_be_replayed(attached, deliver, fakes, clock):
    hook = await create(attached)
    fakes.executor.behave = failing(ActionFailed("it threw", reason="USER_ERROR"))
    await deliver(hook, slack_event())
    await settled(attached, "DEAD")
    (dead,) = await history(attached)
    assert (dead.reason, dead.message, bool(dead.run)) == ("USER_ERROR", "it threw", True)
    fakes.executor.behave = succeed
    clock.move(seconds=1)
    replayed = await attached.triggers.ReplayDelivery(trigger_pb2.ReplayDeliveryRequest(name=dead.name))
    assert replayed.original == dead.name
    await settled(attached, "DEAD", "DELIVERED")
    first, second = fakes.executor.executions
    assert first.idempotency_key != second.idempotency_key, "a replay is meant to happen again"
    assert f"delivery.replay {dead.name}" in await attached.events()


async def test_a_past_event_runs_with_the_release_that_is_named(attached, deliver, fakes, clock):
    hook = await create(attached)
    await deliver(hook, slack_event())
    await settled(attached, "DELIVERED")
    (past,) = await history(attached)
    newer = release(version="2.0.0")
    fakes.registry.add(newer)
    clock.move(seconds=1)
    request = trigger_pb2.ReplayDeliveryRequest(name=past.name, release=str(newer.name))
    assert (await attached.triggers.ReplayDelivery(request)).release == str(newer.name)
    await settled(attached, "DELIVERED", "DELIVERED")
    assert [str(execution.release.name)[-5:] for execution in fakes.executor.executions] == ["1.0.0", "2.0.0"]
    request.release = "orgs/acme/capabilities/other/releases/1.0.0"
    with pytest.raises(InvalidArgument):
        await attached.triggers.ReplayDelivery(request)
    somebodys = release(version="3.0.0", org="evil")
    fakes.registry.add(somebodys)
    request.release = str(somebodys.name)
    clock.move(seconds=1)
    await attached.triggers.ReplayDelivery(request)
    await settled(attached, "DELIVERED", "DELIVERED", "DEAD")
    assert len(fakes.executor.executions) == 2


async def test_what_was_refused_or_sent_twice_cannot_be_replayed(attached, deliver, fakes):
    hook = await create(attached)
    await deliver(hook, slack_event())
    await deliver(hook, slack_event())
    fakes.config.unproved = "SIGNATURE_WRONG"
    await deliver(hook, slack_event())
    await settled(attached, "DELIVERED", "DUPLICATE", "REFUSED")
    for one in (await history(attached))[1:]:
        with pytest.raises(Conflict) as refused:
            await attached.triggers.ReplayDelivery(trigger_pb2.ReplayDeliveryRequest(name=one.name))
        assert refused.value.reason == "DELIVERY_NOT_KEPT"


@pytest.mark.parametrize("gone", ["paused", "detached"])
async def test_an_agent_that_may_not_call_has_dead_deliveries_with_the_reason(attached, deliver, gone):
    hook = await create(attached)
    if gone == "paused":
        await attached.agents.PauseAgent(agent_pb2.PauseAgentRequest(name=AGENT))
    else:
        await attached.detach()
    await deliver(hook, slack_event())
    await settled(attached, "DEAD")
    (dead,) = await history(attached)
    assert dead.reason == ("AGENT_PAUSED" if gone == "paused" else "ACTION_NOT_ATTACHED")


async def test_an_event_that_the_input_does_not_fit_is_dead_with_the_reason(attached, deliver):
    hook = await create(attached, input={"location": "${event.nothing}"})
    await deliver(hook, slack_event())
    await settled(attached, "DEAD")
    assert (await history(attached))[0].reason == "INPUT_INVALID"


async def test_one_org_that_sends_much_keeps_nobody_waiting(attached, deliver, dial, server, fakes, query):
    gate = Gate()
    fakes.executor.behave = gate
    hook = await create(attached)
    for number in range(10):
        await deliver(hook, slack_event(event_id=f"Ev{number}"))

    async def full() -> bool:
        return gate.running == 4

    await eventually(full)
    assert await query("SELECT count(*) FROM deliveries WHERE state = 'ACCEPTED'") == [(6,)]
    gate.released.set()
    await settled(attached, *["DELIVERED"] * 10)


async def test_what_is_taken_at_once_is_the_first_of_each_org_and_few_of_one(attached, deliver, query, url, clock):
    hook = await create(attached)
    hashed = hashlib.sha256(b"other").hexdigest()
    for table, changed in (("agents", {}), ("triggers", {"token_hash": f"\\x{hashed}"})):
        row = json.dumps({"org": "globex", **changed})
        await query(f"INSERT INTO {table} SELECT (jsonb_populate_record(t, '{row}')).* FROM {table} AS t")
    await attached.agents.PauseAgent(agent_pb2.PauseAgentRequest(name=AGENT))
    for sender, count in ((hook, 10), ("other", 2)):
        for number in range(count):
            await deliver(sender, slack_event(event_id=f"Ev{number}"))

    async def none_waits() -> bool:
        return await query("SELECT count(*) FROM deliveries WHERE state = 'DEAD'") == [(12,)]

    await eventually(none_waits)
    later = clock.now() + timedelta(hours=1)  # so that nobody else takes them
    await query(f"UPDATE deliveries SET state = 'ACCEPTED', due_at = '{later.isoformat()}'")
    database = Database(url)

    async def claimed(limit: int, *full: str) -> Counter[str]:
        async with Store(database).transaction(SYSTEM()) as tx:
            taken = await tx.deliveries.claim("me", later, later + LIVES, limit, 4, full)
        return Counter(delivery.name.org for delivery in taken)

    assert await claimed(3) == {"acme": 2, "globex": 1}
    assert await claimed(16) == {"acme": 4, "globex": 1}
    assert await claimed(16, "acme") == {}
    await database.close()


async def test_what_a_defect_left_running_is_taken_up(attached, deliver, fakes, clock):
    hook = await create(attached)

    async def break_down(_execution: Execution) -> Ended:
        fakes.executor.behave = succeed
        raise AssertionError("a defect")

    fakes.executor.behave = break_down
    await deliver(hook, slack_event())
    await settled(attached, "RUNNING")
    clock.move(seconds=11)
    await settled(attached, "DELIVERED")


@pytest.mark.parametrize(
    ("effect", "begun", "state"),
    [("READ", True, "DELIVERED"), ("WRITE", False, "DELIVERED"), ("WRITE", True, "DEAD")],
)
async def test_what_a_dead_process_had_is_taken_up(client, fakes, deliver, query, clock, effect, begun, state):
    fakes.registry.add(release(actions=(replace(action(), effect=Effect(effect)),)))
    await client.create_agent()
    await client.install()
    await client.attach()
    hook = await create(client)
    await client.agents.PauseAgent(agent_pb2.PauseAgentRequest(name=AGENT))
    await deliver(hook, slack_event())
    await settled(client, "DEAD")
    await client.agents.ResumeAgent(agent_pb2.ResumeAgentRequest(name=AGENT))
    run = "orgs/acme/runs/0123456789ab-000000000000" if begun else ""
    past = (clock.now() - timedelta(seconds=1)).isoformat()
    of_the_dead = f"owner = 'dead', attempts = 1, run = '{run}', claimed_until = '{past}'"
    await query(f"UPDATE deliveries SET state = 'RUNNING', {of_the_dead}")
    await settled(client, state)
    (one,) = await history(client)
    assert one.reason == ("OUTCOME_UNKNOWN" if state == "DEAD" else "")
    assert len(fakes.executor.executions) == (0 if state == "DEAD" else 1)


async def test_who_looks_after_the_dead_says_first_that_it_lives(attached, deliver, fakes, query, clock):
    hook = await create(attached)
    await deliver(hook, slack_event())
    await settled(attached, "DELIVERED")
    gate, asked, answered = Gate(), asyncio.Event(), asyncio.Event()
    fakes.executor.behave = gate

    async def slow(name: ReleaseName) -> Any:
        asked.set()
        await answered.wait()
        raise NotFound("release", name)

    fakes.registry.release = slow
    await deliver(hook, slack_event(event_id="Ev2"))
    await asyncio.wait_for(gate.begun.wait(), 10)
    clock.move(seconds=5)
    past, run = (clock.now() - timedelta(seconds=1)).isoformat(), "orgs/acme/runs/0123456789ab-000000000000"
    other = "orgs/acme/capabilities/weather/releases/2.0.0"
    of_the_dead = f"owner = 'dead', run = '{run}', release = '{other}', claimed_until = '{past}'"
    await query(f"UPDATE deliveries SET state = 'RUNNING', {of_the_dead} WHERE provider_id = 'Ev1'")
    await asyncio.wait_for(asked.wait(), 10)
    [(until,)] = await query("SELECT claimed_until FROM deliveries WHERE provider_id = 'Ev2'")
    gate.released.set()
    answered.set()
    assert until == clock.now() + LIVES
