"""Owns the call: what is to be executed once it was admitted, on what occasion, and what it is answered with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from hardpoint_kit.errors import HardpointError
from hardpoint_kit.names import AgentName, InstallationName, ReleaseName, RunName, SettingsName
from hardpoint_manifest.authority import Authority, within
from hardpoint_runtime.domain.actions import ActionName
from hardpoint_runtime.domain.callees import Callee, Callees, Calling
from hardpoint_runtime.domain.context import NOTHING, CallContext
from hardpoint_runtime.domain.effects import EffectPlan
from hardpoint_runtime.domain.executions import Alone, Ended, Taped
from hardpoint_runtime.domain.releases import Action, Release
from hardpoint_runtime.domain.runs import CountedFor, Failure, Usage
from hardpoint_runtime.domain.snapshot import Offer


@dataclass(frozen=True, slots=True)
class Call:
    """A call that was admitted: what runs, with what authority and settings; whose counters and grants it adds to.

    `callees` are what it may call; what it reaches is cut by each of its `callers`. With `alone` it is one step of it.
    """

    name: ActionName
    agent: AgentName | None
    release: Release
    action: Action
    authority: Authority
    settings: SettingsName | None
    counted_for: CountedFor | None
    grants: Authority
    callees: Callees = ()
    callers: tuple[Calling, ...] = ()
    alone: Alone | None = None
    oversize_to_file: bool = False
    rehearses: Mapping[str, str] | None = None
    """Of a dry run: what its plan is made of."""
    held_to: EffectPlan | None = None
    context: CallContext = NOTHING
    taped: Taped = field(default_factory=Taped)
    installation: InstallationName | None = None
    """Of a callee."""

    @property
    def known(self) -> CallContext:
        """What it may see of what the agent knows."""
        if self.context is NOTHING:
            return NOTHING
        reached = within(self.authority, (caller.authority for caller in self.callers))
        return self.context.within(reached.permissions)

    def made(self, ended: Ended) -> EffectPlan | None:
        """The plan that a dry run has made, to the end or as far as it came."""
        if self.rehearses is None:
            return None
        return EffectPlan(self.rehearses, ended.planned, Failure.of(ended.error), ended.circumstances)

    @classmethod
    def of_offer(
        cls, agent: AgentName, offer: Offer, oversize_to_file: bool = False, context: CallContext = NOTHING
    ) -> Self:
        """A call of what is attached to an agent."""
        attached, release = offer.attached, offer.attached.release
        installation = attached.installation
        settings = SettingsName(installation.org, installation.installation) if release.requirements else None
        return cls(
            offer.name,
            agent,
            release,
            offer.action,
            offer.authority,
            settings,
            attached.counted_for,
            attached.grants,
            offer.callees,
            oversize_to_file=oversize_to_file,
            context=context,
        )

    @classmethod
    def of_callee(
        cls, agent: AgentName | None, callee: Callee, callers: tuple[Calling, ...], context: CallContext
    ) -> Self:
        """A call that somebody else's release makes, on behalf of its callers, the outermost first."""
        installed = callee.installed
        return cls(
            ActionName.parse(callee.name),
            agent,
            installed.release,
            callee.action,
            callee.authority,
            installed.settings,
            installed.counted_for,
            installed.grants,
            callee.callees,
            callers,
            context=context,
            installation=installed.name,
        )


@dataclass(frozen=True, slots=True)
class Occasion:
    """What a run is for that no agent asked for: its name, the key of all attempts, its depth and root in its tree."""

    run: RunName
    key: str
    depth: int = 0
    failed_before: bool = False
    """Whether it failed before and is tried again."""
    root: str = ""

    @property
    def told(self) -> bool:
        """Whether triggers hear of its failure: of what an event of a run began once for all attempts."""
        return not (self.depth and self.failed_before)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call gives when the action ended well, or was to be recorded; see `Ended` for its output."""

    output: Any
    run: RunName
    release: ReleaseName
    usage: Usage
    used: Authority
    output_in_file: bool = False
    plan: EffectPlan | None = None
    """Of a dry run: what would be written. The output is then made of stand-ins."""
    effects_left: int = 0
    """Of a call that was held to a plan: how many effects of it were not done."""
    error: HardpointError | None = None
    """Of an action that failed while it was recorded: its cassette is an answer too."""
    cassette: bytes = b""
    unrecorded: HardpointError | None = None
    """Why there is no cassette of what was to be recorded."""
