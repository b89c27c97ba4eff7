"""The use cases of the executor: an execution that is cancelled ends as such, and its id is free again."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from executor.brokers import client_of
from executor.kept import Kept
from executor.upstream import Seen, Upstream
from hardpoint_executor.domain import Artifact, Execution, Finished, Limits, Outcome, Started
from hardpoint_executor.jail import JailOptions, Jails
from hardpoint_executor.jail.pool import PoolOptions
from hardpoint_executor.peers import Values
from hardpoint_executor.service import Executor
from hardpoint_kit.caller import SYSTEM
from hardpoint_kit.clock import SystemClock
from hardpoint_kit.errors import AlreadyExists, NotFound, Unavailable
from hardpoint_manifest.authority import Authority

MANIFEST = {
    "capability": {
        "id": "probe",
        "name": "Probe",
        "version": "1.0.0",
        "actions": [{"id": "get", "name": "Get"}],
        "integration": {"type": "api", "endpoint": "https://api.example.com/x", "method": "GET"},
        "permissions": ["network.http.get"],
    }
}
EXECUTION = Execution(
    org="acme",
    id="e1",
    release="orgs/acme/capabilities/probe/releases/1.0.0",
    artifact=Artifact("sha256:0", "probe.json", "ticket"),
    action="get",
    output_schema={},
    input={},
    authority=Authority(frozenset({"network.http.get"}), frozenset({"api.example.com"})),
    lease_token="",
    requirements=(),
    limits=Limits(),
)


class Registry:
    async def read(self, digest: str, ticket: str) -> bytes:
        return json.dumps(MANIFEST).encode()


class Config:
    async def redeem(self, token: str) -> Values:
        return Values({}, {}, datetime.now(UTC))


async def silence(_seen: Seen) -> AsyncIterator[bytes]:
    await asyncio.Event().wait()
    yield b""


@pytest.fixture
async def jails() -> AsyncIterator[Jails]:
    started = Jails(JailOptions(slots=None, languages=("python",), pool=PoolOptions(waiting=1)))
    await started.start()
    assert started.reasons_not_ready() == []
    yield started
    await started.stop()


@pytest.mark.jail
async def test_nothing_runs_while_the_jail_is_not_ready(jails: Jails) -> None:
    async with Upstream() as upstream, client_of({"api.example.com": upstream}) as http:
        executor = Executor(Registry(), Config(), jails, http, SystemClock(), Limits(), files=Kept())
        finished = [event async for event in executor.execute(SYSTEM("acme"), EXECUTION)][-1]
        assert isinstance(finished, Finished)
        assert finished.outcome is Outcome.OK
        assert len(upstream.seen) == 1
        pool = jails._calls["python", False].pool
        await pool.fill()  # a start that is under way would end well and say so
        pool.failure = "the kernel refuses"
        with pytest.raises(Unavailable) as refused:
            await anext(executor.execute(SYSTEM("acme"), EXECUTION))
        with pytest.raises(Unavailable) as unread:
            await executor.read_header(SYSTEM("acme"), "plugin.js", b"export default {}")
        for error in (refused.value, unread.value):
            assert error.reason == "JAIL_UNAVAILABLE"
            assert "python jails do not start: the kernel refuses" in error.message
            assert error.metadata["check"] == jails.reasons_not_ready()[0]
            assert error.fix
        assert len(upstream.seen) == 1


@pytest.mark.jail
async def test_a_cancelled_execution_ends_as_such_and_frees_its_id(jails: Jails) -> None:
    async with Upstream(silence) as silent, client_of({"api.example.com": silent}) as http:
        executor = Executor(Registry(), Config(), jails, http, SystemClock(), Limits(), files=Kept())
        events = executor.execute(SYSTEM("acme"), EXECUTION)
        assert await anext(events) == Started("http")
        with pytest.raises(AlreadyExists):
            await anext(executor.execute(SYSTEM("acme"), EXECUTION))
        with pytest.raises(NotFound):
            await executor.cancel(SYSTEM("other"), "other", "e1")
        for _ in range(2):  # asked for twice it is the same end, and not one of a caller who went away
            await executor.cancel(SYSTEM("acme"), "acme", "e1")
        finished = await asyncio.wait_for(anext(events), 5)
        assert isinstance(finished, Finished)
        assert finished.outcome is Outcome.CANCELLED
        with pytest.raises(StopAsyncIteration):
            await anext(events)
        with pytest.raises(NotFound):
            await executor.cancel(SYSTEM("acme"), "acme", "e1")
