"""Owns the call of an action: admitted, executed, recorded, answered.

A warm call touches no database but for the group commit of its run, and no peer but the executor: snapshot, lease and
artifact ticket are remembered.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from opentelemetry.trace import Span

from hardpoint_kit.auth import allows
from hardpoint_kit.caller import Caller
from hardpoint_kit.clock import Clock
from hardpoint_kit.documents import to_value
from hardpoint_kit.errors import Cancelled, Conflict, HardpointError, InvalidArgument, NotFound
from hardpoint_kit.names import AgentName, ReleaseName, RunName, SettingsName
from hardpoint_kit.telemetry import trace_id, tracer
from hardpoint_manifest.authority import Authority
from hardpoint_runtime.domain.actions import ActionName, InputCheck
from hardpoint_runtime.domain.callees import Callees, Refused
from hardpoint_runtime.domain.calls import Answer, Call, Occasion
from hardpoint_runtime.domain.context import NOTHING, CallContext
from hardpoint_runtime.domain.effects import EffectPlan
from hardpoint_runtime.domain.executions import Alone, Ended, Taped
from hardpoint_runtime.domain.grants import exercised
from hardpoint_runtime.domain.releases import WORKFLOW
from hardpoint_runtime.domain.runs import (
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
from hardpoint_runtime.service.executions import ANSWER_SECONDS, Executions, attributes
from hardpoint_runtime.service.recorder import Recorder
from hardpoint_runtime.service.recordings import Recordings, not_recorded
from hardpoint_runtime.service.rehearsals import Rehearsals
from hardpoint_runtime.service.shares import inside
from hardpoint_runtime.service.snapshots import Snapshots
from hardpoint_runtime.service.workflows import Workflows

CONNECT = "config.connections.write"
"""What config asks of who signs in for the org."""


class Calls:
    """What agents do with what is attached to them."""

    def __init__(
        self,
        snapshots: Snapshots,
        composition: Composition,
        executions: Executions,
        recorder: Recorder,
        peers: Peers,
        clock: Clock,
        workflows: Workflows,
        effect_plans: EffectPlans,
        recordings: Recordings,
        rehearsals: Rehearsals,
    ) -> None:
        self._snapshots = snapshots
        self._composition = composition
        self._executions = executions
        self._recorder = recorder
        self._peers = peers
        self._clock = clock
        self._workflows = workflows
        self._effect_plans = effect_plans
        self._recordings = recordings
        self._rehearsals = rehearsals

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
        record: bool = False,
    ) -> Answer | Run:
        """Run an action for an agent; its run is on disk when this returns or raises what the action raised.

        `remaining` is what the caller still waits, in seconds. A call that is refused leaves no run. An output that is
        too large is stored with `oversize_to_file`. Of a workflow, and of an action that somebody has to approve, it is
        the run while it has not ended; `run` asks for it again. With `dry_run` nothing is written, and the answer has
        the plan, of a workflow as far as its caller may see it; a call that is held to one by its digest,
        `expect_plan`, writes nothing else. Such calls raise as `EffectPlans.held_to` too, and Conflict NO_DRY_RUN.

        With `record` the answer has a cassette, or why there is none, of an action that failed too. Raises as
        `Recordings.check` then.
        """
        name = ActionName.parse(action)
        if record:
            self._recordings.check(caller, name, planned=dry_run or bool(expect_plan), stored=oversize_to_file)
        offer = (await self._snapshots.get(agent)).admit(name)
        value = offer.input.admit(name, value)
        attached = offer.attached
        waits = attached.release.kind == WORKFLOW or name.action in attached.approvals or run is not None
        if dry_run or expect_plan:
            if dry_run and attached.release.kind == WORKFLOW and name.action not in attached.approvals:
                return await self._rehearsals.rehearse(caller, agent, offer, value, remaining, context)
            if waits:
                raise _no_dry_run(name)
            call = Call.of_offer(agent, offer, oversize_to_file and not dry_run, context.check())
            return await self._run(caller, await self._planned(caller, call, value, expect_plan), value, remaining)
        if waits and record:
            raise not_recorded(
                name,
                "it goes on by itself, or somebody has to approve it",
                "record calls of the actions that its steps call, by an agent that calls them without an approval",
            )
        if waits:
            patience = None if remaining is None else max(0.0, remaining - ANSWER_SECONDS)
            return _answer_of(await self._workflows.call(caller, agent, offer, value, patience, run, context))
        call = Call.of_offer(agent, offer, oversize_to_file, context.check())
        if record:
            return await self._run_recorded(caller, call, value, remaining)
        return await self._run(caller, call, value, remaining)

    async def _run_recorded(
        self, caller: Caller, call: Call, value: Mapping[str, Any], remaining: float | None
    ) -> Answer:
        """Run a call with a tape; the audit log has it before it begins."""
        run = new_run_name(caller.org, self._clock.now())
        await self._recordings.begin(caller, run, call)
        taped = replace(call, taped=Taped(record=True))
        return await self._run(caller, taped, value, remaining, Occasion(run, ""))

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
        settings = Call.of_offer(agent, replace(offer, attached=attached)).settings
        configured = await self._peers.config.configured(settings) if settings else frozenset()
        other.check_settings(configured, attached.installation.installation)
        act, authority = other.action(name.action), other.asks.intersect(attached.grants)
        callees = await self._composition.of_nobody(agent.org, other)
        return Offer(name, act, InputCheck(act.input_schema), authority, attached, callees)

    async def call_for(
        self, caller: Caller, agent: AgentName, offer: Offer, value: Mapping[str, Any], occasion: Occasion
    ) -> Answer:
        """Run what is offered for an agent that did not ask; raises as call_action, with `run` in what ran."""
        return await self._run(
            caller, Call.of_offer(agent, offer), offer.input.admit(offer.name, value), None, occasion
        )

    async def rehearse(
        self, caller: Caller, call: Call, value: Mapping[str, Any], key: Callable[[RunName], str]
    ) -> EffectPlan:
        """The plan of a step of a workflow: of a dry run of its own, with the step's `key` under that run's name."""
        run = new_run_name(caller.org, self._clock.now())
        rehearsed = await self._planned(caller, call, value, "")
        answer = await self._run(caller, rehearsed, value, None, Occasion(run, key(run)))
        assert answer.plan is not None
        return answer.plan

    async def held(self, caller: Caller, call: Call, value: Mapping[str, Any], digest: str) -> Call:
        """A step of a workflow that is held to the plan of this digest; raises as `EffectPlans.held_to`."""
        return await self._planned(caller, call, value, digest) if digest else call

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
        nothing that it calls; one that is recorded and failed is answered. Raises what it cannot be recorded for, and
        Conflict NO_TEST for a workflow.
        """
        taped = taped or Taped()
        action_name = ActionName.parse(f"{name.capability}.{action_id}")
        if settings is not None and settings.org != name.org:
            raise NotFound("settings", settings)
        release = await self._peers.registry.release(name)
        action = release.action(action_id)
        if release.kind == WORKFLOW:
            raise Conflict(
                f"{action_name} is a workflow: it is begun and goes on by itself, so no test runs it",
                reason="NO_TEST",
                fix="give its examples the answers of its steps, and run them where its file is: hardpoint test FILE",
                action=action_name,
            )
        if alone is None:
            value = InputCheck(action.input_schema).admit(action_name, value)
        callees: Callees
        if taped.cassette:
            settings, callees = None, tuple(map(_recorded, release.calls))
        else:
            configured = await self._peers.config.configured(settings) if settings else frozenset()
            release.check_settings(configured, settings.installation if settings else name.capability)
            callees = await self._composition.of_nobody(name.org, release)
        call = Call(
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
        answer = await self._run(caller, call, value, remaining)
        if answer.unrecorded is not None:
            answer.unrecorded.metadata["run"] = str(answer.run)
            raise answer.unrecorded
        return answer

    async def _planned(self, caller: Caller, call: Call, value: Mapping[str, Any], digest: str) -> Call:
        """The call as a dry run, or held to the plan of this digest."""
        basis = await self._effect_plans.basis(call, value, caller.user)
        if not digest:
            return replace(call, rehearses=basis)
        return replace(call, held_to=await self._effect_plans.held_to(caller, digest, basis))

    async def _run(
        self,
        caller: Caller,
        call: Call,
        value: Mapping[str, Any],
        remaining: float | None,
        occasion: Occasion | None = None,
    ) -> Answer:
        run = occasion.run if occasion else new_run_name(caller.org, self._clock.now())
        with tracer.start_as_current_span(f"execute_tool {call.name}") as span:
            if span.is_recording():
                span.set_attributes(attributes(call, run))
            given = occasion or Occasion(run, "")
            record, ended = await self._execute(caller, call, value, remaining, given)
            made = call.made(ended)
            if made is not None and (made.effects or ended.error is None):
                await self._effect_plans.keep(caller, made)
                ended = replace(ended, error=None)  # it stands in the plan, which ends there
            await self._recorder.record(record)
            return replace(_answer(span, record.run, ended), plan=made, effects_left=ended.left)

    async def _execute(
        self, caller: Caller, call: Call, value: Mapping[str, Any], remaining: float | None, occasion: Occasion
    ) -> tuple[Record, Ended]:
        """Execute and say what is to be recorded; what the caller cancels is recorded here."""
        run = occasion.run
        execution = await self._executions.of(call, run, value, remaining, caller.user, _signer(caller))
        if occasion.key:
            execution = replace(execution, idempotency_key=occasion.key)
        started_at, started = self._clock.now(), time.perf_counter()
        counted_for = call.counted_for if call.rehearses is None else None  # it is no use of anything

        def record(ended: Ended) -> Record:
            made = call.made(ended) or call.held_to
            return Record(
                Run(
                    name=run,
                    agent=call.agent.agent if call.agent else "",
                    action=str(call.name),
                    release=call.release.name,
                    state=ended.state,
                    failure=Failure.of(ended.error),
                    started_at=started_at,
                    duration_us=round((time.perf_counter() - started) * 1_000_000),
                    usage=ended.usage,
                    trace_id=trace_id(),
                    subject=caller.subject,
                    on_behalf_of=caller.on_behalf_of,
                    dry_run=call.rehearses is not None,
                    plan=made.digest if made else "",
                    depth=occasion.depth,
                    recorded=bool(ended.cassette),
                    root=occasion.root,
                ),
                counted_for,
                exercised(call.grants, ended.used),
                ended.steps,
                inside(call.callees, ended.steps) if counted_for else (),
                ended.logs,
                occasion.told,
            )

        try:
            ended = await self._executions.run(call, execution)
        except asyncio.CancelledError:
            self._recorder.leave(record(Ended(RunState.CANCELLED, None, None, Usage())))
            raise
        return record(ended), ended


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


def _signer(caller: Caller) -> str:
    """Who may be shown where the org signs in: a person or program that asks for itself and may end that, else nobody.

    No unit of ours, which acts for somebody of whom it knows no role.
    """
    may = not caller.is_service and not caller.on_behalf_of and allows(caller.roles, CONNECT)
    return caller.subject if may else ""


def _no_dry_run(name: ActionName) -> Conflict:
    return Conflict(
        f"{name} is a workflow, or somebody has to approve it: no call of it is held to a plan, and what has to be "
        "approved is run dry for those alone who may do that",
        reason="NO_DRY_RUN",
        fix="begin it: who approves a step of it can have the plan of that step made",
        action=name,
    )


def _answer(span: Span, run: Run, ended: Ended) -> Answer:
    span.set_attribute("hardpoint.state", run.state)
    if ended.error is not None:
        error: HardpointError = ended.error
        error.metadata["run"] = str(run.name)
        if not ended.cassette and ended.unrecorded is None:
            raise error
    of = (ended.output, run.name, run.release, run.usage, ended.used, ended.output_in_file)
    return Answer(*of, error=ended.error, cassette=ended.cassette, unrecorded=ended.unrecorded)


def _recorded(name: str) -> Refused:
    """What is called in a replay: only the cassette says what it gave."""
    return Refused(name, "REPLAY_DIVERGED", f"the cassette has no call of {name}", "")
