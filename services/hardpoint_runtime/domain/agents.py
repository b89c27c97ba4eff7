"""Owns the agent: a program with a model that calls actions."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Self

from hardpoint_kit.errors import Conflict
from hardpoint_kit.masks import apply_mask
from hardpoint_kit.names import AgentName
from hardpoint_runtime.domain.revision import Revision


class AgentState(StrEnum):
    """Whether the agent's calls are admitted."""

    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent of an org."""

    name: AgentName
    display_name: str
    description: str
    state: AgentState
    revision: Revision

    @classmethod
    def new(cls, name: AgentName, display_name: str, description: str, at: datetime) -> Self:
        """An agent whose calls are admitted."""
        return cls(name, display_name or name.agent, description, AgentState.ACTIVE, Revision.first(at))

    def described(self, display_name: str, description: str, mask: Iterable[str], at: datetime) -> Self:
        """The agent with the texts that the mask names; raises InvalidArgument for any other path."""
        patch = replace(self, display_name=display_name, description=description)
        changed = apply_mask(self, patch, mask, ("display_name", "description"))
        return replace(changed, revision=self.revision.next(at))

    def paused(self, at: datetime) -> Self:
        """The agent with its calls refused; raises Conflict when they are already."""
        return self._moved(AgentState.ACTIVE, AgentState.PAUSED, at)

    def resumed(self, at: datetime) -> Self:
        """The agent with its calls admitted; raises Conflict when they are already."""
        return self._moved(AgentState.PAUSED, AgentState.ACTIVE, at)

    def _moved(self, before: AgentState, after: AgentState, at: datetime) -> Self:
        if self.state is not before:
            raise Conflict(
                f"agent {self.name} is {self.state} already",
                fix="nothing is left to be done",
                state=self.state,
                resource=self.name,
            )
        return replace(self, state=after, revision=self.revision.next(at))
