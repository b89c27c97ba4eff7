"""Processes that walk workflows are killed, stopped and stalled: runs go on elsewhere, and nothing happens twice."""

import asyncio
import base64
import contextlib
import os
import pickle
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from demo.upstreams import Asked, upstream

from forked import FORKS
from hardpoint.runtime.v1 import run_pb2
from hardpoint_kit.errors import Unavailable
from runtime.conftest import Client, Fakes, Query
from runtime.walker import walk
from runtime.workflows import after, install, output, start, steps, until, workflow
from serving import eventually


class World:
    """The outside: it holds the requests for actions that are `held`, and has one effect for each key."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.effects: dict[str, set[str]] = {}
        self.held: dict[str, asyncio.Event] = {}
        self.port = 0
        self._loop = asyncio.get_running_loop()

    def hold(self, action: str) -> asyncio.Event:
        self.held[action] = asyncio.Event()
        return self.held[action]

    def __call__(self, asked: Asked) -> tuple[int, object]:
        action = asked.path.strip("/")
        self.effects.setdefault(action, set()).add(asked.headers["key"])
        self.asked.append(action)
        if action in self.held:
            waiting = asyncio.run_coroutine_threadsafe(self.held[action].wait(), self._loop)
            waiting.result(60)
        return 200, {"of": action}

    async def has(self, *asked: str) -> None:
        async def all_asked() -> bool:
            return sorted(self.asked) == sorted(asked)

        await eventually(all_asked, 20)


class Process:
    """A walker."""

    def __init__(self, url: str, port: int) -> None:
        listening, told = FORKS.Pipe(duplex=False)
        self._process = FORKS.Process(target=walk, args=(url, port, told))
        self._process.start()
        told.close()
        self.said: list[str] = []
        self._reading = asyncio.create_task(self._read(listening))

    async def says(self, text: str) -> None:
        async def said() -> bool:
            assert self._process.is_alive() or text in self.said, self.said
            return any(text in line for line in self.said)

        await eventually(said, 30)

    async def end(self, number: signal.Signals) -> None:
        if self._process.is_alive():
            self.signal(number)
            await asyncio.to_thread(self._process.join)
        await self._reading

    def signal(self, number: signal.Signals) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    async def _read(self, listening: Connection) -> None:
        lines = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(lines)
        pipe = os.fdopen(os.dup(listening.fileno()), "rb", buffering=0)
        listening.close()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, pipe)
        async for line in lines:
            self.said.append(line.decode().strip())
            print(line.decode().strip())  # shown with a test that fails
        transport.close()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    with upstream(world) as server:
        world.port = int(server.address.rpartition(":")[2])
        yield world
        for held in world.held.values():
            held.set()


Walking = Callable[[], Awaitable[Process]]


@pytest.fixture
def walker(url: str, world: World, cleanup: AsyncExitStack) -> Walking:
    """`await walker()` is one more process that walks what is queued in the test's database."""

    async def walker() -> Process:
        process = Process(url, world.port)
        cleanup.push_async_callback(process.end, signal.SIGKILL)
        await process.says("walking")
        return process

    return walker


async def test_a_killed_process_is_taken_over(client: Client, fakes: Fakes, world: World, walker: Walking) -> None:
    """S07: the step that was running is repeated with the key of its effect, the one before it is not."""
    await install(client, fakes, workflow({"id": "look"}, {"id": "put", "after": after("look")}))
    first = await walker()
    held = world.hold("put")
    run = await start(client)
    await world.has("look", "put")
    await walker()
    await first.end(signal.SIGKILL)
    await world.has("look", "put", "put")
    held.set()
    ended = await until(client, run.name)
    assert ended.state == run_pb2.RUN_STATE_SUCCEEDED
    assert len(world.effects["put"]) == 1
    assert (await steps(client, run.name))["put"].attempts == 2


async def test_what_may_have_happened_waits_for_a_person(
    client: Client, fakes: Fakes, world: World, walker: Walking
) -> None:
    await install(client, fakes, workflow({"id": "store"}, {"id": "look", "after": after("store")}))
    first = await walker()
    world.hold("store")
    run = await start(client)
    await world.has("store")
    await first.end(signal.SIGKILL)
    await walker()
    waiting = await until(client, run.name, run_pb2.RUN_STATE_WAITING)
    assert waiting.reason == "MAY_HAVE_HAPPENED"
    store = (await steps(client, run.name))["store"]
    await client.runs.ResumeRun(run_pb2.ResumeRunRequest(step=store.name, decision=run_pb2.RESUME_SKIP))
    assert (await until(client, run.name)).state == run_pb2.RUN_STATE_SUCCEEDED
    assert world.asked == ["store", "look"]


async def test_a_stopped_process_ends_its_steps_and_leaves_the_rest(
    client: Client, fakes: Fakes, world: World, walker: Walking
) -> None:
    await install(client, fakes, workflow({"id": "store"}, {"id": "mail", "after": after("store")}))
    first = await walker()
    held = world.hold("store")
    run = await start(client)
    await world.has("store")
    stopping = asyncio.create_task(first.end(signal.SIGTERM))
    await asyncio.sleep(0)
    held.set()
    await stopping
    assert first.said[-1] == "stopped", first.said
    await walker()
    assert (await until(client, run.name)).state == run_pb2.RUN_STATE_SUCCEEDED
    assert world.asked == ["store", "mail"]


async def test_a_stalled_process_is_fenced(client: Client, fakes: Fakes, world: World, walker: Walking) -> None:
    """It wakes up after its run was taken over, and what it then writes is refused."""
    await install(client, fakes, workflow({"id": "put"}, {"id": "mail", "after": after("put")}))
    first = await walker()
    held = world.hold("put")
    run = await start(client)
    await world.has("put")
    first.signal(signal.SIGSTOP)
    await walker()
    await world.has("put", "put")
    held.set()
    ended = await until(client, run.name)
    first.signal(signal.SIGCONT)
    await first.end(signal.SIGTERM)
    assert ended.state == run_pb2.RUN_STATE_SUCCEEDED
    assert sorted(world.asked) == ["mail", "put", "put"]
    assert len(world.effects["put"]) == 1
    assert (await steps(client, run.name))["put"].attempts == 2


async def test_one_org_does_not_hold_up_another(
    client: Client, fakes: Fakes, world: World, walker: Walking, query: Query
) -> None:
    """More runs of one org than are walked at once, each held: those of another org go through."""
    await install(client, fakes, workflow({"id": "put"}), workflow({"id": "put"}))
    await walker()
    world.hold("put")
    held = [await start(client) for _ in range(12)]
    await world.has(*["put"] * 8)
    assert await query("SELECT DISTINCT queue_partition_key FROM dbos.workflow_status") == [("acme",)]
    await query("UPDATE dbos.workflow_status SET queue_partition_key = 'other' WHERE status = 'ENQUEUED'")
    await world.has(*["put"] * 12)
    world.held["put"].set()
    for run in held:
        assert (await until(client, run.name)).state == run_pb2.RUN_STATE_SUCCEEDED


async def test_runs_that_wait_are_rows_and_nothing_else(
    client: Client, fakes: Fakes, world: World, walker: Walking, query: Query
) -> None:
    made = workflow({"id": "go", "does": "event", "action": "", "input": "go"}, {"id": "put", "after": after("go")})
    await install(client, fakes, made)
    await walker()
    runs = await asyncio.gather(*(start(client) for _ in range(100)))

    async def all_wait() -> bool:
        return await query("SELECT count(*) FROM runs WHERE state = 'WAITING'") == [(len(runs),)]

    await eventually(all_wait, 60)

    async def none_is_walked() -> bool:
        waiting = "SELECT count(*) FROM dbos.workflow_status WHERE status IN ('ENQUEUED', 'PENDING', 'DELAYED')"
        return await query(waiting) == [(0,)]

    await eventually(none_is_walked)
    await client.runs.SendEvent(run_pb2.SendEventRequest(run=runs[50].name, event="go"))
    assert (await until(client, runs[50].name)).state == run_pb2.RUN_STATE_SUCCEEDED
    assert world.asked == ["put"]


async def test_the_tables_of_the_queue_can_be_lost(
    client: Client, fakes: Fakes, world: World, walker: Walking, query: Query
) -> None:
    """They are made again, and runs go on from the runtime's own rows; the unit says why it was not ready."""
    await install(client, fakes, workflow({"id": "put"}, {"id": "mail", "after": after("put")}))
    process = await walker()
    held = world.hold("put")
    run = await start(client)
    await world.has("put")
    await query("DROP SCHEMA dbos CASCADE")
    await process.says("reasons the tables of workflows were gone")
    held.set()
    ended = await until(client, run.name)
    assert ended.state == run_pb2.RUN_STATE_SUCCEEDED, ended
    assert world.asked.count("mail") == 1
    begun: list[run_pb2.Run] = []

    async def begins() -> bool:
        with contextlib.suppress(Unavailable):
            begun.append(await start(client))
        return bool(begun)

    await eventually(begins, 60)
    assert await output(client, await until(client, begun[0].name)) == {"of": "mail"}


async def test_nothing_of_the_orgs_is_in_the_tables_of_the_queue(
    client: Client, fakes: Fakes, world: World, walker: Walking, query: Query
) -> None:
    await install(client, fakes, workflow({"id": "put", "input": {"to": "${input.name}"}}))
    await walker()
    run = await start(client, name="zebra-crossing")
    await until(client, run.name)
    tables = await query("SELECT table_name FROM information_schema.tables WHERE table_schema = 'dbos'")
    assert ("workflow_status",) in tables
    for (table,) in tables:
        for (row,) in await query(f"SELECT t::text FROM dbos.{table} t"):
            assert "zebra" not in row, table


async def test_a_pickle_in_its_tables_is_not_read(
    client: Client, fakes: Fakes, world: World, walker: Walking, query: Query, tmp_path: Path
) -> None:
    """Who can write there would run code here: DBOS reads what is called a pickle, whatever its serializer."""

    class Attack:
        def __reduce__(self) -> object:
            return os.system, (f"touch {tmp_path}/pwned",)

    text = base64.b64encode(pickle.dumps({"args": Attack(), "kwargs": {}})).decode()
    await install(client, fakes, workflow({"id": "put"}))
    process = await walker()
    await process.end(signal.SIGTERM)
    run = await start(client)
    columns = await query(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'dbos'"
        " AND column_name IN ('inputs', 'serialization') ORDER BY 1, 2"
    )
    for table in {table for table, column in columns if column == "inputs"}:
        await query(f"UPDATE dbos.{table} SET inputs = '{text}'")
    for table in {table for table, column in columns if column == "serialization"}:
        await query(f"UPDATE dbos.{table} SET serialization = 'py_pickle'")
    process = await walker()
    await process.says("pickles are neither read")
    assert not (tmp_path / "pwned").exists()
    assert (await client.runs.GetRun(run_pb2.GetRunRequest(name=run.name))).state != run_pb2.RUN_STATE_SUCCEEDED
