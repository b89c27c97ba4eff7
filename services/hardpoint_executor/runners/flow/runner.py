"""Walks one flow: steps that are due run side by side, each as an execution of its own, until all have ended.

What only computes is walked on a thread that all flows share, so that a large one keeps nobody else from being served.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Protocol, TypeVar

from hardpoint_executor.broker.denial import BrokerDenied
from hardpoint_executor.domain import Execution, Outcome, outcome_of
from hardpoint_executor.inside import Inside
from hardpoint_executor.runners.denied import failure
from hardpoint_executor.runners.flow.plan import ERROR, FlowPlan
from hardpoint_kit.errors import ActionFailed, HardpointError
from hardpoint_manifest.expression import Budget, ExpressionError
from hardpoint_manifest.inputs import output_violations
from hardpoint_manifest.plan import Does
from hardpoint_manifest.walk import Compiled, Due, Program, Settled, Walk

SIDE_BY_SIDE: Final = 4
"""Steps, and items of loops, of one flow at a time."""
MOST_ITEMS: Final = 10_000
"""Of all the loops of one flow together."""
MOST_BYTES: Final = 32 * 1024 * 1024
"""Of all that its steps give: it is kept until the flow has ended."""

T = TypeVar("T")
_NEVER_AGAIN = frozenset({"INPUT_INVALID", "SETTINGS_MISSING", "MANIFEST_INVALID", "EXPRESSION_FAILED"})
_walking = ThreadPoolExecutor(1, thread_name_prefix="flow")

Keys = list[str] | ExpressionError


class Do(Protocol):
    """Does an inner action of the release; raises HardpointError."""

    async def __call__(self, action: str, path: str, value: Any, key: str, seconds: float, /) -> Any:
        """Its output, as the step of a path; `key` names the effect, `seconds` bound it where they are not 0."""


class FlowRunner:
    """One run of a flow; `do` runs its requests and code."""

    def __init__(self, flow: FlowPlan, execution: Execution, settings: Mapping[str, Any], inside: Inside, do: Do):
        self._flow = flow
        self._execution = execution
        self._inside = inside
        self._do = do
        self._given = {"input": execution.input, "trigger": execution.input, "settings": dict(settings)}
        self._room = asyncio.Semaphore(SIDE_BY_SIDE)
        self._levels: defaultdict[int, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(SIDE_BY_SIDE))
        self._budget = Budget()
        self._items = 0
        self._bytes = 0

    async def run(self) -> Any:
        """The flow's output; raises ActionFailed with the path of the step that failed, or of what does not fit."""
        walk = Walk(self._flow.program, self._given, budget=self._budget)
        try:
            return await self._declared(await self._walked(walk, ""))
        except ActionFailed as error:
            if self._flow.on_error is not None:
                await self._tell(self._flow.on_error, walk, error)
            raise

    async def _declared(self, output: Any) -> Any:
        """The output, which is what the action declares unless it stands on what is only planned."""
        if self._execution.writes.dry_run:
            return output
        wrong = await _aside(lambda: output_violations(self._execution.output_schema, output))
        for place, problem in wrong.items():
            raise ActionFailed(
                f"the output is not what the flow declares: {place} {problem}",
                reason="TYPE_MISMATCH",
                place=place,
                fix="give what `outputs` says, or declare what is given",
            )
        return output

    async def only(self, step: str, pinned: Mapping[str, Any]) -> Any:
        """The output of one step alone, when those before it gave what is pinned.

        Raises as `run`, and NotFound STEP_UNKNOWN, Conflict STEP_INSIDE.
        """
        program = self._flow.only(step)
        steps = self._flow.plan.steps
        names = {other.output: pinned[other.id] for other in steps if other.output and other.id in pinned}
        return await self._walked(Walk(program, {**self._given, "steps": dict(pinned), **names}), "")

    async def _walked(self, walk: Walk, path: str) -> Any:
        """Walk to the end, and give its output."""
        running: dict[asyncio.Task[Settled], str] = {}
        try:
            while walk.failure is None:
                for due, keys in await _due(walk, running.values()):
                    running[asyncio.create_task(self._settled(due, keys, path))] = due.step.step.id
                if not running:
                    break
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    walk.settle(running.pop(task), task.result())
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        if walk.failure is not None:
            step, ended = walk.failure
            raise _failed(f"{path}{step}", ended.error)
        try:
            return await _aside(walk.output)
        except ExpressionError as error:
            raise _failed(path or "output", error) from None

    async def _settled(self, due: Due, keys: Keys, path: str) -> Settled:
        """Do a step, for each item where it has them."""
        own = f"{path}{due.step.step.id}"
        try:
            if isinstance(keys, ExpressionError):
                raise keys
            if not due.each:
                return Settled("done", await self._output(due.step, due.inputs[0], own, keys[0]))
            self._count(len(due.inputs), own)
            items = (
                self._output(due.step, value, f"{own}/{index}", keys[index]) for index, value in enumerate(due.inputs)
            )
            return Settled("done", await _together(items))
        except (ExpressionError, HardpointError) as error:
            return Settled("failed", error=error)

    async def _output(self, compiled: Compiled, value: Any, path: str, key: str) -> Any:
        if compiled.steps is not None:
            # A room for each level: who is in one of them never waits for another in the same.
            async with self._levels[path.count("/")]:
                return await self._walked(Walk(compiled.steps, value, budget=self._budget), f"{path}/")
        async with self._room:
            output = await self._tried(compiled, value, path, key)
        size = await _aside(lambda: len(json.dumps(output)))
        self._bytes += size  # not in one line: what others added meanwhile would be lost
        if self._bytes > MOST_BYTES:
            raise ActionFailed(
                f"the steps of the flow give more than {MOST_BYTES} bytes together",
                reason="OUTPUT_LIMIT",
                fix="let steps give less: filter, or map what is needed",
                limit=f"{MOST_BYTES} bytes",
            )
        return output

    async def _tried(self, compiled: Compiled, value: Any, path: str, key: str) -> Any:
        """The output of a step, tried as often as it may be."""
        retry = compiled.step.retry
        key = key or self._inside.key(path)
        once = self._execution.writes.ledger is not None  # a plan has each effect once
        attempts = retry.attempts if self._may_repeat(compiled) and not once else 1
        wait = retry.seconds
        for attempt in range(1, attempts + 1):
            try:
                return await self._once(compiled, value, path if attempt == 1 else f"{path}#{attempt}", key)
            except HardpointError as error:
                if attempt == attempts or error.reason in _NEVER_AGAIN or outcome_of(error) is Outcome.DENIED:
                    raise
            await asyncio.sleep(wait)
            wait *= retry.backoff
        raise AssertionError("the last attempt returns or raises")

    async def _once(self, compiled: Compiled, value: Any, path: str, key: str) -> Any:
        step = compiled.step
        seconds = step.timeout_seconds or 0
        if step.does is not Does.CALL:
            try:
                return await self._do(step.action, path, value, key, seconds)
            except HardpointError as error:
                if step.does is Does.CODE:
                    error.place = self._flow.codes[step.action].authors(error.place)
                raise
        if step.input is None:
            value = {}
        if not isinstance(value, dict):
            raise ActionFailed(
                f"{step.action} takes an object, and is given {type(value).__name__}", reason="INPUT_INVALID"
            )
        try:
            return await self._inside.call_as(path, step.action, value, key, seconds)
        except BrokerDenied as denied:
            failed = failure(denied)
            failed.metadata.pop("step", None)  # one of the callee's own
            raise failed from None

    def _may_repeat(self, compiled: Compiled) -> bool:
        step = compiled.step
        if step.effect == "read":
            return True
        if step.does is not Does.CALL:
            return step.action in self._flow.repeatable
        callee = self._execution.callees.get(step.action)
        return callee is not None and callee.repeatable

    def _count(self, items: int, path: str) -> None:
        self._items += items
        if self._items > MOST_ITEMS:
            raise ActionFailed(
                f"the loops of the flow go through more than {MOST_ITEMS} items together",
                reason="BUDGET",
                place=path,
                fix="filter first, or make it a workflow",
                budget="flow_items",
                limit=str(MOST_ITEMS),
            )

    async def _tell(self, on_error: Compiled, walk: Walk, error: ActionFailed) -> None:
        """Do what is to be done when a step failed; that it fails as well changes nothing."""
        step = error.metadata.get("step", "")
        said = {"step": step, "reason": error.reason, "message": error.message, "fix": error.fix}
        program = Program((on_error,), None)
        try:
            await self._walked(Walk(program, {**walk.variables, ERROR: said}), "")
        except ActionFailed:
            return


async def _together(items: Iterable[Coroutine[Any, Any, Any]]) -> list[Any]:
    """All outputs in order, or the first failure, after which the others are stopped."""
    tasks = [asyncio.create_task(item) for item in items]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _due(walk: Walk, begun: Iterable[str]) -> list[tuple[Due, Keys]]:
    """The steps that are due, with what names the effect of each, of each of its items."""
    names = frozenset(begun)
    return await _aside(lambda: [(due, _keys(due, walk)) for due in walk.due(names)])


async def _aside(work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(_walking, work)


def _keys(due: Due, walk: Walk) -> Keys:
    """What its author says names an effect; empty where its place does."""
    if not due.step.step.idempotency_key:
        return [""] * max(1, len(due.inputs))
    try:
        return [str(due.step.key.evaluate(known, walk.budget)) for known in due.known]
    except ExpressionError as error:
        return error


def _failed(path: str, error: Exception | None) -> ActionFailed:
    """The failure of a step as that of the flow, which says where it was."""
    if isinstance(error, HardpointError):
        step = error.metadata.get("step", path)
        failed = ActionFailed(error.message, reason=error.reason, place=_place(step, error.place), fix=error.fix)
        failed.metadata = {**error.metadata, "step": step}
        return failed
    assert isinstance(error, ExpressionError)
    place = f"{path}: {error.place}" if error.place else path
    return ActionFailed(error.message, reason=error.reason, place=place, fix=error.fix, step=path)


def _place(step: str, place: str) -> str:
    """A place of a step as one of the flow; code of its own is told by its name, which is that of the step."""
    if not place or place == step:
        return step
    told = place.startswith((f"{step}: ", f"{step.rpartition('/')[2]}."))
    return place if told else f"{step}: {place}"
