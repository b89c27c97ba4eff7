"""The jail's own figures: every engine in every tier it has, called without anything of Hardpoint around it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

from hardpoint_executor.jail import ClosedDoor, JailCall, JailOptions, Jails, Outcome, PoolOptions, SlotOptions

_PYTHON = """
from hardpoint_sdk import action, capability
capability(id="bench")
@action
async def double(self, input):
    return {"twice": input["n"] * 2}
"""
_JAVASCRIPT = "export default { id: 'bench', actions: { async double(input) { return { twice: input.n * 2 }; } } };"
_QUEUE = 256


@asynccontextmanager
async def jails() -> AsyncIterator[dict[str, Callable[[], Awaitable[Outcome]]]]:
    """Jails of this process, with a probe for each engine and tier; raises RuntimeError when they cannot be used."""
    pool = PoolOptions(queue=_QUEUE, queue_seconds=60)
    started = Jails(JailOptions(pool=pool, slots=SlotOptions(queue=_QUEUE, queue_seconds=60)))
    await started.start()
    try:
        if reasons := started.reasons_not_ready():
            raise RuntimeError("; ".join(reasons))
        python, javascript = ("python", _PYTHON, "bench.py"), ("javascript", _JAVASCRIPT, "bench.js")
        calls = {
            "slot_python": JailCall(*python, "double", {"n": 21}, org="bench", capability="python"),
            "slot_quickjs": JailCall(
                *javascript, "double", {"n": 21}, org="bench", capability="javascript", engine="quickjs"
            ),
            "single_python": JailCall(*python, "double", {"n": 21}, org="bench", capability="python", strict=True),
            "single_node": JailCall(*javascript, "double", {"n": 21}, org="bench", capability="javascript"),
        }
        yield {name: partial(_run, started, call) for name, call in calls.items()}
    finally:
        await started.stop()


async def _run(jails: Jails, call: JailCall) -> Outcome:
    outcome = await jails.run(call, ClosedDoor())
    if not outcome.ok:
        raise RuntimeError(f"{call.filename} did not run well: {outcome}")
    return outcome
