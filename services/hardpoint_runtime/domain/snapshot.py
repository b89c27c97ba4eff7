"""Owns admission: what an agent may call at one moment. What is listed and what is called are decided by one function.

A snapshot is built once and asked for every call, so everything that can be prepared is: names, compiled input checks,
the authority in force.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Self

from hardpoint_kit.errors import Conflict, HardpointError, NotFound
from hardpoint_kit.names import AgentName, InstallationName
from hardpoint_manifest.authority import Authority, nearest
from hardpoint_runtime.domain.actions import ActionName, InputCheck
from hardpoint_runtime.domain.agents import AgentState
from hardpoint_runtime.domain.callees import Callees, Directory, Installed
from hardpoint_runtime.domain.installations import prefix_of
from hardpoint_runtime.domain.releases import Action, Release
from hardpoint_runtime.domain.runs import CountedFor


@dataclass(frozen=True, slots=True)
class Attached:
    """One attachment of an agent with what its installation pins and grants; `on` when both are switched on.

    `approvals` are the ids of the actions that somebody has to approve each time.
    """

    installation: InstallationName
    on: bool
    priority: int
    release: Release
    grants: Authority
    counted_for: CountedFor
    approvals: frozenset[str] = frozenset()
    own_name: bool = False

    @property
    def prefix(self) -> str:
        """What its actions are called by, before the dot."""
        return prefix_of(self.installation, self.release, own_name=self.own_name)

    @property
    def installed(self) -> Installed:
        """It as others may call it."""
        return Installed(
            self.installation,
            self.on,
            self.release,
            self.grants,
            self.counted_for,
            self.priority,
            self.approvals,
            self.own_name,
        )


@dataclass(frozen=True, slots=True)
class Offer:
    """One action that one attachment offers to the agent, with the authority in force: asked for and granted.

    `callees` are what its release may call.
    """

    name: ActionName
    action: Action
    input: InputCheck
    authority: Authority
    attached: Attached
    callees: Callees = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An agent with what is attached to it: `offers` of what is switched on, `everything` by installation.

    `directory` says what releases may call for this agent, `detached` when capabilities were detached from it last.
    """

    agent: AgentName
    state: AgentState
    offers: Mapping[ActionName, tuple[Offer, ...]]
    everything: Mapping[str, Attached]
    directory: Directory
    detached: Mapping[str, str]

    @classmethod
    def of(
        cls,
        agent: AgentName,
        state: AgentState,
        attached: Iterable[Attached],
        named: Iterable[Installed] = (),
        looked_for: Iterable[str] = (),
        detached: Mapping[str, str] | None = None,
    ) -> Self:
        """Prepare what is attached for calls; `named` are installations that it may call, found by `looked_for`."""
        everything = list(attached)
        directory = Directory.of(agent.org, (one.installed for one in everything), named, looked_for)
        offers = [offer for one in everything if one.on for offer in _offers(one, directory)]
        offers.sort(key=lambda offer: (offer.name, -offer.attached.priority, str(offer.attached.installation)))
        return cls(
            agent,
            state,
            {name: tuple(group) for name, group in groupby(offers, key=lambda offer: offer.name)},
            {str(one.installation): one for one in everything},
            directory,
            detached or {},
        )

    @property
    def installations(self) -> Collection[str]:
        """The names of all installations that it rests on: those attached, and those that these may call."""
        return self.everything.keys() | self.directory.names

    def attached(self, installation: InstallationName) -> Attached | None:
        """What is attached of an installation; raises Conflict AGENT_PAUSED."""
        self._check_active()
        return self.everything.get(str(installation))

    def admit(self, name: ActionName) -> Offer:
        """The offer that a call of this action runs.

        Raises Conflict AGENT_PAUSED or ACTION_AMBIGUOUS, NotFound ACTION_NOT_ATTACHED.
        """
        self._check_active()
        offers = self.offers.get(name)
        if offers is None:
            raise self._not_attached(name)
        best = offers[0]
        equal = [str(o.attached.installation) for o in offers if o.attached.priority == best.attached.priority]
        if len(equal) > 1:
            raise Conflict(
                f"{name} is offered by {' and '.join(equal)} with equal priority",
                reason="ACTION_AMBIGUOUS",
                fix=f"give one a higher priority: hardpoint attachment priority {self.agent.agent} INSTALLATION 1",
                action=name,
                installations=",".join(equal),
            )
        return best

    def tools(self) -> list[Offer]:
        """Every offer that `admit` would give, by name."""
        admitted = []
        for name in self.offers:
            try:
                admitted.append(self.admit(name))
            except HardpointError:
                continue
        return admitted

    def _check_active(self) -> None:
        if self.state is AgentState.PAUSED:
            raise Conflict(
                f"agent {self.agent} is paused", reason="AGENT_PAUSED", fix="resume the agent", resource=self.agent
            )

    def _not_attached(self, name: ActionName) -> NotFound:
        meant = nearest(str(name), [str(offer.name) for offer in self.tools()])
        why, act = self._absence(name)
        return NotFound(
            "action",
            name,
            message=f"agent {self.agent} has no action {name}: {why}",
            reason="ACTION_NOT_ATTACHED",
            fix=f"did you mean {meant}? Or {act}" if meant else act,
            action=name,
            agent=self.agent,
            **({"nearest": meant} if meant else {}),
        )

    def _absence(self, name: ActionName) -> tuple[str, str]:
        """Why nothing offers an action, and what to do."""
        agent, prefix = self.agent.agent, name.prefix
        attached = [one for one in self.everything.values() if one.prefix == prefix]
        look = f"see what there is: hardpoint tools {agent}"
        if any(one.on for one in attached):
            return f"{prefix} is attached, and has no such action", look
        if attached:
            off = attached[0].installation.installation
            return (
                f"{prefix} is switched off",
                f"enable what is off: hardpoint attachment enable {agent} {off}, hardpoint enable {off}",
            )
        attach = f"attach it: hardpoint attach {agent} {prefix}"
        if prefix in self.detached:
            return f"{prefix} was detached at {self.detached[prefix]}", attach
        named = sorted(one.prefix for one in self.everything.values() if one.release.name.capability == prefix)
        if named:
            return f"{prefix} is attached as {' and '.join(named)}", look
        return f"{prefix} is not attached", attach


def _offers(attached: Attached, directory: Directory) -> Iterable[Offer]:
    authority = attached.release.asks.intersect(attached.grants)
    callees = directory.callees(attached.release)
    for action in attached.release.actions:
        name = ActionName(attached.prefix, action.id)
        yield Offer(name, action, InputCheck(action.input_schema), authority, attached, callees)
