"""Processor time of a call, by the part of Hardpoint that spends it, as the kernel counts it.

Clocks of processes count nanoseconds, of threads that have ended too. A child has ended when its call is answered: what
it used is then in what its zygote has waited for. The kernel sums that up as exactly and shows it in hundredths of a
second, once for a zygote and not for each child, so it is off by two hundredths over all calls of a slot at most. The
groups of jails could not say it: each holds a zygote with its children, and in version 1 nothing counts processor time
in them. `jails` is the nsjails that serve a single call each, from their start to their end.

What the kernel does on its own account, mostly to take namespaces, groups and memory down after a process, is `kernel`:
the time of its own threads beyond that of an idle machine, where they can be seen. Whoever else is at work adds to it,
so it is in none of the sums (`all`), and means something on a quiet machine alone.
"""

import asyncio
import os
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from demo.otlp import Receiver

from bench.capabilities import N, python
from bench.deployment import Measured, measured
from bench.measure import Probe
from bench.processes import ZYGOTE, descendants, interpreters, kernel_threads, parents
from bench.report import Report
from bench.servers import Servers
from hardpoint_executor.jail.processes import cpu_ms

CALLS = 120
CALLS_AT_ONCE = 480
"""A slot serves 500 calls of its capability before another takes its place: in all this, none should."""
WARM_UP_CALLS = 40
CALLERS = 8
PAUSE_SECONDS = 0.02
"""Between calls at rest: longer than a slot takes to have another child."""
SETTLE_SECONDS = 0.3
IDLE_SECONDS = 3.0
TURNS = 3
ATTEMPTS = 10
KERNEL = "kernel"
_TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class _Reading:
    """Milliseconds spent so far, by part, and the zygotes that are there."""

    spent: dict[str, float]
    zygotes: frozenset[int]
    at: float = field(default_factory=time.monotonic)

    def since(self, before: "_Reading", idle: dict[str, float]) -> dict[str, float]:
        """Milliseconds between two readings beyond what an idle daemon spends, which is said per second."""
        seconds = self.at - before.at
        return {part: spent - before.spent[part] - idle.get(part, 0) * seconds for part, spent in self.spent.items()}


async def cpu_of_calls(run: Measured, report: Report, at: Servers, echo: Probe) -> None:
    """What an execution, and a whole call, cost each part: from one caller that pauses, and from several at once.

    Beside them what a bare hop of gRPC costs its two ends, and what spans and metrics cost the daemon that sends them.
    """
    report.heading("processor time of a call, by part")
    await _hop(report, at, echo)
    await _parts(run, report, await _probes(run))
    report.add("cpu.telemetry", await _telemetry(run, at), "ms")


async def _telemetry(run: Measured, at: Servers) -> float:
    """Milliseconds of an execution that a daemon spends more when it sends spans and metrics; turn by turn."""
    receiver = Receiver()
    await receiver.start()
    try:
        async with measured(at, "bench-traced", receiver.endpoint) as traced:
            dearer = []
            for _ in range(TURNS):
                silent, sending = await _daemon_ms(run), await _daemon_ms(traced)
                dearer.append(sending - silent)
            return statistics.median(dearer)
    finally:
        await receiver.stop()


async def _daemon_ms(run: Measured) -> float:
    execute = partial(run.execute_to_end, "python")
    await _calls(execute, WARM_UP_CALLS, CALLERS, 0.0)
    spent = await _spent(run, partial(_calls, execute, CALLS_AT_ONCE, CALLERS, 0.0), {})
    return (spent["daemon_main"] + spent["daemon_threads"]) / CALLS_AT_ONCE


async def _hop(report: Report, at: Servers, echo: Probe) -> None:
    for figure, calls, callers, pause in _ways("echo"):
        await _calls(echo, WARM_UP_CALLS, callers, 0.0)
        server, client = cpu_ms(at.process), time.process_time()
        await _calls(echo, calls, callers, pause)
        report.add(f"cpu.{figure}.server", (cpu_ms(at.process) - server) / calls, "ms")
        report.add(f"cpu.{figure}.client", (time.process_time() - client) * 1000 / calls, "ms")


async def _parts(run: Measured, report: Report, probes: Mapping[str, Probe]) -> None:
    before = await _read(run)
    await asyncio.sleep(IDLE_SECONDS)
    after = await _read(run)
    idle = {part: spent / (after.at - before.at) for part, spent in after.since(before, {}).items()}
    for name, probe in probes.items():
        for figure, calls, callers, pause in _ways(name):
            await _calls(probe, WARM_UP_CALLS, callers, 0.0)
            spent = await _spent(run, partial(_calls, probe, calls, callers, pause), idle)
            for part, milliseconds in spent.items():
                report.add(f"cpu.{figure}.{part}", milliseconds / calls, "ms")
            report.add(f"cpu.{figure}.all", sum(ms for part, ms in spent.items() if part != KERNEL) / calls, "ms")


def _ways(name: str) -> tuple[tuple[str, int, int, float], ...]:
    """The figure's name, how many calls, from how many callers, with which pause in between."""
    return (name, CALLS, 1, PAUSE_SECONDS), (f"{name}_{CALLERS}", CALLS_AT_ONCE, CALLERS, 0.0)


async def _probes(run: Measured) -> dict[str, Probe]:
    """Of a capability of their own, which has used up no slot yet; last the one that needs none."""
    await run.add("fresh", python("fresh"), "double.py")
    await run.renew()
    return {
        "execute_python": partial(run.execute_to_end, "fresh", **N),
        "call_python": partial(run.call, "fresh.double", N),
        "execute_single_python": partial(run.execute_to_end, "single_python"),
    }


async def _spent(run: Measured, calls: Probe, idle: dict[str, float]) -> dict[str, float]:
    """Milliseconds by part; again when a slot ended, which takes with it what it waited for, or one was started."""
    for _ in range(ATTEMPTS):
        before = await _read(run)
        client = time.process_time()
        await calls()
        client = time.process_time() - client
        after = await _read(run)
        if before.zygotes == after.zygotes:
            return after.since(before, idle) | {"client": client * 1000}
    raise RuntimeError(f"in each of {ATTEMPTS} attempts to take processor times slots came or went")


async def _calls(probe: Probe, calls: int, callers: int, pause: float) -> None:
    async def call_on() -> None:
        for _ in range(calls // callers):
            await asyncio.sleep(pause)
            await probe()

    await asyncio.gather(*(call_on() for _ in range(callers)))


async def _read(run: Measured) -> _Reading:
    """Read when what comes after calls is done: every slot has its next child, which both readings count."""
    await asyncio.sleep(SETTLE_SECONDS)
    jailed = list(interpreters(run.daemon))
    zygotes = frozenset(pid for _, pid, command in jailed if ZYGOTE in command)
    single = [pid for supervisor, jail, _ in jailed if jail not in zygotes for pid in (supervisor, jail)]
    children = [pid for pid, parent in parents().items() if parent in zygotes]
    postmaster = int((run.state / "postgres" / "data" / "postmaster.pid").read_text().split()[0])
    main = _main_thread_ms(run.daemon)
    spent = {
        "daemon_main": main,
        "daemon_threads": cpu_ms(run.daemon) - main,
        "zygotes": sum(map(cpu_ms, zygotes)),
        "children": sum(map(cpu_ms, children)) + sum(map(_waited_ms, zygotes)),
        "jails": sum(map(cpu_ms, single)) + _waited_ms(run.daemon),
        "postgres": sum(map(cpu_ms, [postmaster, *descendants(postmaster)])) + _waited_ms(postmaster),
    }
    if kernel := kernel_threads():
        spent[KERNEL] = sum(map(_main_thread_ms, kernel))
    return _Reading(spent, zygotes)


def _main_thread_ms(pid: int) -> float:
    """From a file: the clock of another process's thread cannot be read as that of a process can; 0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) / 1e6
    except OSError:
        return 0.0


def _waited_ms(pid: int) -> float:
    """Of the children that a process has waited for, and of those that they waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) * _TICK_MS
