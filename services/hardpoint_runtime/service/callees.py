"""Owns what a step of a workflow runs, with whose settings, and under what authority at that moment."""

from hardpoint_kit.errors import Conflict
from hardpoint_kit.names import AgentName
from hardpoint_manifest.plan import Does, Step
from hardpoint_runtime.domain.actions import ActionName
from hardpoint_runtime.domain.callees import Calling
from hardpoint_runtime.domain.calls import Call
from hardpoint_runtime.domain.releases import Action, Effect
from hardpoint_runtime.domain.snapshot import Snapshot
from hardpoint_runtime.domain.workflows import Workflow


def call_of(snapshot: Snapshot, agent: AgentName, workflow: Workflow, step: Step) -> tuple[Call, bool]:
    """What this step runs now, and whether somebody has to approve it first.

    The release is the run's own, whatever is installed meanwhile; what it reaches is what its installation is granted
    now, and cuts what a callee reaches. Raises Conflict AGENT_PAUSED, WORKFLOW_DETACHED and CALLEE_.., NotFound.
    """
    own = snapshot.attached(workflow.installation)
    if own is None or not own.on:
        raise Conflict(
            f"{workflow.installation} is not attached to agent {agent} any more, or switched off",
            reason="WORKFLOW_DETACHED",
            fix="attach it again and fork the run, or leave it",
            resource=workflow.installation,
        )
    release = workflow.release
    authority = release.asks.intersect(own.grants)
    if step.does is Does.CALL:
        callee = snapshot.directory.resolve(release, step.action)
        call = Call.of_callee(agent, callee, (Calling(release.name, authority, release.asks),), workflow.context)
        return call, callee.action.id in callee.installed.approvals
    action = release.action(step.action)
    settings = own.installed.settings
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
        context=workflow.context,
    )
    return call, action.id in own.approvals


def only_reads(step: Step, action: Action) -> bool:
    """Whether it has no effect, so that nobody misses it when it fails."""
    return step.effect == "read" or (step.effect is None and action.effect is Effect.READ)


def repeatable(step: Step, action: Action) -> bool:
    """Whether doing it again does no harm: its author says so, or its action only reads or has each effect once."""
    return only_reads(step, action) or action.idempotent
