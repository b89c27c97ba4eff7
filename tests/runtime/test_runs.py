"""The record of what ran: durable before the answer, written together, read in pages."""

import asyncio
import math
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import make_url, text

from hardpoint.runtime.v1 import agent_pb2, installation_pb2, run_pb2
from hardpoint_kit.caller import SYSTEM
from hardpoint_kit.database import Database
from hardpoint_kit.errors import ActionFailed, InvalidArgument, NotFound, Unavailable
from hardpoint_runtime.domain.counters import NOTHING
from hardpoint_runtime.domain.executions import Ended, Execution
from hardpoint_runtime.domain.paging import Window
from hardpoint_runtime.domain.runs import Record, RunState
from hardpoint_runtime.service.recorder import Recorder
from hardpoint_runtime.store import RunLog, Store
from hardpoint_runtime.store.rows import COUNTERS, counters
from runtime.conftest import AGENT, ATTACHMENT, INSTALLATION, TOOL, Another, Client, Dial, Fakes, Query, eventually
from runtime.fakes import Gate, failing, succeed
from runtime.test_domain import OUTCOMES, record
from serving import SetClock

CALLS = 200


async def listed(client: Client, **filters: Any) -> list[str]:
    response = await client.runs.ListRuns(run_pb2.ListRunsRequest(parent="orgs/acme", **filters))
    return [run.name for run in response.runs]


@asynccontextmanager
async def locked(url: str, table: str) -> AsyncIterator[None]:
    """Nobody else reads or writes a table."""
    conninfo = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    async with await psycopg.AsyncConnection.connect(conninfo) as connection:
        await connection.execute(f"LOCK TABLE {table}".encode())
        yield


async def test_calls_that_end_together_share_a_transaction(
    attached: Client, fakes: Fakes, query: Query, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None is answered before it is written, and those that wait for a write are written by the next one."""
    await attached.call()
    gate = fakes.executor.behave = Gate()
    record, waiting = Recorder.record, list[Record]()

    async def recorded(self: Recorder, ended: Record) -> None:
        waiting.append(ended)
        await record(self, ended)

    async def all_run() -> bool:
        return gate.running == CALLS

    async def all_wait() -> bool:
        return len(waiting) == CALLS

    monkeypatch.setattr(Recorder, "record", recorded)
    calling = [asyncio.create_task(attached.call()) for _ in range(CALLS)]
    await eventually(all_run, seconds=30)
    async with locked(url, "runs"):
        gate.released.set()
        await eventually(all_wait)
        assert not any(call.done() for call in calling)
    answers = await asyncio.gather(*calling)
    runs = await query("SELECT 'orgs/acme/runs/' || run FROM runs")
    assert {answer.run for answer in answers} < {name for (name,) in runs}
    batches = [count for (count,) in await query("SELECT count(*) FROM runs GROUP BY xmin")]
    assert len(batches) <= 3, "one call alone, those that the lock held up, and all that came meanwhile"
    ((last,),) = await query("SELECT count(*) FROM usage_counters JOIN runs ON runs.xmin = usage_counters.xmin")
    assert last in batches, "runs are counted in the transaction that writes them"
    shown = await attached.agents.GetAttachment(agent_pb2.GetAttachmentRequest(name=ATTACHMENT))
    assert shown.counters.usage_count == CALLS + 1


async def test_counters_of_attachment_and_installation(attached: Client, fakes: Fakes, clock: SetClock) -> None:
    await attached.call()
    clock.move(minutes=5)
    await attached.call()
    fakes.executor.behave = failing(ActionFailed("broken"))
    with pytest.raises(ActionFailed):
        await attached.call()
    shown = await attached.agents.GetAttachment(agent_pb2.GetAttachmentRequest(name=ATTACHMENT))
    counters = shown.counters
    assert (counters.execution_count, counters.error_count, counters.usage_count) == (3, 1, 2)
    assert math.isclose(counters.success_rate, 2 / 3)
    assert counters.average_execution_time_ms > 0
    assert counters.last_used.ToSeconds() >= int(clock.now().timestamp())

    # A new attachment begins at nothing; the installation counts all of them, present and past.
    await attached.detach()
    await attached.attach()
    again = await attached.agents.GetAttachment(agent_pb2.GetAttachmentRequest(name=ATTACHMENT))
    assert again.counters.execution_count == 0
    whole = await attached.installations.GetInstallation(installation_pb2.GetInstallationRequest(name=INSTALLATION))
    assert whole.counters == counters


async def test_counters_are_summed_over_processes(attached: Client, another: Another, dial: Dial) -> None:
    other = dial(await another())
    await attached.call()
    await other.call()
    shown = await attached.agents.GetAttachment(agent_pb2.GetAttachmentRequest(name=ATTACHMENT))
    assert shown.counters.execution_count == 2


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(outcomes=OUTCOMES, data=st.data())
async def test_stored_counters_do_not_depend_on_batches_and_writers(
    url: str, outcomes: list[tuple[RunState, int, int, str]], data: st.DataObject
) -> None:
    attachment = secrets.token_hex(8)
    records = [record(state, duration, second, attachment) for state, duration, second, _ in outcomes]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(records)), max_size=5)))
    logs = [RunLog(url), RunLog(url)]
    for start, end in pairwise([0, *cuts, len(records)]):
        if start < end:
            log = data.draw(st.sampled_from(logs))
            await log.write(records[start:end])
            if data.draw(st.booleans()):
                await log.write(records[start:end])  # as after a lost connection: nothing is counted twice
    for log in logs:
        await log.close()
    database = Database(url)
    async with database.transaction("acme") as connection:
        sums = text(f"SELECT {COUNTERS} FROM usage_counters WHERE attachment = :attachment")
        stored = counters((await connection.execute(sums, {"attachment": attachment})).one())
    await database.close()
    assert stored == sum((each.run.counted for each in records), NOTHING)


async def test_runs_are_listed_newest_first_in_pages(attached: Client, clock: SetClock) -> None:
    made = []
    for _ in range(5):
        clock.move(milliseconds=1)
        made.append((await attached.call()).run)
    request = run_pb2.ListRunsRequest(parent="orgs/acme", page_size=2)
    found, pages = [], 0
    while True:
        page = await attached.runs.ListRuns(request)
        found += [run.name for run in page.runs]
        pages += 1
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert (found, pages) == (made[::-1], 3)
    with pytest.raises(InvalidArgument) as refused:
        await attached.runs.ListRuns(
            run_pb2.ListRunsRequest(parent="orgs/acme", page_token=request.page_token, agent=AGENT)
        )
    assert refused.value.reason == "PAGE_TOKEN_MISMATCH"


async def test_runs_are_filtered_by_agent_and_state(attached: Client, fakes: Fakes) -> None:
    await attached.create_agent("other")
    await attached.attach(agent="orgs/acme/agents/other")
    good = (await attached.call()).run
    other = (await attached.call(agent="orgs/acme/agents/other")).run
    fakes.executor.behave = failing(ActionFailed("broken"))
    with pytest.raises(ActionFailed) as failed:
        await attached.call()
    bad = failed.value.metadata["run"]
    assert set(await listed(attached)) == {good, other, bad}
    assert set(await listed(attached, agent=AGENT)) == {good, bad}
    assert await listed(attached, state=run_pb2.RUN_STATE_FAILED) == [bad]
    assert await listed(attached, state=run_pb2.RUN_STATE_SUCCEEDED, agent=AGENT) == [good]
    assert await listed(attached, state=run_pb2.RUN_STATE_WAITING) == []
    with pytest.raises(NotFound):
        await listed(attached, agent="orgs/umbrella/agents/helper")


async def test_a_run_has_one_step(attached: Client) -> None:
    run = (await attached.call()).run
    response = await attached.runs.ListSteps(run_pb2.ListStepsRequest(parent=run))
    (step,) = response.steps
    assert (step.name, step.action, step.state) == (f"{run}/steps/1", TOOL, run_pb2.RUN_STATE_SUCCEEDED)
    assert step.usage.broker_calls == 1
    with pytest.raises(NotFound):
        await attached.runs.ListSteps(run_pb2.ListStepsRequest(parent="orgs/acme/runs/none"))
    with pytest.raises(NotFound):
        await attached.runs.GetRun(run_pb2.GetRunRequest(name="orgs/acme/runs/none"))


async def test_neither_input_nor_output_is_recorded(attached: Client, query: Query) -> None:
    await attached.call(location="a-very-private-place")
    for table in ("runs", "usage_counters", "audit_events"):
        rows = await query(f"SELECT row_to_json(t)::text FROM {table} t")
        assert rows
        assert not any("a-very-private-place" in text for (text,) in rows)


async def test_a_result_that_cannot_be_recorded_is_not_claimed(attached: Client, fakes: Fakes, query: Query) -> None:
    await query("ALTER TABLE runs ADD CONSTRAINT never CHECK (false) NOT VALID")
    with pytest.raises(Unavailable) as refused:
        await attached.call()
    assert "may have taken effect" in refused.value.fix
    assert len(fakes.executor.executions) == 1
    await query("ALTER TABLE runs DROP CONSTRAINT never")
    await attached.call()


async def test_one_row_that_is_refused_does_not_take_the_others_with_it(
    attached: Client, fakes: Fakes, query: Query
) -> None:
    await query("ALTER TABLE runs ADD CONSTRAINT picky CHECK (message <> 'bad')")

    async def odd_ones_fail(execution: Execution) -> Ended:
        bad = execution.input["location"] == "bad"
        return await (failing(ActionFailed("bad")) if bad else succeed)(execution)

    fakes.executor.behave = odd_ones_fail
    results = await asyncio.gather(
        *(attached.call(location="bad" if i == 3 else "good") for i in range(10)), return_exceptions=True
    )
    assert [i for i, result in enumerate(results) if isinstance(result, BaseException)] == [3]
    assert isinstance(results[3], Unavailable)
    assert await query("SELECT count(*) FROM runs") == [(9,)]


async def test_what_waits_is_written_before_the_process_ends(url: str, query: Query) -> None:
    recorder = Recorder(RunLog(url))
    await recorder.start()
    recorder.leave(record(RunState.CANCELLED, 5, 0, "one"))
    await recorder.stop()
    assert await query("SELECT state, duration_us FROM runs") == [("CANCELLED", 5)]


async def test_an_org_reads_only_its_own_runs(url: str, attached: Client, query: Query) -> None:
    await attached.call()
    database = Database(url)
    async with Store(database).transaction(SYSTEM("umbrella")) as tx:
        assert await tx.runs.within("acme", Window(10, "", ""), "", "") == []
    await database.close()
    assert await query("SELECT count(*) FROM runs", org="acme") == [(1,)]


async def test_a_run_keeps_what_was_refused_by_name(attached: Client, fakes: Fakes) -> None:
    patch = '[{"op": "add", "path": "/capability/hosts", "value": ["api.example.com"]}]'
    facts = {"host": "evil.test", "path": "capability.hosts", "patch": patch, "error": "no\0body"}
    refused = ActionFailed("host evil.test is not granted", reason="HOST_NOT_GRANTED", fix="grant it", **facts)
    refused.metadata |= {"run": "another", "input": "a-very-private-place"}
    fakes.executor.behave = failing(refused)
    with pytest.raises(ActionFailed) as failed:
        await attached.call()
    run = await attached.runs.GetRun(run_pb2.GetRunRequest(name=failed.value.metadata["run"]))
    assert dict(run.facts) == {**facts, "error": "no\ufffdbody"}
    (again,) = (await attached.runs.ListRuns(run_pb2.ListRunsRequest(parent="orgs/acme"))).runs
    assert again.facts == run.facts


async def test_what_a_run_keeps_is_bounded_and_a_patch_is_kept_whole_or_not_at_all(
    attached: Client, fakes: Fakes
) -> None:
    fakes.executor.behave = failing(ActionFailed("no", host="h" * 7_999, secret="KEY", patch="[" * 100, name="n"))
    with pytest.raises(ActionFailed) as failed:
        await attached.call()
    run = await attached.runs.GetRun(run_pb2.GetRunRequest(name=failed.value.metadata["run"]))
    assert dict(run.facts) == {"host": "h" * 7_999, "name": "n"}


async def test_a_run_that_succeeds_keeps_no_facts(attached: Client) -> None:
    run = await attached.runs.GetRun(run_pb2.GetRunRequest(name=(await attached.call()).run))
    assert not run.facts
