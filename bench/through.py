"""A warm call through runtime and executor next to what the runtime asks of the executor for it, and one ask."""

from functools import partial

from bench.capabilities import CALLS
from bench.deployment import Measured
from bench.measure import Probe, Times, one_by_one
from bench.report import Report

GOAL = 1.6
"""CallAction takes at most so many times what its execution takes alone."""
TURNS = 120
ASK_TURNS = 40
ASKS = 100
PAUSE_SECONDS = 0.03
"""Before each call: longer than a slot takes to have another child."""
ASKER = b"""
from hardpoint_sdk import action, capability
capability(id="asker", name="Asker", version="1.0.0", description="Asks what is known of its call")
@action(id="ask", inputs=[{"name": "times", "type": "integer", "required": True}], effect="read")
async def ask(self, input):
    for _ in range(input["times"]):
        await self.context.get()
"""


async def calls_and_executions(run: Measured, report: Report) -> None:
    """What the runtime adds to an execution, of Python and of an http action: turn by turn, each at rest."""
    pairs = {
        ("call_python", "execute_to_end_python"): "python",
        ("call_http_beside", "execute_to_end_http"): "http",
    }
    probes: dict[str, Probe] = {}
    for (call, execution), name in pairs.items():
        probes[execution] = partial(run.execute_to_end, name)
        probes[call] = partial(run.call, *CALLS[name])
    await one_by_one(probes, turns=3)
    times = await one_by_one(probes, TURNS, PAUSE_SECONDS)
    report.heading("a call and its execution alone")
    for name, taken in times.items():
        alone = next((execution for call, execution in pairs if call == name), None)
        report.add(f"{name}.p50", taken.p50, "ms", alone and f"{alone}.p50")
    for (call, _), name in pairs.items():
        ratio = report.figures[f"{call}.p50"].ratio or 0.0
        report.goal(
            f"CallAction of {name} takes at most {GOAL:g} times its execution alone, and took {ratio:g} times it",
            ratio <= GOAL,
        )


async def asks(run: Measured, report: Report, echo: Probe) -> None:
    """One ask of jailed Python and its answer: what a call with many takes longer than one with none, shared out."""
    await run.add("asker", ASKER, "asker.py")
    await run.renew()
    probes: dict[str, Probe] = {
        "echo": echo,
        "without": partial(run.execute_to_end, "asker", times=0),
        "with": partial(run.execute_to_end, "asker", times=ASKS),
    }
    await one_by_one(probes, turns=3)
    times = await one_by_one(probes, ASK_TURNS, PAUSE_SECONDS)
    pairs = zip(times["with"].milliseconds, times["without"].milliseconds, strict=True)
    ask = Times([(asked - none) / ASKS for asked, none in pairs])
    report.heading("what jailed code asks")
    report.add("echo_beside_asks.p50", times["echo"].p50, "ms")
    report.add("broker_ask.p50", ask.p50, "ms", "echo_beside_asks.p50")
