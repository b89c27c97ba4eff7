"""A run on its way: who walks it, what it waits for in time, and what is kept of it."""

import asyncio
from datetime import timedelta

import pytest

from hardpoint.runtime.v1 import installation_pb2, run_pb2
from hardpoint_kit.caller import ANY_ORG
from hardpoint_kit.clock import SystemClock
from hardpoint_kit.database import Database
from hardpoint_kit.documents import to_struct, to_value
from hardpoint_kit.errors import ActionFailed, Conflict, Unavailable
from hardpoint_kit.names import ReleaseName, RunName
from hardpoint_kit.rpc.server import Server
from hardpoint_manifest.authority import Authority
from hardpoint_runtime.domain.executions import Ended, Execution, Ticket
from hardpoint_runtime.domain.runs import Failure, Inner, RunState, Usage
from hardpoint_runtime.domain.workflows import Decision
from hardpoint_runtime.server import Options, assemble
from hardpoint_runtime.service import steps as stepping
from hardpoint_runtime.service import walker as walking
from hardpoint_runtime.service.stretch import Way
from hardpoint_runtime.store.events import EarlyEvents
from hardpoint_runtime.store.workflows import forget_contents
from runtime.conftest import Client, Fakes, Query
from runtime.fakes import succeed
from runtime.test_workflows import server, shop
from runtime.workflows import Shop, after, install, output, start, steps, until, workflow
from serving import eventually

__all__ = ["server", "shop"]


async def test_a_lost_executor_is_waited_for(client: Client, fakes: Fakes, shop: Shop) -> None:
    lost = Unavailable("the executor was lost while the action ran")
    shop.answers = {"put": [lost], "store": [lost]}
    await install(client, fakes, workflow({"id": "put"}, {"id": "store", "after": after("put")}))
    run = await start(client)
    waiting = await until(client, run.name, run_pb2.RUN_STATE_WAITING)
    assert (waiting.reason, waiting.place) == ("MAY_HAVE_HAPPENED", "store")
    assert shop.asked == ["put", "put", "store"]
    listed = await steps(client, run.name)
    skip = run_pb2.ResumeRunRequest(step=listed["store"].name, decision=run_pb2.RESUME_SKIP)
    skip.output.struct_value.CopyFrom(to_struct({"rows": 1}))
    await client.runs.ResumeRun(skip)
    ended = await until(client, run.name)
    assert await output(client, ended) == {"rows": 1}
    assert shop.asked.count("store") == 1


async def test_each_time_that_steps_wait_for_comes_once(
    client: Client, fakes: Fakes, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them has all others look again, and those that look too soon wait for the same time as before."""
    wake, wakes = Way.wake, []

    def woken(way: Way) -> None:
        wakes.append(way)
        wake(way)

    monkeypatch.setattr(Way, "wake", woken)
    times = [0.01 * number for number in range(20)]
    waits = {"id": "pause", "does": "wait", "action": "", "input": "${item}", "for_each": "input.times"}
    await install(client, fakes, workflow(waits))
    run = await start(client, times=times)
    assert (await until(client, run.name)).state == run_pb2.RUN_STATE_SUCCEEDED
    assert len(wakes) <= len(times)


async def test_a_step_is_looked_at_again_by_who_goes_on(
    client: Client, fakes: Fakes, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever wrote that a step waits may die before it looks for the event that came early."""
    taken, failures = EarlyEvents.take, [Unavailable("the database went away")]

    async def take(self: EarlyEvents, run: RunName, event: str) -> Decision | None:
        if failures:
            raise failures.pop()
        return await taken(self, run, event)

    monkeypatch.setattr(EarlyEvents, "take", take)
    monkeypatch.setattr(walking, "AGAIN_SECONDS", 0.0)
    held = asyncio.Event()

    async def hold(execution: Execution) -> Ended:
        await held.wait()
        return await succeed(execution)

    shop.answers["look"] = [hold]
    event = {"id": "one", "does": "event", "action": "", "input": "paid", "after": after("look")}
    await install(client, fakes, workflow({"id": "look"}, event))
    run = await start(client)
    await client.runs.SendEvent(run_pb2.SendEventRequest(run=run.name, event="paid"))
    held.set()
    assert (await until(client, run.name)).state == run_pb2.RUN_STATE_SUCCEEDED


async def test_the_end_of_a_branch_is_seen_while_another_one_runs(client: Client, fakes: Fakes, shop: Shop) -> None:
    held = asyncio.Event()

    async def hold(execution: Execution) -> Ended:
        await held.wait()
        return await succeed(execution)

    shop.answers["put"] = [hold]
    await install(client, fakes, workflow({"id": "look"}, {"id": "put"}))
    run = await start(client)

    async def looked() -> bool:
        found = await steps(client, run.name)
        return "look" in found and found["look"].state == run_pb2.RUN_STATE_SUCCEEDED

    await eventually(looked)
    held.set()
    assert (await until(client, run.name)).state == run_pb2.RUN_STATE_SUCCEEDED


async def test_nothing_is_begun_by_who_was_silent_when_another_one_took_over(
    client: Client, fakes: Fakes, shop: Shop, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stalled between the step's row and its execution: the row is there, and so may the other one's effect be."""
    monkeypatch.setattr(stepping, "STALLED_SECONDS", 0.0)
    await install(client, fakes, workflow({"id": "store"}))
    ticket = fakes.registry.artifact_ticket
    asked, go = asyncio.Event(), asyncio.Event()

    async def slow(name: ReleaseName) -> Ticket:
        asked.set()
        await go.wait()
        return await ticket(name)

    monkeypatch.setattr(fakes.registry, "artifact_ticket", slow)
    run = await start(client)
    await asked.wait()
    assert (await steps(client, run.name))["store"].attempts == 1
    await query("UPDATE workflows SET walk = walk + 1")
    go.set()

    async def is_left() -> bool:
        return await query("SELECT status FROM dbos.workflow_status") == [("SUCCESS",)]

    await eventually(is_left)
    assert shop.asked == []


async def test_what_steps_use_and_what_ran_inside_of_them_is_counted(client: Client, fakes: Fakes, shop: Shop) -> None:
    """As of a plain call: executions and grants of the workflow and of what it calls, and the calls inside."""
    used = Authority(frozenset({"network.http.get"}), frozenset({"api.shop.com"}))
    deep = ReleaseName("acme", "deep", "1.0.0")

    async def use(execution: Execution) -> Ended:
        inner = Inner("0", "deep.er", deep, RunState.SUCCEEDED, Failure(), SystemClock().now(), 5, Usage())
        told = Usage(peak_memory_bytes=5, bytes_out=7, input_tokens=2, output_tokens=1)
        return Ended(RunState.SUCCEEDED, to_value({}), None, told, used, (inner,))

    async def fail(execution: Execution) -> Ended:
        return Ended(RunState.FAILED, None, ActionFailed("no"), Usage(peak_memory_bytes=9, input_tokens=30))

    shop.answers["put"] = [fail, use]
    await install(client, fakes, workflow({"id": "put", "retry": {"attempts": 2, "seconds": 0}}))
    run = await until(client, (await start(client)).name)
    assert run.state == run_pb2.RUN_STATE_SUCCEEDED
    summed = (run.usage.peak_memory_bytes, run.usage.bytes_out, run.usage.input_tokens, run.usage.output_tokens)
    assert summed == (9, 7, 32, 1), "of all attempts"
    counted = {}
    for capability in ("orders", "shop"):
        name = f"orgs/acme/installations/{capability}"
        found = await client.installations.GetInstallation(installation_pb2.GetInstallationRequest(name=name))
        grants = {use.grant: use.execution_count for use in found.grant_uses}
        counted[capability] = (found.counters.execution_count, found.counters.error_count, grants)
    uses = {"network.http.get": 1, "api.shop.com": 1}
    assert counted == {"orders": (1, 0, uses), "shop": (2, 1, uses)}
    listed = await client.runs.ListSteps(run_pb2.ListStepsRequest(parent=run.name))
    assert [(step.path, step.action, step.name.rpartition("/")[2]) for step in listed.steps] == [
        ("put", "shop.put", "1"),
        ("put/0", "deep.er", "2"),
    ]


async def test_a_process_walks_for_one_runtime(
    server: Server, client: Client, fakes: Fakes, shop: Shop, url: str
) -> None:
    another = assemble(Options(runtime_database_url=url), SystemClock(), fakes.peers(), tuple)
    with pytest.raises(Conflict):
        await another.start()
    await another.stop()
    await install(client, fakes, workflow({"id": "put"}))
    assert (await until(client, (await start(client)).name)).state == run_pb2.RUN_STATE_SUCCEEDED


async def test_contents_are_forgotten_and_the_record_stays(
    client: Client, fakes: Fakes, shop: Shop, url: str, query: Query
) -> None:
    await install(client, fakes, workflow({"id": "put", "input": {"name": "${input.name}"}}))
    run = await until(client, (await start(client, name="zebra-crossing")).name)
    database = Database(url)
    async with database.transaction(ANY_ORG) as connection:
        assert await forget_contents(connection, SystemClock().now() - timedelta(days=1), 10) == 0
        assert await forget_contents(connection, SystemClock().now() + timedelta(seconds=1), 10) == 1
        assert await forget_contents(connection, SystemClock().now() + timedelta(seconds=1), 10) == 0
    await database.close()
    for table in ("workflows", "steps", "runs"):
        for (row,) in await query(f"SELECT t::text FROM {table} t"):
            assert "zebra" not in row, table
    assert (await steps(client, run.name))["put"].state == run_pb2.RUN_STATE_SUCCEEDED
    with pytest.raises(Conflict) as gone:
        await client.runs.ForkRun(run_pb2.ForkRunRequest(name=run.name, step="put"))
    assert gone.value.reason == "CONTENTS_FORGOTTEN"


async def test_what_is_decided_after_the_plan_failed_keeps_nobody_busy(
    client: Client, fakes: Fakes, shop: Shop
) -> None:
    """No step takes it up any more: the run waits for the time of its step, and not in a circle."""
    decided = asyncio.Event()

    async def fail_late(_execution: Execution) -> Ended:
        await decided.wait()
        return Ended(RunState.FAILED, None, ActionFailed("not yet"), Usage())

    shop.answers = {"put": [ActionFailed("no")], "look": [fail_late]}
    again = {"id": "look", "does": "call", "action": "shop.look", "retry": {"attempts": 2, "seconds": 3}}
    ask = {"id": "ask", "does": "approval", "action": "", "input": "?"}
    await install(client, fakes, workflow(ask, {"id": "put"}, on_error=again))
    run = await start(client)

    async def begun() -> bool:
        return "look" in shop.asked

    await eventually(begun)
    asked = (await steps(client, run.name))["ask"]
    await client.runs.ApproveStep(run_pb2.ApproveStepRequest(step=asked.name, digest=asked.digest))
    decided.set()
    waiting = await until(client, run.name, run_pb2.RUN_STATE_WAITING)
    assert waiting.reason == "", "it asks nobody any more"
    assert (await until(client, run.name)).state == run_pb2.RUN_STATE_FAILED
    assert shop.asked == ["put", "look", "look"]
