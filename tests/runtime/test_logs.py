"""What the code of runs logs: kept with the run, for those who may read it, and for some days."""

from datetime import timedelta
from typing import Any

import pytest

from hardpoint.runtime.v1 import run_pb2
from hardpoint_kit.caller import ANY_ORG
from hardpoint_kit.clock import SystemClock
from hardpoint_kit.database import Database
from hardpoint_kit.documents import to_value
from hardpoint_kit.errors import ActionFailed, HardpointError, NotFound, PermissionDenied, Unavailable
from hardpoint_kit.rpc.server import Server
from hardpoint_runtime.domain.executions import Ended, Execution
from hardpoint_runtime.domain.runs import LogLine, RunState, Usage
from hardpoint_runtime.server import Options, assemble
from hardpoint_runtime.store.run_logs import forget_logs
from runtime.conftest import Client, Dial, Fakes
from runtime.workflows import after, install, start, until, workflow
from serving import Serve

FAILED = ActionFailed("no", reason="UPSTREAM_ERROR")


@pytest.fixture
async def server(url: str, fakes: Fakes, serve: Serve) -> Server:
    """The one runtime of this process that walks workflows."""
    return await serve(assemble(Options(runtime_database_url=url), SystemClock(), fakes.peers(), tuple))


def logs(*messages: str, error: HardpointError | None = None) -> Any:
    async def behave(_execution: Execution) -> Ended:
        state, output = (RunState.FAILED, None) if error else (RunState.SUCCEEDED, to_value("said"))
        return Ended(state, output, error, Usage(), logs=tuple(LogLine("info", one) for one in messages))

    return behave


async def lines_of(client: Client, run: str) -> list[tuple[str, str]]:
    response = await client.runs.GetRunLogs(run_pb2.GetRunLogsRequest(name=run))
    return [(line.step, line.message) for line in response.lines]


async def test_what_a_call_logs_is_kept_when_it_fails_too(attached: Client, fakes: Fakes) -> None:
    fakes.executor.behave = logs("one", "two")
    assert await lines_of(attached, (await attached.call()).run) == [("", "one"), ("", "two")]
    fakes.executor.behave = logs("before it broke", error=FAILED)
    with pytest.raises(ActionFailed) as failed:
        await attached.call()
    assert await lines_of(attached, failed.value.metadata["run"]) == [("", "before it broke")]
    fakes.executor.behave = logs()
    assert await lines_of(attached, (await attached.call()).run) == []
    with pytest.raises(NotFound):
        await lines_of(attached, "orgs/acme/runs/none")


def test_what_the_database_cannot_keep_takes_no_run_with_it() -> None:
    assert LogLine.of("info", "a\0b") == LogLine("info", "a\ufffdb")


async def test_who_calls_does_not_read_what_code_logs(
    attached: Client, server: Server, dial: Dial, fakes: Fakes
) -> None:
    fakes.executor.behave = logs("a secret of the trade")
    run = (await attached.call()).run
    for role in ("agent", "viewer"):
        with pytest.raises(PermissionDenied):
            await lines_of(dial(server, role=role), run)
    for role in ("builder", "operator"):
        assert await lines_of(dial(server, role=role), run)
    with pytest.raises(NotFound):
        await lines_of(dial(server, "other", "admin"), run)


async def test_a_workflow_s_steps_and_their_attempts_are_told_apart(client: Client, fakes: Fakes) -> None:
    made = workflow({"id": "look", "retry": {"attempts": 2}}, {"id": "put", "after": after("look")})
    await install(client, fakes, made)
    asked: list[Execution] = []

    async def behave(execution: Execution) -> Ended:
        asked.append(execution)
        error = Unavailable("try again") if len(asked) == 1 else None
        return await logs(f"{execution.action.id} {len(asked)}", error=error)(execution)

    fakes.executor.behave = behave
    run = await start(client)
    await until(client, run.name, run_pb2.RUN_STATE_SUCCEEDED)
    assert await lines_of(client, run.name) == [("look", "look 1"), ("look", "look 2"), ("put", "put 3")]


async def test_what_was_logged_is_forgotten(attached: Client, fakes: Fakes, url: str) -> None:
    fakes.executor.behave = logs("soon gone")
    run = (await attached.call()).run
    database, now = Database(url), SystemClock().now()
    async with database.transaction(ANY_ORG) as connection:
        assert await forget_logs(connection, now - timedelta(days=1), 10) == 0
        assert await forget_logs(connection, now + timedelta(days=1), 10) == 1
    await database.close()
    assert await lines_of(attached, run) == []
