"""A runtime that walks workflows, as a process that tests kill: it walks what is queued in a database.

Every action of its executor asks a port of 127.0.0.1.
"""

import asyncio
import os
import signal
from multiprocessing.connection import Connection

import httpx

from hardpoint_kit.clock import SystemClock
from hardpoint_kit.documents import to_value
from hardpoint_kit.errors import Unavailable
from hardpoint_kit.options import Options as KitOptions
from hardpoint_kit.telemetry import setup
from hardpoint_runtime.domain.executions import Ended, Execution
from hardpoint_runtime.domain.runs import RunState, Usage
from hardpoint_runtime.peers import Peers
from hardpoint_runtime.server import Options, assemble
from runtime.fakes import FakeConfig, FakeFiles, FakeMarketplace, FakeRegistry


class Asking:
    """An executor whose every action is one request that says its name and its key."""

    def __init__(self, port: int) -> None:
        self._client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60)

    async def execute(self, execution: Execution) -> Ended:
        try:
            answer = await self._client.post(
                f"/{execution.action.id}", json=dict(execution.input), headers={"key": execution.idempotency_key}
            )
        except httpx.HTTPError as error:
            return Ended(RunState.FAILED, None, Unavailable(f"lost: {error}"), Usage())
        return Ended(RunState.SUCCEEDED, to_value(answer.json()), None, Usage())


def walk(url: str, port: int, told: Connection) -> None:
    """Walk until SIGTERM, and tell line by line what is to be known of it."""
    for printed in (1, 2):
        os.dup2(told.fileno(), printed)
    asyncio.run(_walk(url, port))


async def _walk(url: str, port: int) -> None:
    setup("walker", KitOptions())
    peers = Peers(FakeRegistry(), FakeConfig(), FakeMarketplace(), FakeFiles(), Asking(port))
    unit = assemble(Options(runtime_database_url=url), SystemClock(), peers, tuple)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await unit.start()
    print("walking", flush=True)
    said: list[str] = []
    while not ended.is_set():
        reasons = await unit.ready()
        if reasons != said:
            said = reasons
            print("reasons", *said, flush=True)
        await asyncio.wait({asyncio.ensure_future(ended.wait())}, timeout=0.1)
    await unit.drain()
    await unit.stop()
    print("stopped", flush=True)
