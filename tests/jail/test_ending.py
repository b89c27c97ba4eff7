"""The end of a call reaches the jail: its caller's cancellation and deadline, and CancelExecution."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from executor.brokers import client_of
from executor.kept import Kept
from hardpoint.executor.v1 import executor_pb2, executor_pb2_grpc
from hardpoint.executor.v1.executor_pb2_grpc import add_ExecutorServiceServicer_to_server
from hardpoint.manifest.v1 import manifest_pb2
from hardpoint_executor.domain import Limits
from hardpoint_executor.jail import Jails
from hardpoint_executor.jail.single_use import JailProcess
from hardpoint_executor.peers import Values
from hardpoint_executor.rpc import ExecutorRpc
from hardpoint_executor.service import Executor
from hardpoint_kit.auth import DevKeys
from hardpoint_kit.caller import SERVICE_ROLE
from hardpoint_kit.clock import SystemClock
from hardpoint_kit.errors import DeadlineExceeded, NotFound
from hardpoint_kit.rpc.client import channel
from hardpoint_kit.unit import Unit
from serving import Serve

from .programs import python

SPINS = "self.log('here')\nwhile True: pass"
FLOODS = "for _ in range(100): self.log('x' * 4000)\nwhile True: pass"


class Registry:
    """Gives the source that a test runs; holds it back while `gate` is closed."""

    def __init__(self) -> None:
        self.source = ""
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = asyncio.Event()

    async def read(self, digest: str, ticket: str) -> bytes:
        self.asked.set()
        await self.gate.wait()
        return self.source.encode()


class Config:
    async def redeem(self, token: str) -> Values:
        return Values({}, {}, datetime.now(UTC))


pytestmark = pytest.mark.parametrize("tier", ["single-use"], indirect=True, scope="session")
"""What is watched is how single-use jails die."""


@dataclass
class Served:
    """An executor behind a port, and a caller of it."""

    stub: Any
    executor: Executor
    registry: Registry
    jails: Jails
    ran: int = 0

    def execute(self, body: str, id: str = "e1", timeout: float | None = 30.0) -> Any:
        self.ran += 1
        self.registry.source = python(body).source
        authority = manifest_pb2.Authority(permissions=["network.http.get", "compute.heavy"], hosts=["api.example.com"])
        return self.stub.Execute(
            executor_pb2.ExecuteRequest(
                org="orgs/acme",
                execution_id=id,
                release="orgs/acme/capabilities/tested/releases/1.0.0",
                digest=f"sha256:{self.ran:064}",
                filename="plugin.py",
                action=manifest_pb2.Action(id="act"),
                authority=authority,
            ),
            timeout=timeout,
        )

    async def cancel(self, id: str = "e1") -> None:
        await self.stub.CancelExecution(executor_pb2.CancelExecutionRequest(org="orgs/acme", execution_id=id))

    def busy(self) -> JailProcess:
        """The only jail that has a call."""
        (process,) = self.jails._calls["python", False].pool._taken
        return process


@pytest.fixture
async def served(jails: Jails, serve: Serve, keys: DevKeys) -> AsyncIterator[Served]:
    registry = Registry()
    async with client_of({}) as http:
        executor = Executor(registry, Config(), jails, http, SystemClock(), Limits(log_bytes=1 << 20), files=Kept())
        server = await serve(Unit("executor", [(add_ExecutorServiceServicer_to_server, ExecutorRpc(executor))]))
        token = keys.mint("units/runtime", "acme", [SERVICE_ROLE])
        async with channel(f"127.0.0.1:{server.port}", token=token) as opened:
            yield Served(executor_pb2_grpc.ExecutorServiceStub(opened), executor, registry, jails)


async def until_here(call: Any) -> AsyncIterator[Any]:
    """The rest of a call's events, after its plugin said that it runs."""
    events = aiter(call)
    while (await anext(events)).log.message != "here":
        pass
    return events


async def test_a_caller_that_goes_away_takes_its_jail_along(served: Served) -> None:
    async def calls() -> None:
        events = await until_here(served.execute(SPINS))
        runs.set_result(served.busy())
        await anext(events)

    runs: asyncio.Future[JailProcess] = asyncio.get_running_loop().create_future()
    call = asyncio.create_task(calls())
    await asyncio.wait((runs, call), return_when=asyncio.FIRST_COMPLETED)
    process = runs.result()
    call.cancel()
    assert (await process.died()).signal == "SIGKILL"
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await ends(lambda: served.executor._running == {})


async def test_a_caller_that_does_not_read_can_still_go_away(served: Served) -> None:
    """The events fill the window of the connection, so the executor hangs in writing one when it is cancelled."""
    call = served.execute(FLOODS)
    await anext(call)
    process = served.busy()
    await call.aclose()
    assert (await process.died()).signal == "SIGKILL"
    assert await ends(lambda: served.executor._running == {})


async def test_the_deadline_of_a_caller_is_the_jails(served: Served) -> None:
    events = await until_here(served.execute(SPINS, timeout=1.0))
    process = served.busy()
    with pytest.raises(DeadlineExceeded):
        await anext(events)
    assert (await process.died()).signal == "SIGKILL"
    assert await ends(lambda: served.executor._running == {})


async def test_a_cancelled_execution_is_dead_when_its_stream_says_so(served: Served) -> None:
    events = await until_here(served.execute(SPINS))
    process = served.busy()
    await served.cancel()
    finished = (await anext(events)).finished
    assert finished.outcome == executor_pb2.OUTCOME_CANCELLED
    assert process._killed
    assert (await process.died()).signal == "SIGKILL"
    with pytest.raises(NotFound):
        await served.cancel()


async def test_an_execution_that_waits_for_its_artifact_can_be_cancelled(served: Served) -> None:
    served.registry.gate.clear()
    events = aiter(served.execute(SPINS))
    first = asyncio.ensure_future(anext(events))
    await served.registry.asked.wait()
    await served.cancel()
    assert (await first).finished.outcome == executor_pb2.OUTCOME_CANCELLED
    served.registry.gate.set()


async def test_many_cancelled_calls_leave_their_jails_to_others(served: Served) -> None:
    """More than the pool has jails, some running, some waiting for one."""
    calls = [asyncio.create_task(collect(served.execute(SPINS, id=f"e{n}"))) for n in range(16)]
    await asyncio.wait({asyncio.create_task(started(served, 6))})
    for call in calls:
        call.cancel()
    assert all(
        isinstance(error, asyncio.CancelledError) for error in await asyncio.gather(*calls, return_exceptions=True)
    )
    assert (await collect(served.execute("return {}")))[-1].finished.outcome == executor_pb2.OUTCOME_OK
    assert await ends(lambda: served.executor._running == {})


async def collect(call: Any) -> list[Any]:
    return [event async for event in call]


async def started(served: Served, number: int) -> None:
    while len(served.jails._calls["python", False].pool._taken) < number:
        await asyncio.sleep(0.01)


async def ends(holds: Callable[[], bool]) -> bool:
    """Whether something comes to hold, in five seconds."""
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.01)
    return True
