"""Owns the policy of an org: what it decides for all code that runs for it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Self

from hardpoint_kit.masks import apply_mask
from hardpoint_kit.names import PolicyName
from hardpoint_runtime.domain.revision import Revision

_NEVER = datetime.fromtimestamp(0, UTC)
UNCHANGED = Revision(_NEVER, _NEVER, 0)
"""The revision of a policy that nobody has changed."""


@dataclass(frozen=True, slots=True)
class Policy:
    """`single_use`: all code has jails that serve one call alone. `shared_runs`: calls of one run may share a jail."""

    name: PolicyName
    single_use: bool = False
    shared_runs: bool = False
    revision: Revision = UNCHANGED

    def changed(self, single_use: bool, shared_runs: bool, mask: Iterable[str], at: datetime) -> Self:
        """The policy with what the mask names; raises InvalidArgument for any other path."""
        patch = replace(self, single_use=single_use, shared_runs=shared_runs)
        changed = apply_mask(self, patch, mask, ("single_use", "shared_runs"))
        return replace(changed, revision=self.revision.next(at))
