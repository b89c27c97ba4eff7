"""What a loop gains whose calls share a jail (`isolation: run`), next to one whose calls have a fresh one each."""

import statistics
import time
from dataclasses import replace
from itertools import count

from bench.report import Report
from hardpoint_executor.jail import ClosedDoor, JailCall, JailOptions, Jails, Together

CALLS = 100
TURNS = 3
_PYTHON = """{imports}
from hardpoint_sdk import action, capability
capability(id="bench")
@action
async def double(self, input):
    return {{"twice": input["n"] * 2}}
"""
_JAVASCRIPT = "export default { id: 'bench', actions: { async double(input) { return { twice: input.n * 2 }; } } };"
_LOOPS = {
    "python": JailCall("python", _PYTHON.format(imports=""), "bench.py", "double", {"n": 21}),
    "python_importing": JailCall("python", _PYTHON.format(imports="import asyncio"), "bench.py", "double", {"n": 21}),
    "quickjs": JailCall("javascript", _JAVASCRIPT, "bench.js", "double", {"n": 21}, engine="quickjs"),
}
"""One of them imports a module of the standard library that takes some ten milliseconds."""


async def loops(report: Report) -> None:
    """A hundred calls one after the other, in each way by turns; raises RuntimeError where jails cannot be used."""
    jails = Jails(JailOptions())
    await jails.start()
    try:
        if reasons := jails.reasons_not_ready():
            raise RuntimeError("; ".join(reasons))
        report.heading(f"a loop of {CALLS} calls, jails alone")
        runs = map(str, count())
        for name, call in _LOOPS.items():
            call = replace(call, org="bench", capability=name)
            taken: dict[str, list[float]] = {"fresh": [], "shared": []}
            for _ in range(TURNS):
                taken["fresh"].append(await _loop(jails, call))
                run = next(runs)
                together = Together("bench", run, "", f"{name}@1.0.0", "")
                taken["shared"].append(await _loop(jails, replace(call, together=together)))
                jails.end_run("bench", run)
            for way, seconds in taken.items():
                beside = f"loop.{name}.fresh" if way == "shared" else None
                report.add(f"loop.{name}.{way}", statistics.median(seconds) * 1000, "ms", beside)
    finally:
        await jails.stop()


async def _loop(jails: Jails, call: JailCall) -> float:
    began = time.perf_counter()
    for _ in range(CALLS):
        outcome = await jails.run(call, ClosedDoor())
        if not outcome.ok:
            raise RuntimeError(f"{call.filename} did not run well: {outcome}")
    return time.perf_counter() - began
