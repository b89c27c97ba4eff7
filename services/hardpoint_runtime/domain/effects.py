"""Owns effect plans: what a call would write, what that was made of, and whether another call may be held to it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from hardpoint_kit.errors import Conflict
from hardpoint_runtime.domain.runs import Failure


@dataclass(frozen=True, slots=True)
class Effect:
    """A write that a dry run did not make; see the message PlannedEffect. `digest` is of all that it is."""

    digest: str
    path: str
    release: str
    action: str
    service: str
    operation: str
    target: str
    arguments: Mapping[str, Any]
    lane: str


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a dry run met that another execution would not; see the message of that name. `answers` are by question."""

    at: datetime
    seed: str
    answers: tuple[tuple[str, str], ...] = ()


class Outcome(StrEnum):
    """What became of a step in the dry run of a workflow; see the message PlannedStep."""

    DONE = "DONE"
    PLANNED = "PLANNED"
    PASSED = "PASSED"
    UNKNOWN = "UNKNOWN"
    SKIPPED = "SKIPPED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step of a workflow in a dry run; `needs` are expressions that stand on answers which only a run has."""

    path: str
    action: str
    outcome: Outcome
    needs: tuple[str, ...] = ()
    message: str = ""


@dataclass(frozen=True, slots=True)
class EffectPlan:
    """What a call would write, in the order in which a dry run came to it.

    `basis` is what it was made of, by name: agent, user (where people sign in), action, release, input,
    context, settings and callees. `failure` says why it ends before the action does. What is held to it is given the
    `circumstances` of the dry run again; they are no part of the digest, since what depends on them is in the effects.
    """

    basis: Mapping[str, str]
    effects: tuple[Effect, ...]
    failure: Failure = field(default_factory=Failure)
    circumstances: Circumstances | None = None
    steps: tuple[PlannedStep, ...] = ()
    """Of a workflow."""

    @property
    def digest(self) -> str:
        """The same for every dry run that comes to the same: steps side by side have no order among them."""
        lanes: dict[str, list[str]] = {}
        for effect in self.effects:
            lanes.setdefault(effect.lane, []).append(effect.digest)
        whole = {"basis": dict(self.basis), "lanes": lanes, "ends": self.failure.reason}
        if self.steps:
            whole["steps"] = [[step.path, step.action, step.outcome, *step.needs] for step in self.steps]
        return digest_of(whole)

    def check(self, basis: Mapping[str, str]) -> None:
        """Refuse to hold a call to it that is made of something else, or when it does not go to the action's end.

        Raises Conflict PLAN_STALE, PLAN_INCOMPLETE.
        """
        changed = ", ".join(name for name, value in basis.items() if self.basis.get(name) != value)
        if changed:
            raise Conflict(
                f"the plan was made of something else: {changed} changed since",
                reason="PLAN_STALE",
                fix="make the plan anew: dry-run the call, look at it, and call with the new digest",
                plan=self.digest,
                changed=changed,
            )
        if self.failure.reason:
            raise Conflict(
                f"the plan ends before the action does: {self.failure.message}",
                reason="PLAN_INCOMPLETE",
                fix="call without a plan: what it writes at last depends on answers that only a real call has",
                plan=self.digest,
                because=self.failure.reason,
            )


def digest_of(value: Any) -> str:
    """The SHA-256 of a JSON value, however its objects are ordered."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
