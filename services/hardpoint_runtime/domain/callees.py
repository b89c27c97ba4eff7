"""Owns what a release may call of other capabilities: which installation that is, what it reaches, and why not.

A callee that cannot be called is no reason to refuse its caller: the refusal is kept, and given when it is called.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from hardpoint_kit.errors import Conflict
from hardpoint_kit.names import InstallationName, ReleaseName, SettingsName
from hardpoint_manifest.authority import Authority, nearest
from hardpoint_runtime.domain.installations import prefix_of
from hardpoint_runtime.domain.releases import WORKFLOW, Action, Release
from hardpoint_runtime.domain.runs import CountedFor

DEEPEST = 8
"""Levels of calls within calls."""
MOST = 100
"""Callees of one release, with theirs."""


@dataclass(frozen=True, slots=True)
class Installed:
    """An installation as others may call it.

    `on` when it is enabled, and the agent's attachment of it too; `priority` is that of the attachment, None without.
    """

    name: InstallationName
    on: bool
    release: Release
    grants: Authority
    counted_for: CountedFor
    priority: int | None = None
    approvals: frozenset[str] = frozenset()
    """Its actions that somebody has to approve each time."""
    own_name: bool = False

    @property
    def prefix(self) -> str:
        """What its actions are called by, before the dot."""
        return prefix_of(self.name, self.release, own_name=self.own_name)

    def is_known_to(self, caller: ReleaseName) -> bool:
        """Whether a release may mean it by its prefix: a name of its own is for capabilities of its org alone.

        Another org's author wrote the id of a capability, and did not mean what somebody called the same.
        """
        return not self.own_name or caller.org == self.name.org

    @property
    def settings(self) -> SettingsName | None:
        """Its settings document, where its release requires any."""
        return SettingsName(self.name.org, self.name.installation) if self.release.requirements else None


@dataclass(frozen=True, slots=True)
class Calling:
    """A release that calls others: what it reaches itself, and what it asks for."""

    release: ReleaseName
    authority: Authority
    asks: Authority


@dataclass(frozen=True, slots=True)
class Callee:
    """An action that may be called. What it reaches is `authority`, cut by what each of its callers reaches."""

    name: str
    installed: Installed
    action: Action
    authority: Authority
    callees: "tuple[Callee | Refused, ...]" = ()

    @property
    def calling(self) -> Calling:
        """This one as the caller of its own callees."""
        return Calling(self.installed.release.name, self.authority, self.installed.release.asks)


@dataclass(frozen=True, slots=True)
class Refused:
    """An action that cannot be called, and why: an error's reason, message, fix and facts."""

    name: str
    reason: str
    message: str
    fix: str
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def error(self) -> Conflict:
        """The refusal as an error."""
        error = Conflict(self.message, reason=self.reason, fix=self.fix)
        error.metadata = {**self.facts, "callee": self.name}
        return error


Callees = tuple[Callee | Refused, ...]


@dataclass(frozen=True, slots=True)
class Directory:
    """Which installation a prefix means: to an agent the one attached to it, else the one of that name.

    `names` are the installations that were looked for, whether they are there or not.
    """

    installed: Mapping[str, tuple[Installed, ...]]
    names: frozenset[str]

    @classmethod
    def of(cls, org: str, attached: Iterable[Installed], named: Iterable[Installed], looked_for: Iterable[str]) -> Self:
        """The directory of an agent, or of nobody in particular; `looked_for` are prefixes."""
        found: dict[str, tuple[Installed, ...]] = {}
        for one in attached:
            found[one.prefix] = (*found.get(one.prefix, ()), one)
        for one in named:
            if one.prefix == one.name.installation:
                found.setdefault(one.prefix, (one,))
        names = frozenset(str(InstallationName(org, prefix)) for prefix in looked_for)
        return cls(found, names)

    def of_name(self, installation: InstallationName) -> Installed | None:
        """The installation of this name, where something may call it."""
        found = (one for several in self.installed.values() for one in several)
        return next((one for one in found if one.name == installation), None)

    def callees(self, release: Release) -> Callees:
        """All that a release may call, with what these may call."""
        capability = release.name.capability
        return tuple(_Resolving(self).callees(release, (capability,), frozenset({capability})))

    def resolve(self, release: Release, name: str, above: Sequence[str] = ()) -> Callee:
        """One action that a workflow says it calls; raises Conflict, with a reason that begins with CALLEE_.

        It may be one that somebody has to approve, or another workflow: a workflow waits for both. `above` are the ids
        of the capabilities whose workflows called this one, the outermost first.
        """
        if name not in release.calls:
            meant = nearest(name, release.calls)
            raise Conflict(
                f"{release.name} does not say that it calls {name}",
                reason="CALLEE_NOT_DECLARED",
                fix=f"did you mean {meant}?" if meant else f'add "{name}" to `calls`',
                callee=name,
            )
        path = (*above, release.name.capability)
        found = _Resolving(self, waits=len(path)).callee(name, release.name, path, frozenset(path))
        if isinstance(found, Refused):
            raise found.error
        return found


def called(releases: Iterable[Release]) -> set[str]:
    """The prefixes of the actions that these releases call."""
    return {name.partition(".")[0] for release in releases for name in release.calls}


class _Resolving:
    """One tree of callees on its way; it has a bound, since capabilities that call each other multiply.

    `waits` is the length of the path at which a step of a workflow calls, which can wait.
    """

    def __init__(self, directory: Directory, *, waits: int = 0) -> None:
        self._directory = directory
        self._waits = waits
        self._left = MOST

    def callees(self, release: Release, path: Sequence[str], met: frozenset[str]) -> Iterable[Callee | Refused]:
        return (self.callee(name, release.name, path, met) for name in release.calls)

    def callee(self, name: str, caller: ReleaseName, path: Sequence[str], met: frozenset[str]) -> Callee | Refused:
        """An action that a release calls along a path: the first capability, then the actions that were called.

        `met` are the capabilities on it, and what they are called by.
        """
        prefix, _, action_id = name.partition(".")
        if prefix in met:
            return _cycle(name, path)
        self._left -= 1
        if len(path) > DEEPEST or self._left < 0:
            limit = f"{DEEPEST} levels" if len(path) > DEEPEST else f"{MOST} callees"
            return Refused(
                name,
                "CALLEE_LIMIT",
                f"{name} cannot be called here: calls within calls are at most {limit}",
                "let the capabilities call fewer others",
                {"limit": limit, "path": " -> ".join((*path, name))},
            )
        installed = self._installed(name, prefix, caller)
        if isinstance(installed, Refused):
            return installed
        if installed.release.name.capability in met:
            return _cycle(name, path)
        action = next((action for action in installed.release.actions if action.id == action_id), None)
        if action is None:
            return _unknown(name, installed)
        waits = len(path) == self._waits
        if installed.release.kind == WORKFLOW and not waits:
            return _workflow(name, installed)
        if action_id in installed.approvals and not waits:
            return Refused(
                name,
                "CALLEE_APPROVAL",
                f"somebody has to approve {name} each time, and only a step of a workflow can wait for that",
                "call it from a workflow, or by the agent itself",
                {"installation": str(installed.name)},
            )
        return Callee(
            name,
            installed,
            action,
            installed.release.asks.intersect(installed.grants),
            () if installed.release.kind == WORKFLOW else self._below(installed.release, (*path, name), met | {prefix}),
        )

    def _below(self, release: Release, path: Sequence[str], met: frozenset[str]) -> Callees:
        return tuple(self.callees(release, path, met | {release.name.capability}))

    def _installed(self, name: str, prefix: str, caller: ReleaseName) -> Installed | Refused:
        there = self._directory.installed.get(prefix, ())
        found = [one for one in there if one.is_known_to(caller)]
        if there and not found:
            return _not_known(name, there[0], caller)
        if not found:
            return Refused(
                name,
                "CALLEE_NOT_INSTALLED",
                f"{name} cannot be called: {prefix} is not installed",
                f"install it as {prefix}, or attach it to the agent: hardpoint install ORG/{prefix}",
            )
        on = [one for one in found if one.on]
        if not on:
            return Refused(
                name,
                "CALLEE_DISABLED",
                f"{name} cannot be called: {found[0].name} is switched off",
                f"enable it, or the agent's attachment of it: hardpoint enable {found[0].name.installation}",
                {"installation": str(found[0].name)},
            )
        best = [one for one in on if one.priority == max(other.priority or 0 for other in on)] or on
        if len(best) > 1:
            names = sorted(str(one.name) for one in best)
            return Refused(
                name,
                "CALLEE_AMBIGUOUS",
                f"{name} is offered by {' and '.join(names)} with equal priority",
                "give one of the attachments a higher priority, or detach one",
                {"installations": ",".join(names)},
            )
        return best[0]


def _cycle(name: str, path: Sequence[str]) -> Refused:
    cycle = " -> ".join((*path, name))
    return Refused(
        name,
        "CALLEE_CYCLE",
        f"{name} cannot be called here: {cycle} is a cycle",
        "let one of them do without the other",
        {"cycle": cycle},
    )


def _not_known(name: str, named: Installed, caller: ReleaseName) -> Refused:
    id = named.name.installation
    return Refused(
        name,
        "CALLEE_NOT_INSTALLED",
        f"{name} cannot be called: a capability {id} is not installed, and the name of {named.name} is for "
        f"capabilities of its own organisation, not for {caller.capability_name}",
        f"uninstall it and install it under another name, then install what is meant: hardpoint install ORG/{id}",
        {"installation": str(named.name)},
    )


def _workflow(name: str, installed: Installed) -> Refused:
    return Refused(
        name,
        "CALLEE_WORKFLOW",
        f"{name} cannot be called here: {installed.release.name} is a workflow, which goes on by itself",
        "call it from a step of a workflow, or start it: StartRun, hardpoint start, or a trigger",
        {"installation": str(installed.name)},
    )


def _unknown(name: str, installed: Installed) -> Refused:
    offered: Collection[str] = [f"{name.partition('.')[0]}.{action.id}" for action in installed.release.actions]
    meant = nearest(name, offered)
    return Refused(
        name,
        "CALLEE_UNKNOWN",
        f"{name} cannot be called: {installed.release.name} has no such action",
        f"did you mean {meant}?" if meant else f"it has {', '.join(offered)}",
        {"installation": str(installed.name), **({"nearest": meant} if meant else {})},
    )
