"""Owns the attachment: an installation switched on for one agent."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self

from hardpoint_kit.masks import apply_mask
from hardpoint_kit.names import AgentName, AttachmentName, InstallationName, ReleaseName
from hardpoint_runtime.domain.counters import NOTHING, Counters
from hardpoint_runtime.domain.revision import Revision


@dataclass(frozen=True, slots=True)
class Attachment:
    """An installation switched on for one agent; `uid` tells it from an earlier one of the same name.

    `require_approval` are the ids of its actions that somebody has to approve each time before they run.
    """

    name: AttachmentName
    uid: str
    enabled: bool
    priority: int
    revision: Revision
    require_approval: tuple[str, ...] = ()

    @classmethod
    def new(
        cls,
        agent: AgentName,
        installation: InstallationName,
        priority: int,
        require_approval: Iterable[str],
        at: datetime,
    ) -> Self:
        """An attachment that is enabled; its id is the installation's."""
        name = AttachmentName(agent.org, agent.agent, installation.installation)
        approvals = tuple(sorted(set(require_approval)))
        return cls(name, uuid.uuid4().hex, True, priority, Revision.first(at), approvals)

    @property
    def installation(self) -> InstallationName:
        """What is attached."""
        return InstallationName(self.name.org, self.name.attachment)

    def changed(
        self, enabled: bool, priority: int, require_approval: Iterable[str], mask: Iterable[str], at: datetime
    ) -> Self:
        """The attachment with what the mask names; raises InvalidArgument for any other path."""
        approvals = tuple(sorted(set(require_approval)))
        patch = replace(self, enabled=enabled, priority=priority, require_approval=approvals)
        changed = apply_mask(self, patch, mask, ("enabled", "priority", "require_approval"))
        return replace(changed, revision=self.revision.next(at))


@dataclass(frozen=True, slots=True)
class AttachmentView:
    """An attachment as it is shown: with the release pinned now, and what it was used."""

    attachment: Attachment
    release: ReleaseName
    counters: Counters = NOTHING
