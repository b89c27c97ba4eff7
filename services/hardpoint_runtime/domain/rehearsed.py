"""Owns what the dry run of a workflow has come to: its steps, what they would write, and what was done for that.

Bounded: a plan is an answer, and is looked at by people.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from hardpoint_manifest.authority import Authority
from hardpoint_runtime.domain.calls import Call
from hardpoint_runtime.domain.effects import Effect, Outcome, PlannedStep
from hardpoint_runtime.domain.executions import Ended
from hardpoint_runtime.domain.runs import Failure, Inner, LogLine, Record, Run, RunState, Usage

MOST_STEPS: Final = 500
MOST_EFFECTS: Final = 500
MOST_BYTES: Final = 1024 * 1024
"""Of all effects, as JSON."""
SHOWN: Final = 500
"""Characters of one text about a step."""
SHOWN_NEEDS: Final = 20
MOST_LOGS: Final = 500
"""Lines of all steps."""


class EndsHere(Exception):
    """The dry run ends before the workflow would; `failure` says why."""

    def __init__(self, message: str, place: str) -> None:
        super().__init__(message)
        self.failure = Failure("EFFECT_PLAN_LIMIT", message, place)


@dataclass(slots=True)
class Rehearsed:
    """What there is of a dry run so far, in the order in which it came."""

    steps: list[PlannedStep] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    inner: list[Inner] = field(default_factory=list)
    """What was executed, as a run records it."""
    usage: Usage = field(default_factory=Usage)
    logs: list[LogLine] = field(default_factory=list)
    used: Authority = field(default_factory=Authority)
    _bytes: int = 0

    def tell(self, place: str, outcome: Outcome, action: str = "", needs: Iterable[str] = (), says: str = "") -> None:
        """List a step; raises EndsHere when there are too many."""
        if len(self.steps) >= MOST_STEPS:
            raise EndsHere(f"a plan has at most {MOST_STEPS} steps", place)
        shown = tuple(text[:SHOWN] for text in needs)[:SHOWN_NEEDS]
        self.steps.append(PlannedStep(place, action, outcome, shown, says[:SHOWN]))

    def add(self, place: str, call: Call, ended: Ended, at: datetime, duration_us: int) -> None:
        """Keep that a step was executed, at a moment and for so long."""
        failure = Failure.of(ended.error)
        self.inner.append(
            Inner(place, str(call.name), call.release.name, ended.state, failure, at, duration_us, ended.usage)
        )
        self.inner.extend(replace(one, path=f"{place}/{one.path}") for one in ended.steps)
        left = max(0, MOST_LOGS - len(self.logs))
        self.logs.extend(replace(line, message=f"{place}: {line.message}") for line in ended.logs[:left])
        self.usage += ended.usage
        self.used = Authority(self.used.permissions | ended.used.permissions, self.used.hosts | ended.used.hosts)

    def plan(self, place: str, effects: Iterable[Effect]) -> None:
        """Put what a step would write where it stands in the whole; raises EndsHere when that is too much."""
        for effect in effects:
            path = f"{place}/{effect.path}" if effect.path else place
            self._bytes += len(json.dumps([path, effect.target, effect.arguments]))
            if len(self.effects) >= MOST_EFFECTS or self._bytes > MOST_BYTES:
                raise EndsHere(f"a plan has at most {MOST_EFFECTS} effects, and {MOST_BYTES} bytes", place)
            self.effects.append(replace(effect, path=path, lane=f"{place}:{effect.lane}"))

    def record(self, run: Run, at: datetime, state: RunState, failure: Failure | None = None, plan: str = "") -> Record:
        """It as one run that ended at a moment, which counts for nothing."""
        run = replace(
            run,
            state=state,
            failure=failure or Failure(),
            duration_us=max(0, (at - run.started_at) // timedelta(microseconds=1)),
            usage=self.usage,
            dry_run=True,
            plan=plan,
        )
        return Record(run, None, steps=tuple(self.inner), logs=tuple(self.logs))
