"""Owns what a step of a workflow runs, with whose settings, and under what authority at that moment."""

from hardpoint_kit.errors import Conflict
from hardpoint_kit.names import AgentName, InstallationName
from hardpoint_manifest.plan import Does, Step
from hardpoint_runtime.domain.actions import ActionName
from hardpoint_runtime.domain.callees import Calling, Installed
from hardpoint_runtime.domain.calls import Call
from hardpoint_runtime.domain.children import Descent
from hardpoint_runtime.domain.releases import Action, Effect
from hardpoint_runtime.domain.snapshot import Snapshot
from hardpoint_runtime.domain.workflows import Workflow


def call_of(snapshot: Snapshot, agent: AgentName, workflow: Workflow, step: Step) -> tuple[Call, bool]:
    """What this step runs now, and whether somebody has to approve it first.

    The release is the run's own, whatever is installed meanwhile; what it reaches is what its installation is granted
    now, and cuts what a callee reaches. Raises Conflict AGENT_PAUSED, WORKFLOW_DETACHED and CALLEE_.., NotFound.
    """
    release = workflow.release
    descent = workflow.descent or Descent()
    callers = tuple(
        Calling(above.release, above.asks.intersect(_on(snapshot, above.installation, called=n > 0).grants), above.asks)
        for n, above in enumerate(descent.above)
    )
    own = _on(snapshot, workflow.installation, called=bool(descent.above))
    authority = release.asks.intersect(own.grants)
    if step.does is Does.CALL:
        callee = snapshot.directory.resolve(release, step.action, descent.path)
        calling = (*callers, Calling(release.name, authority, release.asks))
        call = Call.of_callee(agent, callee, calling, workflow.context)
        return call, callee.action.id in callee.installed.approvals
    action = release.action(step.action)
    settings = own.settings
    call = Call(
        ActionName(release.name.capability, action.id),
        agent,
        release,
        action,
        authority,
        settings,
        own.counted_for,
        own.grants,
        snapshot.directory.callees(release),
        callers,
        context=workflow.context,
    )
    return call, action.id in own.approvals


def own_of(snapshot: Snapshot, workflow: Workflow) -> Installed | None:
    """What a run is of as it is now: attached to the agent, or for one that another run began, as it may be called."""
    return _found(snapshot, workflow.installation, called=workflow.descent is not None)


def _found(snapshot: Snapshot, name: InstallationName, *, called: bool) -> Installed | None:
    attached = snapshot.attached(name)
    if attached is not None:
        return attached.installed
    return snapshot.directory.of_name(name) if called else None


def _on(snapshot: Snapshot, name: InstallationName, *, called: bool) -> Installed:
    found = _found(snapshot, name, called=called)
    if found is None or not found.on:
        raise Conflict(
            f"{name} is not attached to agent {snapshot.agent} any more, or switched off",
            reason="WORKFLOW_DETACHED",
            fix="attach it again and fork the run, or leave it",
            resource=name,
        )
    return found


def only_reads(step: Step, action: Action) -> bool:
    """Whether it has no effect, so that nobody misses it when it fails."""
    return step.effect == "read" or (step.effect is None and action.effect is Effect.READ)


def repeatable(step: Step, action: Action) -> bool:
    """Whether doing it again does no harm: its author says so, or its action only reads or has each effect once."""
    return only_reads(step, action) or action.idempotent
