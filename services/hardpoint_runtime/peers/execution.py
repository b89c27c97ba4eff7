"""An execution as the executor's messages: what is asked, and how it ended."""

from dataclasses import dataclass, field, fields, replace
from datetime import UTC
from functools import lru_cache

from hardpoint.executor.v1 import executor_pb2
from hardpoint.manifest.v1 import context_pb2, manifest_pb2
from hardpoint_kit.documents import from_struct, to_struct, to_value
from hardpoint_kit.errors import InvalidArgument
from hardpoint_kit.names import OrgName, ReleaseName
from hardpoint_kit.rpc.status import from_status, to_status
from hardpoint_manifest.authority import Authority
from hardpoint_runtime.domain.callees import Refused
from hardpoint_runtime.domain.context import NOTHING, CallContext
from hardpoint_runtime.domain.effects import Circumstances, Effect, EffectPlan
from hardpoint_runtime.domain.executions import Allowed, Ended, Execution, Lent
from hardpoint_runtime.domain.releases import Action, Release
from hardpoint_runtime.domain.runs import Failure, Inner, LogLine, RunState, Usage

STANDING_REQUESTS = 1024
SHARING = "run"
"""Of actions, kept ready."""

_EFFECT = ("digest", "path", "release", "action", "service", "operation", "target", "lane")
_USAGE = tuple(field.name for field in fields(Usage))
_STATES = {
    executor_pb2.OUTCOME_OK: RunState.SUCCEEDED,
    executor_pb2.OUTCOME_CANCELLED: RunState.CANCELLED,
}


@dataclass(frozen=True, slots=True)
class _Standing:
    """What every execution of an action under one authority asks; a digest tells it apart from other content."""

    name: ReleaseName
    digest: str
    action_id: str
    authority: Authority
    called: bool
    release: Release = field(compare=False)
    action: Action = field(compare=False)


def request_of(execution: Execution) -> executor_pb2.ExecuteRequest:
    release, action = execution.release, execution.action
    request = executor_pb2.ExecuteRequest(
        org=str(OrgName(execution.run.org)),
        execution_id=execution.id or execution.run.run,
        artifact_ticket=execution.artifact_ticket,
        lease_token=execution.lease_token,
        limits=manifest_pb2.Limits(wall_seconds=execution.wall_seconds),
        files_ticket=_lent(execution.files) if execution.files.ticket else None,
        agent=execution.agent,
        run=str(execution.run),
        idempotency_key=execution.idempotency_key,
        oversize_to_file=execution.oversize_to_file,
        dry_run=execution.dry_run,
        held_to=_held_to(execution.held_to) if execution.held_to else None,
        sharing=_sharing(release, str(execution.run), execution.installation, execution.goes_on),
        record=execution.taped.record,
        cassette=execution.taped.cassette,
        single_use=execution.single_use,
        shared_runs=execution.shared_runs,
    )
    if execution.alone is not None:
        request.step = execution.alone.step
        request.pinned.CopyFrom(to_struct(execution.alone.pinned))
    if execution.context is not NOTHING:
        request.context.CopyFrom(_context(execution.context))
        request.context_files.extend(executor_pb2.FileHandle(**handle) for handle in execution.files.known)
    standing = _Standing(release.name, release.digest, action.id, execution.authority, False, release, action)
    request.MergeFrom(_standing(standing))
    request.callees.extend(_callee(callee, request, execution.goes_on) for callee in execution.callees)
    request.callers.extend(
        executor_pb2.Calling(
            release=str(caller.release), authority=_authority(caller.authority), asked=_authority(caller.asks)
        )
        for caller in execution.callers
    )
    try:
        request.input.CopyFrom(to_struct(execution.input))
    except ValueError as error:
        raise InvalidArgument({"input": str(error)}, reason="INPUT_INVALID") from None
    return request


def _context(known: CallContext) -> context_pb2.CallContext:
    """What the agent knows, less its files."""
    user, conversation = known.user, known.conversation
    return context_pb2.CallContext(
        user=None if user is None else context_pb2.User(**user),
        conversation=None
        if conversation is None
        else context_pb2.Conversation(
            id=conversation.get("id", ""),
            messages=[context_pb2.ConversationMessage(**message) for message in conversation["messages"]],
        ),
    )


def _held_to(plan: EffectPlan) -> manifest_pb2.EffectPlan:
    """A plan as the executor keeps to it; each digest stands for the arguments."""
    met = plan.circumstances
    return manifest_pb2.EffectPlan(
        effects=[
            manifest_pb2.PlannedEffect(**{name: getattr(effect, name) for name in _EFFECT}) for effect in plan.effects
        ],
        circumstances=None
        if met is None
        else manifest_pb2.Circumstances(
            at=met.at,
            seed=met.seed,
            answers=[manifest_pb2.ModelAnswer(question=question, answer=answer) for question, answer in met.answers],
        ),
    )


def _circumstances(finished: executor_pb2.Finished) -> Circumstances | None:
    if not finished.HasField("circumstances"):
        return None
    met = finished.circumstances
    return Circumstances(
        met.at.ToDatetime(tzinfo=UTC), met.seed, tuple((one.question, one.answer) for one in met.answers)
    )


def _effect(effect: manifest_pb2.PlannedEffect) -> Effect:
    told = {name: getattr(effect, name) for name in _EFFECT}
    return Effect(**told, arguments=from_struct(effect.arguments))


def _lent(lent: Lent) -> executor_pb2.FilesTicket:
    return executor_pb2.FilesTicket(
        ticket=lent.ticket, files=[executor_pb2.FileHandle(**handle) for handle in lent.handles]
    )


def _callee(given: Allowed | Refused, whole: executor_pb2.ExecuteRequest, goes_on: bool) -> executor_pb2.Callee:
    if isinstance(given, Refused):
        return executor_pb2.Callee(action=given.name, refusal=to_status(given.error))
    callee = given.callee
    release, action = callee.installed.release, callee.action
    execution = executor_pb2.ExecuteRequest(
        org=whole.org,
        execution_id=whole.execution_id,
        artifact_ticket=given.artifact_ticket,
        lease_token=given.lease_token,
        agent=whole.agent,
        run=whole.run,
        sharing=_sharing(release, whole.run, callee.installed.counted_for.installation, goes_on),
        single_use=whole.single_use,
        shared_runs=whole.shared_runs,
    )
    execution.MergeFrom(
        _standing(_Standing(release.name, release.digest, action.id, callee.authority, True, release, action))
    )
    execution.callees.extend(_callee(inner, whole, goes_on) for inner in given.callees)
    return executor_pb2.Callee(action=callee.name, execution=execution, installation=str(callee.installed.name))


def _sharing(release: Release, run: str, installation: str, goes_on: bool) -> executor_pb2.Sharing | None:
    """Which executions may share a jail, of a release that asks for it; an older executor takes no notice of it."""
    if release.isolation != SHARING:
        return None
    return executor_pb2.Sharing(run=run, installation=installation, goes_on=goes_on)


def _authority(authority: Authority) -> manifest_pb2.Authority:
    return manifest_pb2.Authority(permissions=sorted(authority.permissions), hosts=sorted(authority.hosts))


@lru_cache(STANDING_REQUESTS)
def _standing(given: _Standing) -> executor_pb2.ExecuteRequest:
    release, action = given.release, given.action
    return executor_pb2.ExecuteRequest(
        release=str(release.name),
        digest=release.digest,
        filename=release.filename,
        action=manifest_pb2.Action(
            id=action.id,
            name=action.name,
            # Nobody but the executor can check the input of what is called from inside.
            input_schema=to_struct(action.input_schema) if given.called else None,
            output_schema=to_struct(action.output_schema),
            effect=f"EFFECT_{action.effect}",
            idempotent=action.idempotent,
        ),
        authority=_authority(given.authority),
        requirements=[
            manifest_pb2.Requirement(
                key=requirement.key,
                type=requirement.type,
                required=requirement.required,
                default_value=None if requirement.default is None else to_value(requirement.default),
                hosts=requirement.hosts,
                pointer=requirement.pointer,
            )
            for requirement in release.requirements
        ],
        engine=release.engine,
        libraries=release.libraries,
        isolation="" if release.isolation == SHARING else release.isolation,
        asked=_authority(release.asks),
    )


def ended_of(finished: executor_pb2.Finished) -> Ended:
    state = _STATES.get(finished.outcome, RunState.FAILED)
    usage = _usage(finished.usage)
    used = Authority(frozenset(finished.used_permissions), frozenset(finished.used_hosts))
    steps = tuple(map(_inner, finished.steps))
    ended = Ended(
        state,
        None,
        None,
        usage,
        used,
        steps,
        planned=tuple(map(_effect, finished.planned)),
        left=finished.effects_left,
        cassette=finished.cassette,
        unrecorded=from_status(finished.unrecorded) if finished.HasField("unrecorded") else None,
        logs=tuple(LogLine.of(one.level, one.message) for one in finished.logs),
        circumstances=_circumstances(finished),
    )
    if state is RunState.SUCCEEDED:
        return replace(ended, output=finished.output, output_in_file=finished.output_in_file)
    error = from_status(finished.error)
    # It tells what the action did, and is not about the call that we made.
    error.from_peer = False
    return replace(ended, error=error)


def _usage(usage: manifest_pb2.Usage) -> Usage:
    return Usage(*(getattr(usage, field) for field in _USAGE))


def _inner(step: executor_pb2.InnerStep) -> Inner:
    state = _STATES.get(step.outcome, RunState.FAILED)
    return Inner(
        step.id,
        step.action,
        ReleaseName.parse(step.release),
        state,
        Failure() if state is RunState.SUCCEEDED else Failure.of(from_status(step.error)),
        step.start_time.ToDatetime(tzinfo=UTC),
        round(step.duration_ms * 1000),
        _usage(step.usage),
        step.installation,
        Authority(frozenset(step.used.permissions), frozenset(step.used.hosts)),
    )
