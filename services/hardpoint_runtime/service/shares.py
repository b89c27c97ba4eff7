"""Owns whose counters what ran adds to: the executions of each attachment, and the uses of what it was granted."""

from collections.abc import Iterator
from datetime import datetime

from hardpoint_runtime.domain.callees import Callee, Callees, Installed
from hardpoint_runtime.domain.calls import Call
from hardpoint_runtime.domain.counters import Counters
from hardpoint_runtime.domain.executions import Ended
from hardpoint_runtime.domain.grants import exercised
from hardpoint_runtime.domain.runs import Inner, Run, RunState, Share


def inside(callees: Callees, steps: tuple[Inner, ...]) -> tuple[Share, ...]:
    """What the calls inside of an execution add to the counters of the installations that were called."""
    installed = {str(one.name): one for one in _installed(callees)} if steps else {}
    return tuple(
        Share(one.counted_for, step.counted, exercised(one.grants, step.used))
        for step in steps
        if (one := installed.get(step.installation))
    )


def of_step(own: Installed, call: Call, ended: Ended, duration_us: int, at: datetime) -> Iterator[Share]:
    """What an attempt of a step adds: to those of the workflow the grants alone, since the whole run is one execution.

    Of what another capability did for it, both used what they were granted.
    """
    yield Share(own.counted_for, Counters(last_used=at), exercised(own.grants, ended.used))
    if call.counted_for is not None and call.counted_for != own.counted_for:
        counted = _counted(ended.state, duration_us, at)
        yield Share(call.counted_for, counted, exercised(call.grants, ended.used))
    yield from inside(call.callees, ended.steps)


def of_run(own: Installed, run: Run, duration_us: int) -> Share:
    """What a run of a workflow that has ended adds: one execution, as long as its steps ran."""
    return Share(own.counted_for, _counted(run.state, duration_us, run.ended_at), frozenset())


def _counted(state: RunState, duration_us: int, at: datetime) -> Counters:
    failed, succeeded = state is RunState.FAILED, state is RunState.SUCCEEDED
    return Counters(1, int(failed), int(succeeded), duration_us, at)


def _installed(callees: Callees) -> Iterator[Installed]:
    for callee in callees:
        if isinstance(callee, Callee):
            yield callee.installed
            yield from _installed(callee.callees)
