"""Owns which release a step of a workflow runs, with whose settings, and under what authority at that moment."""

from hardpoint_kit.errors import Conflict, NotFound
from hardpoint_kit.names import AgentName, SettingsName
from hardpoint_manifest.plan import Does, Step
from hardpoint_runtime.domain.actions import ActionName
from hardpoint_runtime.domain.releases import Action, Effect
from hardpoint_runtime.domain.snapshot import Attached, Offer, Snapshot
from hardpoint_runtime.domain.workflows import Workflow
from hardpoint_runtime.service.calls import Plan


def plan_of(snapshot: Snapshot, agent: AgentName, workflow: Workflow, step: Step) -> tuple[Plan, bool]:
    """What this step runs now, and whether somebody has to approve it first.

    It is of the run's own release, or of another capability attached to the same agent.

    The authority is that of the workflow's installation as it is granted now; a callee has of its own what its caller
    has too. Raises Conflict WORKFLOW_DETACHED, NotFound ACTION_NOT_ATTACHED, and as Snapshot.admit does.
    """
    own = snapshot.attached(workflow.installation)
    if own is None or not own.on:
        raise Conflict(
            f"{workflow.installation} is not attached to agent {agent} any more, or switched off",
            reason="WORKFLOW_DETACHED",
            fix="attach it again and fork the run, or leave it",
            resource=workflow.installation,
        )
    authority = workflow.release.asks.intersect(own.grants)
    if step.does is Does.CALL:
        name = ActionName.parse(step.action)
        if str(name) not in workflow.release.calls:
            raise NotFound("action", name, message=f"{workflow.release.name} does not declare that it calls {name}")
        offer: Offer = snapshot.admit(name)
        callee = offer.attached
        plan = Plan(
            name,
            agent,
            callee.release,
            offer.action,
            authority.intersect(offer.authority),
            _settings(callee),
            callee.counted_for,
            callee.grants,
        )
        return plan, name.action in callee.approvals
    name = ActionName(workflow.release.name.capability, step.action)
    action = next(
        (action for action in workflow.release.actions if action.id == step.action),
        # An inner action, which nobody else can call, is not listed: the executor finds it in the artifact.
        Action(step.action, step.name or step.action, "", {}, {}, Effect.WRITE),
    )
    settings = _settings(own, workflow)
    plan = Plan(name, agent, workflow.release, action, authority, settings, own.counted_for, own.grants)
    return plan, name.action in own.approvals


def repeatable(step: Step, action: Action) -> bool:
    """Whether doing it again does no harm: its author says so, or its action only reads or has each effect once."""
    if step.effect is not None:
        return step.effect == "read" or action.idempotent
    return action.effect is Effect.READ or action.idempotent


def _settings(attached: Attached, workflow: Workflow | None = None) -> SettingsName | None:
    release = workflow.release if workflow else attached.release
    installation = attached.installation
    return SettingsName(installation.org, installation.installation) if release.requirements else None
