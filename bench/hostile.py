"""Ten hostile organisations at once, and how long a call takes one that behaves."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from bench.measure import Probe, Times
from hardpoint_client import Agent, Hardpoint
from hardpoint_kit.errors import HardpointError

TENANTS = 10
CALLERS = 2
"""Of each hostile organisation."""

_SOURCE = b"""
import os
from hardpoint_sdk import action, capability
capability(id="hostile", name="Hostile", version="1.0.0", description="Takes what it can")
NEST = b",".join([b"[" * 60 + b"]" * 60] * 8000)
def action_of(run):
    return action(effect="read")(run)
@action_of
async def spin(self, input):
    while True:
        pass
@action_of
async def memory(self, input):
    kept = []
    while True:
        kept.append(bytearray(1 << 20))
@action_of
async def processes(self, input):
    while True:
        try:
            os.fork()
        except OSError:
            pass
@action_of
async def output(self, input):
    while True:
        os.write(1, b"\\n" * 65536)
@action_of
async def frames(self, input):
    body = b'{"ask":{"id":1,"service":"fetch","method":"GET","arguments":{"body":[' + NEST + b"]}}}"
    while True:
        os.write(3, len(body).to_bytes(4, "big") + body)
@action_of
async def disk(self, input):
    while True:
        with open("/tmp/large", "wb") as file:
            file.write(bytes(15 << 20))
@action_of
async def logs(self, input):
    while True:
        self.log("x")
@action_of
async def crash(self, input):
    import ctypes
    ctypes.string_at(8, 1)
"""
_ATTACKS = ("spin", "memory", "processes", "output", "frames", "disk", "logs", "crash")


@asynccontextmanager
async def hostile_tenants(client_of: Callable[[str], Hardpoint]) -> AsyncIterator[Callable[[], int]]:
    """Let them attack while the block runs; yields how many attacks have ended so far."""
    ended = itertools.count()
    done = [0]

    async def attack(client: Hardpoint, agent: str, first: int) -> None:
        for name in itertools.islice(itertools.cycle(_ATTACKS), first, None):
            with contextlib.suppress(HardpointError):
                await client.call(agent, f"hostile.{name}", {})
            done[0] = next(ended) + 1

    async with contextlib.AsyncExitStack() as stack:
        callers = []
        for number in range(TENANTS):
            client = await stack.enter_async_context(client_of(f"hostile-{number}"))
            agent = Agent(client, "attacker")
            await agent.create()
            release = await client.publish((await client.push(_SOURCE, "hostile.py")).release.name)
            installed = await client.install(release.name.partition("/releases/")[0], grants=release.manifest.authority)
            await client.attach(agent.id, installed.name)
            callers += [(client, agent.id, number + caller) for caller in range(CALLERS)]
        attacks = [asyncio.create_task(attack(*caller)) for caller in callers]
        try:
            yield lambda: done[0]
        finally:
            for task in attacks:
                task.cancel()
            await asyncio.gather(*attacks, return_exceptions=True)


async def neighbours(probes: Mapping[str, Probe], seconds: float) -> tuple[dict[str, Times], int]:
    """Call each probe in turn for so long; how long the calls took that were answered, and how many were refused."""
    taken: dict[str, list[float]] = {name: [] for name in probes}
    refused = 0
    ends = time.perf_counter() + seconds
    while time.perf_counter() < ends:
        for name, probe in probes.items():
            started = time.perf_counter()
            try:
                await probe()
            except HardpointError:
                refused += 1
            else:
                taken[name].append((time.perf_counter() - started) * 1000)
    return {name: Times(milliseconds) for name, milliseconds in taken.items() if milliseconds}, refused
