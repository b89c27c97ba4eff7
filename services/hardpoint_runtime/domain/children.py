"""Owns where a run comes from that a step of another run began: its name, whom it reports to, and what cuts it."""

import hashlib
from dataclasses import dataclass

from hardpoint_kit.names import InstallationName, ReleaseName, RunName
from hardpoint_manifest.authority import Authority

MOST_DESCENDANTS = 1000
"""Runs that one run and those that it began may begin together, by steps and by events of triggers."""


@dataclass(frozen=True, slots=True)
class Above:
    """A workflow that called: what it asks for, and the installation whose grants hold for it at any moment."""

    installation: InstallationName
    release: ReleaseName
    asks: Authority


@dataclass(frozen=True, slots=True)
class Descent:
    """The workflows above a run, the outermost first, each of which cuts what it reaches.

    `parent` is the id of the run that waits for it in a step, `root` that of the run that began its tree; both are
    empty for a fork, which nobody waits for and which reaches no more than what it was forked from.
    """

    above: tuple[Above, ...] = ()
    parent: str = ""
    root: str = ""

    @property
    def path(self) -> tuple[str, ...]:
        """The ids of their capabilities."""
        return tuple(one.release.capability for one in self.above)


def child_name(parent: RunName, place: str, attempt: int) -> RunName:
    """The name of the run that this attempt of a step begins: the same whoever begins it, so it is begun once."""
    told = hashlib.sha256(f"{parent}/{place}/{attempt}".encode()).hexdigest()
    return RunName(parent.org, f"{parent.run.partition('-')[0]}-{told[:24]}")
