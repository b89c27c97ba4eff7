"""Owns runs of workflows: what one goes on from, where its steps are, and what people decide about those that wait."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from hardpoint_kit.errors import Conflict, InvalidArgument, PermissionDenied
from hardpoint_kit.names import InstallationName, RunName
from hardpoint_runtime.domain.children import Descent
from hardpoint_runtime.domain.context import NOTHING, CallContext
from hardpoint_runtime.domain.releases import Release
from hardpoint_runtime.domain.runs import Failure, Run, RunState, Usage

SOMEBODY_ELSE = "somebody-else"
"""Who may approve a step: nobody who counts as having started its run."""
ENDED = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED})


class Waits(StrEnum):
    """What a step waits for."""

    NOTHING = ""
    TIME = "TIME"
    APPROVAL = "APPROVAL"
    EVENT = "EVENT"
    RUN = "RUN"
    """The run of another workflow, which the step began."""
    DOUBT = "DOUBT"
    """It may have happened, and must not happen twice: a person looks."""


class Verdict(StrEnum):
    """What was decided about a step that waits."""

    APPROVE = "APPROVE"
    REFUSE = "REFUSE"
    REPEAT = "REPEAT"
    SKIP = "SKIP"
    FAIL = "FAIL"
    EVENT = "EVENT"
    ENDED = "ENDED"
    """Of no person: the run that the step began has ended."""


_FITTING = {
    Waits.APPROVAL: {Verdict.APPROVE, Verdict.REFUSE},
    Waits.EVENT: {Verdict.EVENT, Verdict.FAIL},
    Waits.DOUBT: {Verdict.REPEAT, Verdict.SKIP, Verdict.FAIL},
}


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict with who gave it; `output` is a skipped step's, or what an event carries.

    `plan` is the digest of the effect plan that an approval is bound to, where it is to one.
    """

    verdict: Verdict
    subject: str
    output: Any = None
    plan: str = ""


REVERT: Final = ".revert"
"""What the place of a step ends with that reverts the one at the place before it."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Who may write what becomes of a run: the walker of its newest stretch that took it up last."""

    run: RunName
    stretch: int
    walk: int


@dataclass(frozen=True, slots=True)
class Workflow:
    """A run of a workflow: `release` is the one it began with, `given` what its plan knows besides its steps.

    `settled` are the outputs of steps that a fork has from the run it was forked from, by place. `starters` are who
    counts as having started it besides who did: who made its trigger, who had its event run again, and of a fork who
    started the run that it was forked from. `stretch` is the newest piece of its way, and `walk` counts who took it up:
    what an older one still wants to write is refused.
    """

    run: Run
    installation: InstallationName
    release: Release
    given: Mapping[str, Any]
    stretch: int = 1
    settled: Mapping[str, Any] = field(default_factory=dict)
    carrier: Mapping[str, str] = field(default_factory=dict)
    output: Any = None
    sequence: int = 1
    run_sequence: int = 1
    walk: int = 0
    begun: int = 0
    """The number of the step that began last."""
    context: CallContext = NOTHING
    """What the agent knew that began it."""
    starters: tuple[str, ...] = ()
    descent: Descent | None = None
    """Of one that a step of another run began."""

    def check_decision(self, step: "StepRun", decision: Decision, digest: str) -> None:
        """Refuse what cannot be decided about one of its steps, or not by them.

        Raises Conflict RUN_ENDED, PermissionDenied OWN_APPROVAL, and as `StepRun.check_decision`.
        """
        self.check_alive()
        step.check_decision(decision, digest)
        four_eyes = step_at(self.release.plan, step.step).get("by") == SOMEBODY_ELSE or step.four_eyes
        if four_eyes and decision.verdict is Verdict.APPROVE and decision.subject in self.all_starters:
            raise PermissionDenied(
                "who started a run does not approve its steps",
                reason="OWN_APPROVAL",
                fix="ask somebody else of your org",
                step=step.step,
            )

    @property
    def name(self) -> RunName:
        """Its run's name."""
        return self.run.name

    @property
    def all_starters(self) -> tuple[str, ...]:
        """Who counts as having started it: who did, whom that was for, and `starters`."""
        return tuple(dict.fromkeys((self.run.subject, self.run.user, *self.starters)))

    @property
    def turn(self) -> Turn:
        """Whose it was to write when it was read."""
        return Turn(self.run.name, self.stretch, self.walk)

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.run.state in ENDED

    def check_alive(self) -> None:
        """Raise Conflict RUN_ENDED when it has ended."""
        if self.ended:
            raise Conflict(
                f"run {self.name} has ended: {self.run.state}",
                reason="RUN_ENDED",
                fix="fork it to go on from one of its steps",
                resource=self.name,
                state=self.run.state,
            )


@dataclass(frozen=True, slots=True)
class StepRun:
    """One step of a run, where it stands in the plan: `store`, `mail/3` in a loop, `each/3/mail` inside of one.

    `sequence` is that of its last change in the run. `shown` is what a person is asked about, and `digest` binds their
    answer to it.
    """

    run: RunName
    step: str
    number: int = 0
    sequence: int = 0
    action: str = ""
    release: str = ""
    state: RunState = RunState.RUNNING
    attempts: int = 0
    waits: Waits = Waits.NOTHING
    shown: Any = None
    decision: Decision | None = None
    due_at: datetime | None = None
    output: Any = None
    failure: Failure = field(default_factory=Failure)
    started_at: datetime = datetime.min
    duration_us: int = 0
    usage: Usage = field(default_factory=Usage)
    plan: str = ""
    """The digest of the effect plan that it is held to."""
    child: str = ""
    """The id of the run that it began, of another workflow."""

    @property
    def ended(self) -> bool:
        """Whether its output, or its failure, is known."""
        return self.state in ENDED

    @property
    def digest(self) -> str:
        """What an approval is bound to: another input, action or place has another one. Empty when nobody is asked."""
        if self.waits is Waits.NOTHING:
            return ""
        asked = [str(self.run), self.step, self.action, self.release, self.shown]
        text = json.dumps(asked, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"

    def check_decision(self, decision: Decision, digest: str) -> None:
        """Refuse what cannot be decided about this step, or not by them.

        Raises Conflict STEP_NOT_WAITING, InvalidArgument for a verdict that does not fit, Conflict APPROVAL_STALE for
        another digest than what stands here.
        """
        if self.state is not RunState.WAITING or self.decision is not None:
            raise Conflict(
                f"step {self.step} of run {self.run} waits for nobody",
                reason="STEP_NOT_WAITING",
                fix="look at the run: it may have been decided already",
                step=self.step,
                state=self.state,
            )
        fitting = _FITTING.get(self.waits, set())
        if decision.verdict not in fitting:
            raise InvalidArgument(
                {"decision": f"step {self.step} waits for {self.waits}, not for {decision.verdict}"},
                fix=f"choose from {', '.join(sorted(fitting)) or 'nothing: it waits for its time'}",
            )
        if self.waits is not Waits.APPROVAL:
            return
        if digest != self.digest:
            raise Conflict(
                "what was approved is not what would be done",
                reason="APPROVAL_STALE",
                fix="read the step again and approve what it shows now",
                step=self.step,
                digest=self.digest,
            )

    @property
    def four_eyes(self) -> bool:
        """Whether what is shown asks for it, as plans did before their steps could."""
        return isinstance(self.shown, dict) and self.shown.get("by") == SOMEBODY_ELSE


def step_at(plan: Mapping[str, Any] | None, place: str) -> Mapping[str, Any]:
    """The step of a plan that stands at a place, as the plan has it; empty for one beside the plan."""
    steps: Iterable[Mapping[str, Any]] = (plan or {}).get("steps", ())
    found: Mapping[str, Any] = {}
    for part in place.split("/"):
        step = next((step for step in steps if step["id"] == part), None)
        if step is not None:  # else it is the number of an item
            found, steps = step, step.get("steps", ())
    return found
