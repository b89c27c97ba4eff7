"""From what authors write in flows and workflows to the one plan, and to what a release asks for because of it.

Total: what is wrong with a document is found by `rules`; a plan that cannot be made is None.
"""

from dataclasses import dataclass

from hardpoint_manifest.model import Action, Requirement, Trigger
from hardpoint_manifest.plan import Plan


@dataclass(frozen=True, slots=True)
class Planned:
    """What a flow or a workflow comes to in a manifest, besides what it says of itself."""

    actions: tuple[Action, ...] = ()
    plan: Plan | None = None
    inner: tuple[Action, ...] = ()
    calls: tuple[str, ...] = ()
    requirements: tuple[Requirement, ...] = ()
    triggers: tuple[Trigger, ...] = ()
