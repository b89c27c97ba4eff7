"""Owns how runs of workflows begin, and how those who began them hear what becomes of them."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from hardpoint_kit.auth import allows
from hardpoint_kit.caller import Caller
from hardpoint_kit.clock import Clock
from hardpoint_kit.errors import Conflict, NotFound
from hardpoint_kit.names import AgentName, RunName
from hardpoint_kit.telemetry import inject, trace_id
from hardpoint_manifest.plan import After, Does, Plan, Step
from hardpoint_runtime.domain.actions import ActionName
from hardpoint_runtime.domain.calls import Call
from hardpoint_runtime.domain.context import NOTHING, CallContext
from hardpoint_runtime.domain.releases import WORKFLOW, Release
from hardpoint_runtime.domain.runs import Failure, Run, RunState, Usage, new_run_name
from hardpoint_runtime.domain.snapshot import Offer
from hardpoint_runtime.domain.workflows import StepRun, Workflow
from hardpoint_runtime.peers import Config
from hardpoint_runtime.service.changes import Changes
from hardpoint_runtime.service.children import settings_of
from hardpoint_runtime.service.snapshots import Snapshots
from hardpoint_runtime.store import Store, Transaction

APPROVE = "runtime.runs.approve"
"""The permission of those who may see what runs of others work with."""


@dataclass(frozen=True, slots=True)
class Change:
    """What changed of a run up to a sequence: where it is now, and the steps that are not as they were."""

    sequence: int
    run: Run
    steps: tuple[StepRun, ...]


class Workflows:
    """Runs of workflows; `fingerprint` tells a write request from others with the same request id."""

    def __init__(self, store: Store, snapshots: Snapshots, changes: Changes, config: Config, clock: Clock) -> None:
        self._store = store
        self._snapshots = snapshots
        self._changes = changes
        self._config = config
        self._clock = clock
        self._draining = False

    async def start(
        self,
        caller: Caller,
        agent: AgentName,
        action: str,
        value: Mapping[str, Any],
        trigger: Mapping[str, Any] | None,
        context: CallContext,
        fingerprint: str,
    ) -> Run:
        """Begin a run of a workflow that is attached to the agent, once for each request id.

        Raises as Calls.call_action does for what is not admitted, and Conflict NOT_A_WORKFLOW.
        """
        name = ActionName.parse(action)
        offer = (await self._snapshots.get(agent)).admit(name)
        value = offer.input.admit(name, value)
        workflow = await self.prepare(caller, agent, offer, value, trigger, context)
        return await self.begin(caller, workflow, fingerprint)

    async def prepare(
        self,
        caller: Caller,
        agent: AgentName,
        offer: Offer,
        value: Mapping[str, Any],
        trigger: Mapping[str, Any] | None = None,
        context: CallContext = NOTHING,
        starters: tuple[str, ...] = (),
        depth: int = 0,
        root: str = "",
    ) -> Workflow:
        """A run that is ready to begin: of a workflow, or of an action that somebody has to approve.

        `starters` count as having started it, besides the caller.
        """
        release = offer.attached.release
        asked_first = offer.name.action in offer.attached.approvals
        if release.kind == WORKFLOW and release.plan is not None:
            release = _approved_first(release, offer) if asked_first else release
        elif asked_first:
            release = _one_step(release, offer)
        else:
            raise Conflict(
                f"{offer.name} is no workflow",
                reason="NOT_A_WORKFLOW",
                fix="call it: its run is recorded when it has ended",
                action=offer.name,
            )
        at = self._clock.now()
        run = Run(
            name=new_run_name(agent.org, at),
            agent=agent.agent,
            action=str(offer.name),
            release=release.name,
            state=RunState.QUEUED,
            failure=Failure(),
            started_at=at,
            duration_us=0,
            usage=Usage(),
            trace_id=trace_id(),
            subject=caller.subject,
            on_behalf_of=caller.on_behalf_of,
            depth=depth,
            root=root,
        )
        given = {
            "input": dict(value),
            "trigger": dict(value if trigger is None else trigger),
            "settings": await settings_of(self._config, release, Call.of_offer(agent, offer).settings),
        }
        # What the release does not ask for no step can be shown, so it is not kept.
        known = context.check().within(release.asks.permissions)
        return Workflow(
            run,
            offer.attached.installation,
            release,
            given,
            carrier=inject(),
            context=known,
            starters=starters,
        )

    async def begin(self, caller: Caller, workflow: Workflow, fingerprint: str) -> Run:
        """Write a run down and have it walked; the first answer again for a request that was answered."""

        async def begin(tx: Transaction) -> Run:
            await tx.workflows.add(workflow)
            await tx.audit("run.start", workflow.name, tool=workflow.run.action, release=workflow.release.name)
            return workflow.run

        return await self._store.once(caller, "StartRun", fingerprint, Run, begin)

    async def get(self, caller: Caller, name: RunName) -> Workflow:
        """A run with its output; raises NotFound."""
        async with self._store.transaction(caller) as tx:
            return await tx.workflows.get(name)

    async def output(self, caller: Caller, name: RunName) -> Any:
        """What a run gave, for who began it, whom it was for, and those who may approve steps.

        Raises NotFound, for anybody else too, and Conflict for one that has not succeeded.
        """
        workflow = await self.get(caller, name)
        if caller.subject not in (workflow.run.subject, workflow.run.user) and not allows(caller.roles, APPROVE):
            raise NotFound("run", name)
        if workflow.run.state is not RunState.SUCCEEDED:
            raise Conflict(f"run {name} is {workflow.run.state}", resource=name, state=workflow.run.state)
        return workflow.output

    async def watch(self, caller: Caller, name: RunName, since: int) -> AsyncIterator[Change]:
        """What changes of a run after a sequence, until it has ended or the unit stops; raises NotFound."""
        with self._changes.of(name) as signal:
            while not self._draining:
                async with self._store.transaction(caller) as tx:
                    workflow = await tx.workflows.get(name)
                    steps = await tx.workflows.steps(name, since) if workflow.sequence > since else []
                if workflow.sequence > since:
                    since = workflow.sequence
                    yield Change(since, workflow.run, tuple(steps))
                if workflow.ended:
                    return
                await signal.wait()

    async def call(
        self,
        caller: Caller,
        agent: AgentName,
        offer: Offer,
        value: Mapping[str, Any],
        patience: float | None,
        run: RunName | None,
        context: CallContext,
    ) -> Workflow:
        """Begin a run, or find the one that an earlier call began, and wait for it as `settled` does.

        Raises Conflict CALL_ALTERED when that one was called otherwise, or for somebody else: who approved it approved
        something else, and what it gave is whose accounts it used.
        """
        if run is None:
            workflow = await self.prepare(caller, agent, offer, value, context=context)
            run = (await self.begin(caller, workflow, "")).name
        else:
            workflow = await self.get(caller, run)
            given = workflow.given.get("input")
            called = (workflow.run.user, workflow.run.agent, workflow.run.action, given)
            if called != (caller.user, agent.agent, str(offer.name), dict(value)):
                raise Conflict(
                    f"run {run} is of another call",
                    reason="CALL_ALTERED",
                    fix="call without `run` to begin another one",
                    resource=run,
                )
        return await self.settled(caller, run, patience)

    async def settled(self, caller: Caller, name: RunName, patience: float | None) -> Workflow:
        """The run when it has ended or waits for somebody, else after so many seconds; raises NotFound."""
        clock = asyncio.get_running_loop().time
        ends = None if patience is None else clock() + patience
        with self._changes.of(name, steps=False) as signal:
            while True:
                workflow = await self.get(caller, name)
                left = None if ends is None else ends - clock()
                if workflow.ended or (workflow.run.state is RunState.WAITING and workflow.run.failure.reason):
                    return workflow
                if self._draining or (left is not None and left <= 0):
                    return workflow
                await signal.wait(1.0 if left is None else min(left, 1.0))

    def drain(self) -> None:
        """Let those who watch and wait go."""
        self._draining = True
        self._changes.wake()


def _one_step(release: Release, offer: Offer) -> Release:
    """The release with a plan that does its one action, which asks for the approval by itself."""
    does = Step(id="call", does=Does.CODE, action=offer.name.action, input="${input}")
    return replace(release, plan=Plan(steps=(does,)).model_dump(mode="json"))


def _approved_first(release: Release, offer: Offer) -> Release:
    """The workflow with one step before all others, which shows what it was given and is approved."""
    plan = Plan.model_validate(release.plan)
    taken = {step.id for step in plan.steps}
    first = next(name for name in (f"approval{n}" for n in ("", *range(2, 200))) if name not in taken)
    asks = Step(id=first, does=Does.APPROVAL, input={"action": str(offer.name), "input": "${input}"})
    others = (step if step.after else step.model_copy(update={"after": (After(step=first),)}) for step in plan.steps)
    return replace(release, plan=plan.model_copy(update={"steps": (asks, *others)}).model_dump(mode="json"))
