"""Owns the installation: a capability made usable in an org, as a pinned release and what the org allows it."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from hardpoint_kit.errors import Conflict, InvalidArgument
from hardpoint_kit.masks import apply_mask
from hardpoint_kit.names import CapabilityName, InstallationName, SettingsName
from hardpoint_manifest.authority import Authority
from hardpoint_manifest.standard import STANDARD_ACTIONS
from hardpoint_runtime.domain.counters import NOTHING, Counters
from hardpoint_runtime.domain.grants import GrantUse
from hardpoint_runtime.domain.releases import Release, Requirement
from hardpoint_runtime.domain.revision import Revision

_STANDARD = frozenset(action.capability for action in STANDARD_ACTIONS.values())
"""What steps mean the standard capabilities by, in every org."""


class InstallationState(StrEnum):
    """Whether agents may call it."""

    ACTIVE = "ACTIVE"
    DISABLED = "DISABLED"


@dataclass(frozen=True, slots=True)
class Installation:
    """A pinned release and the grants of the org; `uid` tells it from an earlier one of the same name."""

    name: InstallationName
    uid: str
    constraint: str
    release: Release
    grants: Authority
    state: InstallationState
    revision: Revision
    granted_at: datetime | None = None
    """When the grants last changed, or their uses were first seen."""
    own_name: bool = False
    """Whether its actions are called by its id, and not by the capability's; never changed."""

    @classmethod
    def new(
        cls,
        name: InstallationName,
        constraint: str,
        release: Release,
        grants: Authority,
        at: datetime,
        *,
        own_name: bool = False,
    ) -> Self:
        """An active installation.

        Raises InvalidArgument GRANT_NOT_ASKED or for no name of its own, Conflict NAME_TAKEN for a standard one.
        """
        release.check_grants(grants)
        uid, active = uuid.uuid4().hex, InstallationState.ACTIVE
        made = cls(name, uid, constraint, release, grants, active, Revision.first(at), at, own_name)
        if own_name and name.installation == release.name.capability:
            raise InvalidArgument(
                {"installation_id": f"{name.installation} is the capability's id, and no name of its own"},
                fix="choose another installation_id, or leave own_name out",
            )
        if own_name and name.installation in _STANDARD:
            raise made._taken(f"{name.installation} is the name of a standard capability")
        return made

    @property
    def capability(self) -> CapabilityName:
        """What is installed, usually another org's."""
        return self.release.name.capability_name

    @property
    def prefix(self) -> str:
        """What its actions are called by, before the dot."""
        return prefix_of(self.name, self.release, own_name=self.own_name)

    @property
    def settings(self) -> SettingsName:
        """The settings document of this installation."""
        return SettingsName(self.name.org, self.name.installation)

    @property
    def ungranted(self) -> Authority:
        """What the release asks for and the org does not allow."""
        return self.release.asks.missing_from(self.grants)

    def changed(self, patch: "Patch", mask: Iterable[str], release: Release, at: datetime) -> Self:
        """The installation with what the mask names; `release` is the one that the new constraint pins.

        Grants stay when only the constraint changes, so a new release never reaches more than the org allowed.
        Raises InvalidArgument for another path, and GRANT_NOT_ASKED for new grants wider than the release asks.
        """
        wanted = apply_mask(Patch(self.grants, self.constraint), patch, mask, MASK)
        if wanted.grants != self.grants:
            release.check_grants(wanted.grants)
        return replace(
            self,
            grants=wanted.grants,
            constraint=wanted.constraint,
            release=release,
            revision=self.revision.next(at),
            granted_at=self.granted_at if wanted.grants == self.grants else at,
        )

    def disabled(self, at: datetime) -> Self:
        """The installation closed to agents; raises Conflict when it is already."""
        return self._moved(InstallationState.ACTIVE, InstallationState.DISABLED, at)

    def enabled(self, at: datetime) -> Self:
        """The installation open to agents; raises Conflict when it is already."""
        return self._moved(InstallationState.DISABLED, InstallationState.ACTIVE, at)

    def check_attachable(self) -> None:
        """Refuse to be attached while disabled; raises Conflict INSTALLATION_DISABLED."""
        if self.state is InstallationState.DISABLED:
            raise Conflict(
                f"installation {self.name} is disabled",
                reason="INSTALLATION_DISABLED",
                fix=f"enable it: hardpoint enable {self.name.installation}",
                installation=self.name,
            )

    def check_prefix(self, others: Iterable[InstallationName]) -> None:
        """Refuse to be called as `others` are, where it or they have a name of their own; raises Conflict NAME_TAKEN.

        So what an action reaches never changes because something else is installed.
        """
        if found := sorted(others, key=str):
            raise self._taken(f"the actions of {found[0]} are called {self.prefix}.*", installation=found[0])

    def _taken(self, why: str, **facts: Any) -> Conflict:
        id = self.name.installation
        what = f"{id} cannot be its name" if self.own_name else f"{self.capability} cannot be installed as {id}"
        return Conflict(
            f"{what}: {why}",
            reason="NAME_TAKEN",
            fix="choose another name: hardpoint install ... --as NAME",
            prefix=self.prefix,
            **facts,
        )

    def check_deletable(self, agents: Iterable[str]) -> None:
        """Refuse to go while agents use it; raises Conflict naming them."""
        users = sorted(agents)
        if users:
            raise Conflict(
                f"installation {self.name} is attached to {', '.join(users)}",
                fix="detach it from these agents",
                agents=",".join(users),
                resource=self.name,
            )

    def _moved(self, before: InstallationState, after: InstallationState, at: datetime) -> Self:
        if self.state is not before:
            raise Conflict(
                f"installation {self.name} is {self.state} already",
                fix="nothing is left to be done",
                state=self.state,
                resource=self.name,
            )
        return replace(self, state=after, revision=self.revision.next(at))


def prefix_of(name: InstallationName, release: Release, *, own_name: bool) -> str:
    """What the actions of an installation are called by, before the dot: its own name, or the capability's."""
    return name.installation if own_name else release.name.capability


@dataclass(frozen=True, slots=True)
class Patch:
    """What an update may change."""

    grants: Authority
    constraint: str


MASK = ("grants", "constraint")


@dataclass(frozen=True, slots=True)
class InstallationView:
    """An installation as it is shown: with how it was used, and the required settings without a value."""

    installation: Installation
    counters: Counters = NOTHING
    missing: tuple[Requirement, ...] = ()
    used: tuple[GrantUse, ...] = ()

    @property
    def grant_uses(self) -> list[GrantUse]:
        """Every grant with its uses, permissions before hosts."""
        used = {use.grant: use for use in self.used}
        grants = self.installation.grants
        return [used.get(grant, GrantUse(grant)) for grant in [*sorted(grants.permissions), *sorted(grants.hosts)]]
