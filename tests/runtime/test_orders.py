"""Events of one key run one after the other, whoever runs them; those of other keys meanwhile."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hardpoint.runtime.v1 import trigger_pb2
from hardpoint_kit.errors import ActionFailed, InvalidArgument, Unavailable
from hardpoint_runtime.domain.executions import Ended, Execution
from hardpoint_runtime.service import room
from hardpoint_runtime.store.deliveries import _FREE
from runtime.conftest import Another, Client, Deliver, Fakes, Query, eventually
from runtime.fakes import failing, raising, succeed
from runtime.test_events import walking
from runtime.triggers import create, settled, states
from runtime.workflows import Shop, install, workflow
from serving import SetClock

__all__ = ["walking"]
BY_CITY = "event.city"
INPUT = {"location": "${event.city}-${event.number}"}


def about(city: Any, number: int = 1) -> bytes:
    return json.dumps({"event_id": f"{city}{number}", "city": city, "number": number}).encode()


class Steps:
    """An executor that says what began and what runs, and lets what is `held` end when it is told to."""

    def __init__(self, fakes: Fakes) -> None:
        self.begun: list[str] = []
        self.running: set[str] = set()
        self.together = 0
        self.held: dict[str, asyncio.Event] = {}
        fakes.executor.behave = self

    async def __call__(self, execution: Execution) -> Ended:
        which = str(execution.input["location"])
        self.begun.append(which)
        async with self._one_of(which.partition("-")[0]):
            if which in self.held:
                await self.held[which].wait()
            else:
                await asyncio.sleep(0)
        return await succeed(execution)

    @asynccontextmanager
    async def _one_of(self, key: str) -> AsyncIterator[None]:
        assert key not in self.running, f"two of {key} at once"
        self.running.add(key)
        self.together = max(self.together, len(self.running))
        yield
        self.running.discard(key)


async def test_one_of_a_key_at_a_time_in_order_over_two_processes(
    attached: Client, another: Another, deliver: Deliver, fakes: Fakes
) -> None:
    await another()
    steps = Steps(fakes)
    steps.held = {f"{city}-1": asyncio.Event() for city in ("oslo", "rome", "bonn")}
    trigger = await create(attached, input=INPUT, order_by=BY_CITY)
    for number in (1, 2, 3, 4):
        for city in ("oslo", "rome", "bonn"):
            await deliver(trigger, about(city, number))

    async def all_began() -> bool:
        return len(steps.begun) == 3

    await eventually(all_began)
    steps.held["rome-1"].set()

    async def rome_is_through() -> bool:
        return "rome-4" in steps.begun

    await eventually(rome_is_through)
    assert set(steps.begun) == {"oslo-1", "bonn-1", *(f"rome-{number}" for number in (1, 2, 3, 4))}
    for event in steps.held.values():
        event.set()
    await settled(attached, *["DELIVERED"] * 12)
    for city in ("oslo", "rome", "bonn"):
        assert [one for one in steps.begun if one.startswith(city)] == [f"{city}-{n}" for n in (1, 2, 3, 4)]
    assert steps.together == 3


async def test_one_that_fails_holds_its_key_until_it_is_dead(
    attached: Client, deliver: Deliver, fakes: Fakes, clock: SetClock
) -> None:
    trigger = await create(attached, input=INPUT, order_by=BY_CITY)
    fakes.executor.behave = raising(Unavailable("away"))
    await deliver(trigger, about("oslo", 1))

    async def tried() -> bool:
        return len(fakes.executor.executions) == 1 and await states(attached) == ["ACCEPTED"]

    await eventually(tried)
    fakes.executor.behave = succeed
    await deliver(trigger, about("oslo", 2))
    await deliver(trigger, about("rome", 1))
    await settled(attached, "ACCEPTED", "ACCEPTED", "DELIVERED")
    fakes.executor.behave = failing(ActionFailed("broken"))
    clock.move(seconds=5)
    await settled(attached, "DEAD", "DEAD", "DELIVERED")
    ran = [execution.input["location"] for execution in fakes.executor.executions]
    assert ran == ["oslo-1", "rome-1", "oslo-1", "oslo-2"]


async def test_one_whose_process_died_goes_before_the_next(
    attached: Client, deliver: Deliver, fakes: Fakes, query: Query
) -> None:
    trigger = await create(attached, input=INPUT, order_by=BY_CITY)
    fakes.executor.behave = raising(Unavailable("away"))
    await deliver(trigger, about("oslo", 1))
    await settled(attached, "ACCEPTED")

    async def put_off() -> bool:
        return len(fakes.executor.executions) == 1 and await query("SELECT 1 FROM deliveries WHERE attempts = 1") != []

    await eventually(put_off)
    await query("UPDATE deliveries SET state = 'RUNNING', owner = 'gone', run = '', claimed_until = '2001-01-01'")
    fakes.executor.behave = succeed
    await deliver(trigger, about("oslo", 2))
    await settled(attached, "DELIVERED", "DELIVERED")
    ran = [execution.input["location"] for execution in fakes.executor.executions]
    assert ran == ["oslo-1", "oslo-1", "oslo-2"]


async def test_a_key_that_stands_still_leaves_room_for_others(
    attached: Client, deliver: Deliver, fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MOST_OF_KEY", 2)
    monkeypatch.setattr(room, "MOST_IN_ORDER", 3)
    steps = Steps(fakes)
    steps.held = {f"{city}-1": asyncio.Event() for city in ("oslo", "rome")}
    trigger = await create(attached, input=INPUT, order_by=BY_CITY)
    other = await create(attached, "other", input=INPUT)

    async def said(to: trigger_pb2.Trigger, city: str, number: int) -> int:
        return (await deliver(to, about(city, number))).status

    assert [await said(trigger, "oslo", number) for number in (1, 2, 3)] == [200, 200, 429], "of one key"
    assert [await said(trigger, "rome", number) for number in (1, 2)] == [200, 429], "of all keys"
    assert await said(other, "bonn", 1) == 200, "without a key"
    for held in steps.held.values():
        held.set()
    await settled(attached, *["DELIVERED"] * 3)
    assert await said(trigger, "rome", 2) == 200


async def test_what_has_no_key_is_in_one_order(attached: Client, deliver: Deliver, fakes: Fakes) -> None:
    steps = Steps(fakes)
    steps.held = {"x-1": asyncio.Event()}
    trigger = await create(attached, input={"location": "x-${event.number}"}, order_by="event.nothing.of.this")
    await deliver(trigger, about("oslo", 1))
    await deliver(trigger, about("rome", 2))

    async def first() -> bool:
        return await states(attached) == ["RUNNING", "ACCEPTED"]

    await eventually(first)
    steps.held["x-1"].set()
    await settled(attached, "DELIVERED", "DELIVERED")
    with pytest.raises(InvalidArgument, match="order_by"):
        await create(attached, "wrong", order_by="event.(")


async def test_a_run_that_goes_on_holds_its_key(walking: Any, dial: Any, fakes: Fakes) -> None:
    client = dial(walking)
    shop, gate = Shop(fakes.executor), asyncio.Event()

    async def held(execution: Execution) -> Ended:
        await gate.wait()
        return await succeed(execution)

    shop.answers["look"] = [held]
    await install(client, fakes, workflow({"id": "look"}))
    trigger = await create(
        client,
        "files",
        type=trigger_pb2.TRIGGER_TYPE_EVENT,
        event="file.uploaded",
        action="orders.run",
        input={"file": "${event.file}"},
        verifier=None,
        order_by="event.file.type",
    )
    for number in (1, 2):
        fakes.files.upload(f"orgs/acme/files/f{number}", f"{number}.pdf", "application/pdf")
    await settled(client, "DELIVERED", "ACCEPTED", name=trigger.name)
    gate.set()
    await settled(client, "DELIVERED", "DELIVERED", name=trigger.name)


async def test_what_waits_for_others_of_its_key_is_found_by_an_index(
    attached: Client, deliver: Deliver, fakes: Fakes, query: Query
) -> None:
    """Many that wait in order keep nobody else waiting: none of them is compared with all the others."""
    fakes.executor.behave = raising(Unavailable("away"))
    await deliver(await create(attached, input=INPUT, order_by=BY_CITY), about("oslo"))
    columns = """org, agent, trigger, reason, message, body, size, headers, original, release, run, attempts,
        received_at, replayed_by, depth"""
    await query(f"""
        INSERT INTO deliveries ({columns}, state, order_key, delivery, provider_id, due_at)
        SELECT {columns}, (ARRAY['ACCEPTED', 'DELIVERED'])[1 + i % 2], i % 101, i, i, '2100-01-01'
        FROM deliveries, generate_series(1, 3000) i
    """)
    await query("ANALYZE deliveries")
    plan = await query(f"EXPLAIN SELECT FROM deliveries d WHERE state = 'ACCEPTED' AND {_FREE}")
    used = {index for (line,) in plan for index in ("deliveries_in_order", "deliveries_done_in_order") if index in line}
    assert used == {"deliveries_in_order", "deliveries_done_in_order"}, plan
