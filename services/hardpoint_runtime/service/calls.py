"""Owns the call of an action: admitted, executed, recorded, answered.

A warm call touches no database but for the group commit of its run, and no peer but the executor: snapshot, lease and
artifact ticket are remembered.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from opentelemetry.trace import Span

from hardpoint_kit.caller import Caller
from hardpoint_kit.clock import Clock
from hardpoint_kit.documents import to_value
from hardpoint_kit.errors import Cancelled, Conflict, HardpointError, InvalidArgument, NotFound, Unauthenticated
from hardpoint_kit.names import AgentName, ReleaseName, RunName, SettingsName
from hardpoint_kit.telemetry import meter, trace_id, tracer
from hardpoint_manifest.authority import Authority, within
from hardpoint_runtime.domain.actions import ActionName, InputCheck
from hardpoint_runtime.domain.callees import Callee, Callees, Calling, Refused
from hardpoint_runtime.domain.context import NOTHING, CallContext
from hardpoint_runtime.domain.effects import EffectPlan
from hardpoint_runtime.domain.executions import Alone, Ended, Execution, Lent, Taped
from hardpoint_runtime.domain.grants import exercised
from hardpoint_runtime.domain.releases import Action, Release
from hardpoint_runtime.domain.runs import (
    CountedFor,
    Failure,
    Record,
    Run,
    RunState,
    Usage,
    new_run_name,
)
from hardpoint_runtime.domain.snapshot import Offer
from hardpoint_runtime.domain.workflows import Workflow
from hardpoint_runtime.peers import Peers
from hardpoint_runtime.service.composition import Composition
from hardpoint_runtime.service.effect_plans import EffectPlans
from hardpoint_runtime.service.lending import Lending
from hardpoint_runtime.service.recorder import Recorder
from hardpoint_runtime.service.shares import inside
from hardpoint_runtime.service.snapshots import Snapshots
from hardpoint_runtime.service.tickets import Tickets
from hardpoint_runtime.service.workflows import WORKFLOW, Workflows

QUEUE_SECONDS = 5.0
"""What an execution may take beyond its limit: waiting for a jail, fetching the artifact."""
ANSWER_SECONDS = 0.25
"""What is kept of the caller's time to record the run and answer."""
SHORTEST_SECONDS = 0.05
TICKET_INVALID = "TICKET_INVALID"

_duration = meter.create_histogram(
    "hardpoint.action.duration", unit="s", description="How long executions of actions took."
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call gives when the action ended well, or was recorded; see `Ended` for its output."""

    output: Any
    run: RunName
    release: ReleaseName
    usage: Usage
    used: Authority
    output_in_file: bool = False
    plan: EffectPlan | None = None
    """Of a dry run: what would be written. The output is then made of stand-ins."""
    effects_left: int = 0
    """Of a call that was held to a plan: how many effects of it were not done."""
    error: HardpointError | None = None
    """Of an action that failed while it was recorded: its cassette is an answer too."""
    cassette: bytes = b""


@dataclass(frozen=True, slots=True)
class Plan:
    """A call that was admitted: what runs, with what authority and settings; whose counters and grants it adds to.

    `callees` are what it may call; what it reaches is cut by each of its `callers`. With `alone` it is one step of it.
    """

    name: ActionName
    agent: AgentName | None
    release: Release
    action: Action
    authority: Authority
    settings: SettingsName | None
    counted_for: CountedFor | None
    grants: Authority
    callees: Callees = ()
    callers: tuple[Calling, ...] = ()
    alone: Alone | None = None
    oversize_to_file: bool = False
    rehearses: Mapping[str, str] | None = None
    """Of a dry run: what its plan is made of."""
    held_to: EffectPlan | None = None
    context: CallContext = NOTHING
    taped: Taped = field(default_factory=Taped)

    @property
    def known(self) -> CallContext:
        """What it may see of what the agent knows."""
        if self.context is NOTHING:
            return NOTHING
        reached = within(self.authority, (caller.authority for caller in self.callers))
        return self.context.within(reached.permissions)

    @classmethod
    def called(
        cls, agent: AgentName | None, callee: Callee, callers: tuple[Calling, ...], context: CallContext
    ) -> Self:
        """A call that somebody else's release makes, on behalf of its callers, the outermost first."""
        installed = callee.installed
        return cls(
            ActionName.parse(callee.name),
            agent,
            installed.release,
            callee.action,
            callee.authority,
            installed.settings,
            installed.counted_for,
            installed.grants,
            callee.callees,
            callers,
            context=context,
        )


Check = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Occasion:
    """What a run is for that no agent asked for: its name, given beforehand, the key of all attempts, its depth."""

    run: RunName
    key: str
    depth: int = 0


class Calls:
    """What agents do with what is attached to them; `limit_seconds` bounds every execution."""

    def __init__(
        self,
        snapshots: Snapshots,
        tickets: Tickets,
        composition: Composition,
        recorder: Recorder,
        peers: Peers,
        clock: Clock,
        limit_seconds: float,
        workflows: Workflows,
        effect_plans: EffectPlans,
    ) -> None:
        self._snapshots = snapshots
        self._tickets = tickets
        self._composition = composition
        self._recorder = recorder
        self._peers = peers
        self._lending = Lending(peers.files)
        self._clock = clock
        self._limit_seconds = limit_seconds
        self._workflows = workflows
        self._effect_plans = effect_plans

    async def list_tools(self, _caller: Caller, agent: AgentName) -> list[Offer]:
        """Everything that `call_action` would admit, by name; raises NotFound."""
        return (await self._snapshots.get(agent)).tools()

    async def call_action(
        self,
        caller: Caller,
        agent: AgentName,
        action: str,
        value: Mapping[str, Any],
        remaining: float | None,
        oversize_to_file: bool = False,
        run: RunName | None = None,
        context: CallContext = NOTHING,
        dry_run: bool = False,
        expect_plan: str = "",
    ) -> Answer | Run:
        """Run an action for an agent; its run is on disk when this returns or raises what the action raised.

        `remaining` is what the caller still waits, in seconds. A call that is refused leaves no run. An output that is
        too large is stored with `oversize_to_file`. Of a workflow, and of an action that somebody has to approve, it is
        the run while it has not ended; `run` asks for it again. With `dry_run` nothing is written, and the answer has
        the plan; a call that is held to one by its digest, `expect_plan`, writes nothing else. Such calls raise as
        `EffectPlans.held_to` too, and Conflict NO_DRY_RUN.
        """
        name = ActionName.parse(action)
        offer = (await self._snapshots.get(agent)).admit(name)
        value = offer.input.admit(name, value)
        attached = offer.attached
        waits = attached.release.kind == WORKFLOW or name.action in attached.approvals or run is not None
        if dry_run or expect_plan:
            if waits:
                raise _no_dry_run(name)
            plan = _plan(agent, offer, oversize_to_file and not dry_run, context.check())
            return await self._run(caller, await self._planned(caller, plan, value, expect_plan), value, remaining)
        if waits:
            patience = None if remaining is None else max(0.0, remaining - ANSWER_SECONDS)
            return _answer_of(await self._workflows.call(caller, agent, offer, value, patience, run, context))
        return await self._run(caller, _plan(agent, offer, oversize_to_file, context.check()), value, remaining)

    async def offered(self, agent: AgentName, action: str, release: ReleaseName | None = None) -> Offer:
        """What a run that no agent asks for would run: what is attached, or of another release what would be.

        That has the settings of the attached one's installation, and of its grants what it asks. Raises as call_action.
        """
        name = ActionName.parse(action)
        offer = (await self._snapshots.get(agent)).admit(name)
        if release in (None, offer.attached.release.name):
            return offer
        capability = offer.attached.release.name.capability_name
        if release.capability_name != capability:  # whoever else has one of that id gets none of its secrets
            raise InvalidArgument({"release": f"is no release of {capability}"}, fix="name one of its own")
        other = await self._peers.registry.release(release)
        attached = replace(offer.attached, release=other)
        settings = _plan(agent, replace(offer, attached=attached)).settings
        configured = await self._peers.config.configured(settings) if settings else frozenset()
        other.check_settings(configured, attached.installation.installation)
        act, authority = other.action(name.action), other.asks.intersect(attached.grants)
        callees = await self._composition.of_nobody(agent.org, other)
        return Offer(name, act, InputCheck(act.input_schema), authority, attached, callees)

    async def call_for(
        self, caller: Caller, agent: AgentName, offer: Offer, value: Mapping[str, Any], occasion: Occasion
    ) -> Answer:
        """Run what is offered for an agent that did not ask; raises as call_action, with `run` in what ran."""
        return await self._run(caller, _plan(agent, offer), offer.input.admit(offer.name, value), None, occasion)

    async def rehearse(
        self, caller: Caller, plan: Plan, value: Mapping[str, Any], key: Callable[[RunName], str]
    ) -> EffectPlan:
        """The plan of a step of a workflow: of a dry run of its own, with the step's `key` under that run's name."""
        run = new_run_name(caller.org, self._clock.now())
        rehearsed = await self._planned(caller, plan, value, "")
        answer = await self._run(caller, rehearsed, value, None, Occasion(run, key(run)))
        assert answer.plan is not None
        return answer.plan

    async def held(self, caller: Caller, plan: Plan, value: Mapping[str, Any], digest: str) -> Plan:
        """A step of a workflow that is held to the plan of this digest; raises as `EffectPlans.held_to`."""
        return await self._planned(caller, plan, value, digest) if digest else plan

    async def test_action(
        self,
        caller: Caller,
        name: ReleaseName,
        action_id: str,
        value: Mapping[str, Any],
        settings: SettingsName | None,
        alone: Alone | None,
        remaining: float | None,
        taped: Taped | None = None,
    ) -> Answer:
        """Run an action of a release of the caller's org, a draft too, with all that it asks; raises as call_action.

        With `alone` it is one step of a flow, and the input may be any. With a cassette it needs no settings, and
        nothing that it calls; one that is recorded and failed is answered.
        """
        taped = taped or Taped()
        action_name = ActionName.parse(f"{name.capability}.{action_id}")
        if settings is not None and settings.org != name.org:
            raise NotFound("settings", settings)
        release = await self._peers.registry.release(name)
        action = release.action(action_id)
        if alone is None:
            value = InputCheck(action.input_schema).admit(action_name, value)
        callees: Callees
        if taped.cassette:
            settings, callees = None, tuple(map(_recorded, release.calls))
        else:
            configured = await self._peers.config.configured(settings) if settings else frozenset()
            release.check_settings(configured, settings.installation if settings else name.capability)
            callees = await self._composition.of_nobody(name.org, release)
        plan = Plan(
            action_name,
            None,
            release,
            action,
            release.asks,
            settings,
            None,
            Authority(),
            callees,
            alone=alone,
            taped=taped,
        )
        return await self._run(caller, plan, value, remaining)

    async def attempt(
        self,
        plan: Plan,
        run: RunName,
        value: Mapping[str, Any],
        check: Check,
        *,
        id: str,
        key: str,
        seconds: float | None,
        user: str,
    ) -> Ended:
        """Run one attempt of a step, which `id` names, for so many seconds, with a person's accounts.

        Nothing is recorded.

        `check` raises, at the last moment, when it is not to begin. Raises only for one that did not begin.
        """
        execution = await self.execution(plan, run, value, None, user)
        await check()
        limit = execution.wall_seconds if seconds is None else min(seconds, execution.wall_seconds)
        timeout = limit + QUEUE_SECONDS
        began = time.perf_counter()
        ended = await self._attempt(
            plan, replace(execution, id=id, idempotency_key=key, wall_seconds=limit, timeout=timeout, goes_on=True)
        )
        _duration.record(time.perf_counter() - began, _measured(plan, ended))
        return ended

    async def _planned(self, caller: Caller, plan: Plan, value: Mapping[str, Any], digest: str) -> Plan:
        """The call as a dry run, or held to the plan of this digest."""
        basis = await self._effect_plans.basis(plan, value, caller.user)
        if not digest:
            return replace(plan, rehearses=basis)
        return replace(plan, held_to=await self._effect_plans.held_to(caller, digest, basis))

    async def _run(
        self,
        caller: Caller,
        plan: Plan,
        value: Mapping[str, Any],
        remaining: float | None,
        occasion: Occasion | None = None,
    ) -> Answer:
        run = occasion.run if occasion else new_run_name(caller.org, self._clock.now())
        with tracer.start_as_current_span(f"execute_tool {plan.name}") as span:
            if span.is_recording():
                span.set_attributes(attributes(plan, run))
            given = occasion or Occasion(run, "")
            record, ended = await self._execute(caller, plan, value, remaining, given)
            made = _made(plan, ended)
            if made is not None and (made.effects or ended.error is None):
                await self._effect_plans.keep(caller, made)
                ended = replace(ended, error=None)  # it stands in the plan, which ends there
            await self._recorder.record(record)
            return replace(_answer(span, record.run, ended), plan=made, effects_left=ended.left)

    async def _execute(
        self, caller: Caller, plan: Plan, value: Mapping[str, Any], remaining: float | None, occasion: Occasion
    ) -> tuple[Record, Ended]:
        """Execute and say what is to be recorded; what the caller cancels is recorded here."""
        run = occasion.run
        execution = await self.execution(plan, run, value, remaining, caller.user)
        if occasion.key:
            execution = replace(execution, idempotency_key=occasion.key)
        started_at, started = self._clock.now(), time.perf_counter()
        counted_for = plan.counted_for if plan.rehearses is None else None  # it is no use of anything

        def record(ended: Ended) -> Record:
            seconds = time.perf_counter() - started
            made = _made(plan, ended) or plan.held_to
            _duration.record(seconds, _measured(plan, ended))
            return Record(
                Run(
                    name=run,
                    agent=plan.agent.agent if plan.agent else "",
                    action=str(plan.name),
                    release=plan.release.name,
                    state=ended.state,
                    failure=Failure.of(ended.error),
                    started_at=started_at,
                    duration_us=round(seconds * 1_000_000),
                    usage=ended.usage,
                    trace_id=trace_id(),
                    subject=caller.subject,
                    on_behalf_of=caller.on_behalf_of,
                    dry_run=plan.rehearses is not None,
                    plan=made.digest if made else "",
                    depth=occasion.depth,
                ),
                counted_for,
                exercised(plan.grants, ended.used),
                ended.steps,
                inside(plan.callees, ended.steps) if counted_for else (),
            )

        try:
            ended = await self._attempt(plan, execution)
        except asyncio.CancelledError:
            self._recorder.leave(record(Ended(RunState.CANCELLED, None, None, Usage())))
            raise
        return record(ended), ended

    async def _attempt(self, plan: Plan, execution: Execution) -> Ended:
        """Execute with remembered tickets, and once more with fresh ones when the executor refuses them."""
        try:
            ended = await self._peers.executor.execute(execution)
            if any(step.failure.reason == TICKET_INVALID for step in ended.steps):
                self._composition.drop(execution.run.org, plan.callees)
            return ended
        except Unauthenticated as error:
            if error.reason != TICKET_INVALID:
                raise
        self._tickets.drop(execution.run.org, plan.release.name, plan.settings)
        return await self._peers.executor.execute(await self._with_tickets(plan, execution))

    async def _with_tickets(self, plan: Plan, execution: Execution) -> Execution:
        return replace(
            execution,
            artifact_ticket=await self._tickets.artifact(execution.run.org, plan.release.name),
            lease_token=await self._tickets.lease(plan.settings, execution.user) if plan.settings else "",
            callees=await self._composition.allowed(execution.run.org, plan.callees, execution.user)
            if plan.callees
            else (),
        )

    async def execution(
        self, plan: Plan, run: RunName, value: Mapping[str, Any], remaining: float | None, user: str
    ) -> Execution:
        """What the executor is asked to do for somebody, with its tickets; raises as Tickets does."""
        limit, timeout = self._limit_seconds, self._limit_seconds + QUEUE_SECONDS
        if remaining is not None:
            timeout = max(SHORTEST_SECONDS, min(timeout, remaining - ANSWER_SECONDS))
            limit = min(limit, timeout)
        known = plan.known
        if plan.taped.cassette:
            files = Lent()
        else:
            files, value = await self._lending.lend(
                run, plan.action, plan.authority, value, known.files, saves=plan.oversize_to_file
            )
        execution = Execution(
            run=run,
            agent=str(plan.agent or ""),
            release=plan.release,
            action=plan.action,
            input=value,
            authority=plan.authority,
            artifact_ticket="",
            lease_token="",
            wall_seconds=limit,
            timeout=timeout,
            files=files,
            callers=plan.callers,
            idempotency_key=str(run),
            alone=plan.alone,
            oversize_to_file=plan.oversize_to_file,
            installation=plan.counted_for.installation if plan.counted_for else "",
            context=known,
            user=user,
            dry_run=plan.rehearses is not None,
            held_to=plan.held_to,
            taped=plan.taped,
        )
        return await self._with_tickets(plan, execution)


def _answer_of(workflow: Workflow) -> Answer | Run:
    run = workflow.run
    if run.state is RunState.SUCCEEDED:
        return Answer(to_value(workflow.output), run.name, run.release, run.usage, Authority())
    if run.state is RunState.CANCELLED:
        raise Cancelled(f"run {run.name} was cancelled", run=run.name)
    if run.state is RunState.FAILED:
        error = run.failure.error()
        error.metadata["run"] = str(run.name)
        raise error
    return run


def _plan(agent: AgentName, offer: Offer, oversize_to_file: bool = False, context: CallContext = NOTHING) -> Plan:
    attached, release = offer.attached, offer.attached.release
    installation = attached.installation
    settings = SettingsName(installation.org, installation.installation) if release.requirements else None
    return Plan(
        offer.name,
        agent,
        release,
        offer.action,
        offer.authority,
        settings,
        attached.counted_for,
        attached.grants,
        offer.callees,
        oversize_to_file=oversize_to_file,
        context=context,
    )


def _no_dry_run(name: ActionName) -> Conflict:
    return Conflict(
        f"{name} goes on by itself, or somebody has to approve it: a call of it can be neither dry nor held to a plan",
        reason="NO_DRY_RUN",
        fix="begin it: who approves a step of it can have the plan of that step made",
        action=name,
    )


def _made(plan: Plan, ended: Ended) -> EffectPlan | None:
    """The plan that a dry run has made, to the end or as far as it came."""
    return None if plan.rehearses is None else EffectPlan(plan.rehearses, ended.planned, Failure.of(ended.error))


def _answer(span: Span, run: Run, ended: Ended) -> Answer:
    span.set_attribute("hardpoint.state", run.state)
    if ended.error is not None:
        error: HardpointError = ended.error
        error.metadata["run"] = str(run.name)
        if not ended.cassette:
            raise error
    of = (ended.output, run.name, run.release, run.usage, ended.used, ended.output_in_file)
    return Answer(*of, error=ended.error, cassette=ended.cassette)


def _recorded(name: str) -> Refused:
    """What is called in a replay: only the cassette says what it gave."""
    return Refused(name, "REPLAY_DIVERGED", f"the cassette has no call of {name}", "")


def attributes(plan: Plan, run: RunName) -> dict[str, str]:
    """What the span of an execution says, by the conventions of OpenTelemetry where they have a word."""
    return {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": str(plan.name),
        "gen_ai.agent.id": str(plan.agent or ""),
        "hardpoint.capability": str(plan.release.name.capability_name),
        "hardpoint.version": plan.release.name.version,
        "hardpoint.run": str(run),
    }


def _measured(plan: Plan, ended: Ended) -> dict[str, str]:
    return {
        "hardpoint.capability": str(plan.release.name.capability_name),
        "hardpoint.action": plan.action.id,
        "hardpoint.state": ended.state,
    }
