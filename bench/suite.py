"""The figures of Hardpoint, taken from a real deployment next to a bare gRPC echo in the same run."""

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Collection, Mapping
from functools import partial

import grpc.aio
import httpx
import uvloop
from rich.console import Console

from bench.capabilities import CALLS, DOUBLES
from bench.cpu import cpu_of_calls
from bench.deployment import HOST, Measured, measured
from bench.hostile import TENANTS, hostile_tenants, neighbours
from bench.jails import jails
from bench.loops import loops
from bench.measure import Patient, Probe, Times, at_once, one_by_one
from bench.memory import memory_of, waiting_jails
from bench.recovery import recovery
from bench.report import Report
from bench.rest import rest
from bench.servers import ECHO, Servers, servers
from bench.soak import soak
from bench.steps import steps
from bench.takeover import takeover
from bench.through import asks, calls_and_executions
from bench.waiting import waiting
from bench.webhook import webhook
from hardpoint.registry.v1 import registry_pb2
from hardpoint_kit.errors import HardpointError

GOAL = 4.0
"""CallAction of an http action: at most so many echoes, plus the upstream itself."""
SLOT_GOAL = 3.0
RATE_GOALS = {"python": 350, "quickjs": 300}
"""Calls a second, of a processor with two cores that the callers share."""
WARM_UP_CALLS = 50
REST_SECONDS = 0.06
"""Before each call of a machine at rest: long enough for processors and caches to have turned to other things."""
REFILL_SECONDS = 0.08
"""Between calls of code at idle rate: longer than a jail takes to start."""
CROWD = 64
PEAKS = 9
CANCELLED = 50
CANCEL_GOAL = 50.0
"""Milliseconds from CancelExecution to the end of the stream, at the median."""
IDLE_SECONDS = 10.0
HOSTILE_SECONDS = 60.0
PUBLISHED = 10
ECHOED = b"x" * 150
"""About as long as a CallAction request."""

console = Console(highlight=False, soft_wrap=True)


class Suite:
    """One run against one deployment; every method takes one part of the figures."""

    def __init__(self, run: Measured, at: Servers, echo: grpc.aio.Channel, upstream: httpx.AsyncClient) -> None:
        self.report = Report()
        self._run = run
        self._at = at
        call_echo: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = echo.unary_unary(ECHO)
        self._echo: Probe = partial(call_echo, ECHOED)
        self._upstream: Probe = partial(
            upstream.get, "/v1/current", params={"location": "New York"}, headers={"Authorization": "Bearer x"}
        )
        self._call: Probe = partial(run.call, *CALLS["http"])
        self._of_a_call = {"echo": self._echo, "upstream": self._upstream, "call_http": self._call}

    async def take(self, wanted: Collection[str] = ()) -> None:
        """Take every figure, or those of the parts that are wanted; raises RuntimeError for a part there is not."""
        for probe in self._of_a_call.values():
            for _ in range(WARM_UP_CALLS):
                await probe()
        parts = (
            self.memory,
            self.calls,
            self.rates,
            self.through,
            self.code,
            self.flows,
            self.steps,
            self.webhook,
            self.asks,
            self.cpu,
            self.jails,
            self.loops,
            self.cancelling,
            self.registry,
            self.publishing,
            self.soak,
            self.recovery,
            self.rest,
            self.takeover,
            self.hostile,
            self.waiting,
        )
        if unknown := set(wanted) - {part.__name__ for part in parts}:
            raise RuntimeError(f"no part {', '.join(sorted(unknown))}: {', '.join(part.__name__ for part in parts)}")
        for part in parts:
            if wanted and part.__name__ not in wanted:
                continue
            began = time.perf_counter()
            console.print(f"[dim]{part.__name__} ...[/]", end="")
            await self._run.renew()
            await part()
            console.print(f"[dim] {time.perf_counter() - began:.0f} s[/]")

    async def memory(self) -> None:
        """The daemon and its waiting jails before there is load."""
        await asyncio.sleep(2 * REFILL_SECONDS)
        held = {"daemon": memory_of(self._run.daemon)}
        held |= {f"jail_{language}": jail for language, jail in waiting_jails(self._run.daemon).items()}
        self.report.heading("memory when idle")
        for name, memory in held.items():
            self.report.add(f"memory.{name}.pss", memory.pss, "MiB")
            self.report.add(f"memory.{name}.rss", memory.rss, "MiB")

    async def calls(self) -> None:
        """An http action and what it is made of: one call after the other, and each on a machine at rest."""
        for when, turns, pause in (("", 400, 0.0), ("_at_rest", 200, REST_SECONDS)):
            probes = {f"{name}{when}": probe for name, probe in self._of_a_call.items()}
            times = await one_by_one(probes, turns, pause)
            echo, upstream, call = times
            self.report.heading(f"one call at a time{', at rest' if pause else ''}")
            for name, taken in times.items():
                beside = None if name == echo else echo
                self.report.add(f"{name}.p50", taken.p50, "ms", beside and f"{echo}.p50")
                self.report.add(f"{name}.p99", taken.p99, "ms", beside and f"{echo}.p99")
            beyond = f"{call}.beyond_upstream"
            self.report.add(beyond, times[call].p50 - times[upstream].p50, "ms", f"{echo}.p50")
            ratio = self.report.figures[beyond].ratio or 0.0
            self.report.goal(f"{beyond} is at most {GOAL:g} echoes, and was {ratio:g}", ratio <= GOAL)

    async def rates(self) -> None:
        """Many callers at once."""
        callers = (1, 8, 32)
        kinds = {"echo": self._echo, "call_http": self._call}
        rates = await at_once(
            {f"{kind}.rate_{number}": (probe, number) for number in callers for kind, probe in kinds.items()},
            turns=3,
            seconds=1.5,
        )
        self.report.heading("callers at once")
        for number in callers:
            self.report.add(f"echo.rate_{number}", rates[f"echo.rate_{number}"], "calls/s")
            self.report.add(
                f"call_http.rate_{number}", rates[f"call_http.rate_{number}"], "calls/s", f"echo.rate_{number}"
            )

    async def through(self) -> None:
        """Calls next to their executions."""
        await calls_and_executions(self._run, self.report)

    async def code(self) -> None:
        """Code as the runtime has it executed, in every engine and tier; at rest and at once."""
        runs: dict[str, Probe] = {f"execute_{name}": partial(self._run.execute_to_end, name) for name in DOUBLES}
        single = {name: Patient(runs[name]) for name in ("execute_single_python", "execute_node")}
        await self._jailed("code, executed", runs | single)
        for name, probe in single.items():
            self.report.add(f"{name}.refused", probe.refused, "calls")
        ratio = self.report.figures["execute_python.p50"].ratio or 0.0
        self.report.goal(
            f"Execute of Python takes at most {SLOT_GOAL:g} echoes at rest, and took {ratio:g}", ratio <= SLOT_GOAL
        )
        for engine, least in RATE_GOALS.items():
            rate = self.report.figures[f"execute_{engine}.rate_8"].value
            self.report.goal(
                f"Execute of {engine} runs at least {least} times a second, and ran {rate:.0f}", rate >= least
            )

    async def flows(self) -> None:
        """A flow of five nodes, each a call of code, next to the five calls made one after the other."""
        one = partial(self._run.call, *CALLS["python"])

        async def five() -> None:
            for _ in range(5):
                await one()

        probes: dict[str, Probe] = {"five_calls": five, "flow_of_five": partial(self._run.call, *CALLS["flow"])}
        times = await one_by_one(probes, turns=100)
        self.report.heading("a flow of five nodes next to its five calls")
        for name, taken in times.items():
            self.report.add(f"{name}.p50", taken.p50, "ms", None if name == "five_calls" else "five_calls.p50")
            self.report.add(f"{name}.p99", taken.p99, "ms", None if name == "five_calls" else "five_calls.p99")

    async def steps(self) -> None:
        """Runs of workflows next to bare DBOS."""
        await steps(self._run, self.report)

    async def webhook(self) -> None:
        """What the door takes."""
        await webhook(self._run, self.report, self._echo)

    async def asks(self) -> None:
        """What jailed code asks of the broker."""
        await asks(self._run, self.report, self._echo)

    async def cpu(self) -> None:
        """What calls cost the processor, without the runtime and with it."""
        await cpu_of_calls(self._run, self.report, self._at, self._echo)

    async def jails(self) -> None:
        """The jail alone, in this process: every engine in every tier it has; what a call's process holds at most."""
        async with jails() as probes:
            await self._jailed("jails", probes)
            for name, probe in probes.items():
                peaks = [(await probe()).peak_memory_bytes for _ in range(PEAKS)]
                self.report.add(f"{name}.peak", statistics.median(peaks) / (1 << 20), "MiB")

    async def loops(self) -> None:
        """Calls of one run that share a jail."""
        await loops(self.report)

    async def _jailed(self, heading: str, probes: Mapping[str, Probe]) -> None:
        """At idle rate, with pauses in which jails are started ahead; and from several callers, without."""
        for probe in probes.values():
            await probe()
        echo = f"echo_beside_{heading.partition(',')[0]}"
        times = await one_by_one({echo: self._echo, **probes}, turns=60, pause=REFILL_SECONDS)
        self.report.heading(heading)
        for name, taken in times.items():
            beside = None if name == echo else echo
            self.report.add(f"{name}.p50", taken.p50, "ms", beside and f"{echo}.p50")
            self.report.add(f"{name}.p99", taken.p99, "ms", beside and f"{echo}.p99")
        for callers in (1, 8, CROWD):
            called = {echo: self._echo, **probes}
            rates = await at_once({name: (probe, callers) for name, probe in called.items()}, 2, 1.5)
            for name, rate in rates.items():
                beside = None if name == echo else f"{echo}.rate_{callers}"
                self.report.add(f"{name}.rate_{callers}", rate, "calls/s", beside)

    async def cancelling(self) -> None:
        """Code that never ends, until it is cancelled and dead."""
        taken = []
        for _ in range(CANCELLED):
            await asyncio.sleep(REFILL_SECONDS)
            taken.append(await self._run.cancel())
        times = Times(taken)
        self.report.heading("cancelling")
        self.report.add("cancel.p50", times.p50, "ms")
        self.report.add("cancel.p99", times.p99, "ms")
        goal = f"a cancelled execution is dead within {CANCEL_GOAL:g} ms, and took {times.p50:.1f}"
        self.report.goal(goal, times.p50 <= CANCEL_GOAL)

    async def registry(self) -> None:
        """Reads of a release."""
        release = self._run.releases["http"].name
        stub = self._run.client.registry
        constraint = registry_pb2.ResolveReleaseRequest(capability=release.partition("/releases/")[0], constraint="^1")
        probes: dict[str, Probe] = {
            "echo": self._echo,
            "get_release": partial(stub.GetRelease, registry_pb2.GetReleaseRequest(name=release)),
            "resolve_release": partial(stub.ResolveRelease, constraint),
        }
        await one_by_one(probes, turns=20)
        times = await one_by_one(probes, turns=200)
        self.report.heading("registry")
        self.report.add("echo_beside.p50", times["echo"].p50, "ms")
        for name in ("get_release", "resolve_release"):
            self.report.add(f"{name}.p50", times[name].p50, "ms", "echo_beside.p50")

    async def publishing(self) -> None:
        """From a file to the first answer of its action, with a new capability each time."""
        taken = []
        for number in range(PUBLISHED):
            started = time.perf_counter()
            await self._run.add(f"fresh-{number}", _fresh(number), "capability.json")
            await self._run.call(f"fresh-{number}.get", {})
            taken.append((time.perf_counter() - started) * 1000)
        self.report.heading("publishing")
        self.report.add("publish_to_callable.p50", statistics.median(taken), "ms")

    async def soak(self) -> None:
        """What grows with calls."""
        await soak(self._run, self.report)

    async def recovery(self) -> None:
        """After what got jails killed."""
        await recovery(self._run, self.report)

    async def takeover(self) -> None:
        """Runs whose process is killed."""
        await takeover(self._run, self.report)

    async def rest(self) -> None:
        """What the daemon does while nobody asks anything of it."""
        await rest(self._run, self.report)

    async def waiting(self) -> None:
        """Runs that wait; they are there until the end."""
        await waiting(self._run, self.report)

    async def hostile(self) -> None:
        """Calls of one organisation alone, and while ten others do their worst."""
        code = partial(self._run.call, *CALLS["python"])
        probes: dict[str, Probe] = {"neighbour_http": self._call, "neighbour_code": code}
        idle, _ = await neighbours(probes, IDLE_SECONDS)
        async with hostile_tenants(self._run.client_of) as attacks:
            besieged, refused = await neighbours(probes, HOSTILE_SECONDS)
            self.report.heading(f"beside {TENANTS} hostile organisations")
            self.report.add("hostile.attacks", attacks(), "attacks ended")
        self.report.add("neighbour.refused", refused, "calls")
        for name, times in besieged.items():
            self.report.add(f"{name}.idle.p95", idle[name].p95, "ms")
            self.report.add(f"{name}.besieged.p95", times.p95, "ms", f"{name}.idle.p95")
            ratio = self.report.figures[f"{name}.besieged.p95"].ratio or 0.0
            self.report.goal(
                f"{name}: p95 under twice that of an idle machine, and it was {ratio:g} times it", ratio < 2
            )


def _fresh(number: int) -> bytes:
    capability = {
        "id": f"fresh-{number}",
        "name": "Fresh",
        "version": "1.0.0",
        "description": "Published by the bench",
        "actions": [{"id": "get", "name": "Get"}],
        "integration": {"type": "api", "endpoint": f"https://{HOST}/v1/current", "method": "GET"},
        "permissions": ["network.http.get"],
    }
    return json.dumps({"capability": capability}).encode()


async def _take(at: Servers, wanted: Collection[str]) -> Report:
    async with (
        measured(at) as run,
        grpc.aio.insecure_channel(at.echo) as echo,
        httpx.AsyncClient(base_url=f"http://{at.upstream}", trust_env=False) as upstream,
    ):
        suite = Suite(run, at, echo, upstream)
        await suite.take(wanted)
        return suite.report


async def _main(wanted: Collection[str]) -> None:
    began = time.perf_counter()
    console.print("[dim]starting all units in one process, with an embedded PostgreSQL ...[/]")
    async with servers() as at:
        report = await _take(at, wanted)
    if not wanted:
        report.save()
    report.show(console, time.perf_counter() - began, kept=not wanted)


def main() -> None:
    """Run the suite, or the parts that are named, and report; only a whole run is kept.

    A failure has a word and an exit status.
    """
    try:
        uvloop.run(_main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
    except (HardpointError, RuntimeError) as error:
        console.print(f"[red]error[/]: {error}")
        sys.exit(1)
