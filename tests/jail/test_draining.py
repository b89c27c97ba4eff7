"""An executor that is told to stop lets running calls end, takes no new ones, and leaves nothing behind."""

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from executor.process import Artifacts, ExecutorProcess
from executor.upstream import Seen, Upstream, json_answer
from hardpoint.executor.v1 import executor_pb2
from hardpoint_kit.errors import NotFound, Unavailable
from serving import Serve

from .conftest import descendants, processes
from .programs import python

FETCHES = 'return (await self.fetch("https://api.example.com/x")).json()'


async def test_running_calls_end_and_new_ones_are_refused(serve: Serve, tmp_path: Path) -> None:
    asked, answered = asyncio.Event(), asyncio.Event()

    async def held_back(_seen: Seen) -> AsyncIterator[bytes]:
        asked.set()
        await answered.wait()
        yield json_answer({"sky": "blue"})

    artifacts = Artifacts()
    registry = await serve(artifacts.unit())
    async with Upstream(held_back) as upstream:
        aliases = json.dumps({"api.example.com": upstream.place})
        executor = ExecutorProcess(
            tmp_path, artifacts, f"127.0.0.1:{registry.port}", {"HARDPOINT_EXECUTOR_HOST_ALIASES": aliases}
        )
        await executor.process.start()
        jails = descendants(executor.pid)
        assert jails
        async with executor.caller() as caller:
            call = caller.Execute(executor.request(python(FETCHES).source, "plugin.py", "e1"), timeout=60)
            events = asyncio.create_task(_all(call))
            await asyncio.wait((events, asyncio.create_task(asked.wait())), return_when=asyncio.FIRST_COMPLETED)
            executor.signal(signal.SIGTERM)

            await _refused(caller)
            with pytest.raises(Unavailable):
                await _all(caller.Execute(executor.request(python("return {}").source, "plugin.py", "e2"), timeout=20))
            assert not events.done()
            answered.set()
            finished = (await events)[-1].finished
            assert finished.outcome == executor_pb2.OUTCOME_OK
        assert await asyncio.wait_for(executor.ended(), 20) == 0
    assert not jails.keys() & processes().keys()
    assert '"level": "error"' not in executor.log()


async def _refused(caller) -> None:
    """Return when the signal has arrived: until then calls are answered."""
    nobody = executor_pb2.CancelExecutionRequest(org="orgs/acme", execution_id="nobody")
    with contextlib.suppress(Unavailable):
        while True:
            with contextlib.suppress(NotFound):
                await caller.CancelExecution(nobody)


async def _all(call) -> list:
    return [event async for event in call]
