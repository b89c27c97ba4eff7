"""How soon an organisation is served as before, once another one has had its jails killed a thousand times."""

import asyncio
import time
from functools import partial

from bench.capabilities import CALLS
from bench.deployment import Measured
from bench.measure import Probe, Times
from bench.report import Report
from hardpoint_client import Agent, Hardpoint
from hardpoint_kit.errors import ActionFailed, HardpointError, ResourceExhausted, Unavailable

VIOLATIONS = 1_000
CALLERS = 8
SECONDS = 120.0
"""For the violations; what did not fit is missing in `recovery.violations`."""
FIRST_SECONDS = 30.0
AFTERWARDS = 100
"""Calls of the other organisation."""
WARM_UP_CALLS = 20
_OFFENDER = b"""
from hardpoint_sdk import action, capability
capability(id="offender", name="Offender", version="1.0.0", description="Makes a forbidden system call")
@action(effect="read")
async def offend(self, input):
    import os
    os.setuid(0)
"""


async def recovery(run: Measured, report: Report) -> None:
    """Violations of one organisation, then the calls of another that has waited meanwhile."""
    probe = partial(run.call, *CALLS["python"])
    for _ in range(WARM_UP_CALLS):
        await probe()
    before = await _times(probe)
    async with run.client_of("offender") as client:
        agent = await _offender(client)
        ended = await _violations(client, agent)
    first = await _first(probe)
    after = await _times(probe)
    report.heading("after violations of another organisation")
    report.add("recovery.violations", ended, "calls")
    report.add("recovery.first", first, "ms")
    report.add("recovery.before.p50", before.p50, "ms")
    report.add("recovery.p50", after.p50, "ms", "recovery.before.p50")


async def _offender(client: Hardpoint) -> str:
    agent = Agent(client, "offender")
    await agent.create()
    release = await client.publish((await client.push(_OFFENDER, "offender.py")).release.name)
    installed = await client.install(release.name.partition("/releases/")[0], grants=release.manifest.authority)
    await client.attach(agent.id, installed.name)
    return agent.id


async def _violations(client: Hardpoint, agent: str) -> int:
    """Call until so many ended as violations or the time is up; those that were refused a jail do not count."""
    ended, ends = 0, time.perf_counter() + SECONDS

    async def offend() -> None:
        nonlocal ended
        while ended < VIOLATIONS and time.perf_counter() < ends:
            try:
                await client.call(agent, "offender.offend", {})
            except ActionFailed as error:
                if error.reason != "VIOLATION":
                    raise
                ended += 1
            except (ResourceExhausted, Unavailable):
                pass  # no jail was to be had

    await asyncio.gather(*(offend() for _ in range(CALLERS)))
    return ended


async def _first(probe: Probe) -> float:
    """Milliseconds until a call is answered well; raises what refuses it for too long."""
    began = time.perf_counter()
    while True:
        try:
            await probe()
        except HardpointError:
            if time.perf_counter() - began > FIRST_SECONDS:
                raise
        else:
            return (time.perf_counter() - began) * 1000


async def _times(probe: Probe) -> Times:
    taken = []
    for _ in range(AFTERWARDS):
        began = time.perf_counter()
        await probe()
        taken.append((time.perf_counter() - began) * 1000)
    return Times(taken)
