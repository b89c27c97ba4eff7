"""The executor's gRPC shell: unpack, call, pack."""

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import asdict, fields, replace
from datetime import UTC
from functools import lru_cache
from typing import Any

import grpc.aio
from google.protobuf.struct_pb2 import Struct

from hardpoint.executor.v1 import executor_pb2, executor_pb2_grpc
from hardpoint.manifest.v1 import manifest_pb2
from hardpoint_executor.domain import (
    UNKNOWN,
    Artifact,
    Callee,
    Calling,
    Event,
    Execution,
    Finished,
    InnerStep,
    Known,
    Lent,
    Limits,
    Log,
    Progress,
    Requirement,
    Sharing,
    Started,
    Usage,
)
from hardpoint_executor.runners.offer import Engines
from hardpoint_executor.service import Executor
from hardpoint_executor.taping import cassette_of
from hardpoint_executor.writes import Circumstances, Effect, Ledger, Writes
from hardpoint_kit.caller import caller
from hardpoint_kit.documents import from_struct, from_value, to_struct, to_value
from hardpoint_kit.names import OrgName
from hardpoint_kit.rpc.status import from_status, to_status
from hardpoint_manifest.authority import Authority
from hardpoint_manifest.engine import LIBRARIES
from hardpoint_manifest.handles import present
from hardpoint_manifest.inputs import InputSchema

Context = grpc.aio.ServicerContext[Any, Any]

KEPT_SCHEMAS = 1024
_USAGE = tuple(field.name for field in fields(Usage))


class ExecutorRpc(executor_pb2_grpc.ExecutorServiceServicer):
    """ExecutorService over an Executor."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def Execute(
        self, request: executor_pb2.ExecuteRequest, context: Context
    ) -> AsyncIterator[executor_pb2.ExecuteResponse]:
        """Run an action, telling what happens."""
        # Closed here and now: a call that ends while an event is being sent must not wait for the garbage collector.
        async with aclosing(self._executor.execute(caller(context), execution_from_proto(request))) as events:
            async for event in events:
                yield event_to_proto(event)

    async def ExecuteToEnd(
        self, request: executor_pb2.ExecuteToEndRequest, context: Context
    ) -> executor_pb2.ExecuteToEndResponse:
        """Run an action and say how it ended."""
        finished = await self._executor.execute_to_end(caller(context), execution_from_proto(request.execution))
        return executor_pb2.ExecuteToEndResponse(finished=finished_to_proto(finished))

    async def CancelExecution(
        self, request: executor_pb2.CancelExecutionRequest, context: Context
    ) -> executor_pb2.CancelExecutionResponse:
        """Kill a running execution."""
        await self._executor.cancel(caller(context), OrgName.parse(request.org).org, request.execution_id)
        return executor_pb2.CancelExecutionResponse()

    async def ReadHeader(
        self, request: executor_pb2.ReadHeaderRequest, context: Context
    ) -> executor_pb2.ReadHeaderResponse:
        """Say what a code file exports."""
        header = await self._executor.read_header(caller(context), request.filename, request.source)
        return executor_pb2.ReadHeaderResponse(header=to_struct(header))

    async def ReadEngines(
        self, _request: executor_pb2.ReadEnginesRequest, context: Context
    ) -> executor_pb2.ReadEnginesResponse:
        """Say what code may ask for."""
        return engines_to_proto(await self._executor.read_engines(caller(context)))


def execution_from_proto(request: executor_pb2.ExecuteRequest) -> Execution:
    """Read what is asked; raises InvalidArgument for a malformed name."""
    callers = tuple(
        Calling(caller.release, _authority(caller.authority), _authority(caller.asked)) for caller in request.callers
    )
    execution = Execution(
        org=OrgName.parse(request.org, "org").org,
        id=request.execution_id,
        release=request.release,
        artifact=Artifact(request.digest, request.filename, request.artifact_ticket),
        action=request.action.id,
        output_schema=_schema(request.action.output_schema.SerializeToString()),
        input=from_struct(request.input),
        authority=_authority(request.authority),
        lease_token=request.lease_token,
        requirements=tuple(map(_requirement, request.requirements)),
        limits=Limits(
            request.limits.wall_seconds,
            request.limits.memory_bytes,
            request.limits.output_bytes,
            request.limits.log_bytes,
            request.limits.broker_calls,
        ),
        agent=request.agent,
        run=request.run,
        engine=request.engine,
        libraries=tuple(request.libraries),
        strict=request.isolation == "strict",
        single_use=request.single_use,
        files=Lent(request.files_ticket.ticket, tuple(map(_handle, request.files_ticket.files))),
        oversize_to_file=request.oversize_to_file,
        asked=_authority(request.asked),
        idempotency_key=request.idempotency_key,
        callees={callee.action: callee_from_proto(callee) for callee in request.callees},
        step=request.step,
        pinned=from_struct(request.pinned),
        sharing=_sharing(request.sharing) if request.HasField("sharing") else None,
        shared_runs=request.shared_runs,
        known=_known(request) if request.HasField("context") or request.context_files else UNKNOWN,
        record=request.record,
        cassette=cassette_of(request.cassette) if request.cassette else None,
    )
    if request.dry_run or request.HasField("held_to"):
        met = circumstances_from_proto(request.held_to) if request.held_to.HasField("circumstances") else None
        expected = map(effect_from_proto, request.held_to.effects)
        ledger = Ledger(dry_run=request.dry_run, expected=expected, circumstances=met)
        execution = replace(execution, writes=Writes(ledger))
    return execution.on_behalf(callers) if callers else execution


def effect_from_proto(e: manifest_pb2.PlannedEffect) -> Effect:
    """Read what may be written; its digest stands for its arguments."""
    return Effect(e.lane, e.path, e.release, e.action, e.service, e.operation, e.target, digest=e.digest)


def circumstances_from_proto(plan: manifest_pb2.EffectPlan) -> Circumstances:
    """Read what the dry run met that made a plan."""
    met = plan.circumstances
    answered = tuple((one.question, one.answer) for one in met.answers)
    return Circumstances(met.at.ToDatetime(tzinfo=UTC), met.seed, answered)


def circumstances_to_proto(met: Circumstances) -> manifest_pb2.Circumstances:
    """Write what a dry run met."""
    answers = (manifest_pb2.ModelAnswer(question=question, answer=answer) for question, answer in met.answered)
    return manifest_pb2.Circumstances(at=met.at, seed=met.seed, answers=answers)


def effect_to_proto(effect: Effect) -> manifest_pb2.PlannedEffect:
    """Write what a dry run came to."""
    return manifest_pb2.PlannedEffect(
        digest=effect.digest,
        path=effect.path,
        release=effect.release,
        action=effect.action,
        service=effect.service,
        operation=effect.operation,
        target=effect.target,
        arguments=to_struct(effect.arguments),
        lane=effect.lane,
    )


def callee_from_proto(callee: executor_pb2.Callee) -> Callee:
    """Read what may be called."""
    if callee.HasField("refusal"):
        return Callee(callee.action, refusal=from_status(callee.refusal))
    execution = replace(execution_from_proto(callee.execution), installation=callee.installation)
    action = callee.execution.action
    return Callee(
        callee.action,
        execution,
        _inputs(action.input_schema.SerializeToString()),
        repeatable=action.idempotent or action.effect == manifest_pb2.EFFECT_READ,
    )


def _requirement(r: manifest_pb2.Requirement) -> Requirement:
    return Requirement(
        r.key, r.type == "secret", from_value(r.default_value), frozenset(r.hosts), r.pointer, r.required
    )


def _authority(authority: manifest_pb2.Authority) -> Authority:
    return Authority(frozenset(authority.permissions), frozenset(authority.hosts))


def _known(request: executor_pb2.ExecuteRequest) -> Known:
    given = request.context
    messages = [{"role": message.role, "text": message.text} for message in given.conversation.messages]
    return Known(
        {field.name: value for field, value in given.user.ListFields()} or None,
        {**({"id": given.conversation.id} if given.conversation.id else {}), "messages": messages}
        if given.HasField("conversation")
        else None,
        tuple(map(_handle, request.context_files)),
    )


@lru_cache(KEPT_SCHEMAS)
def _inputs(written: bytes) -> InputSchema:
    return InputSchema(present(from_struct(Struct.FromString(written))))


def _sharing(sharing: executor_pb2.Sharing) -> Sharing:
    return Sharing(sharing.run, sharing.installation, sharing.goes_on)


def _handle(file: executor_pb2.FileHandle) -> Mapping[str, Any]:
    until = {"expire_time": file.expire_time} if file.expire_time else {}
    return {"id": file.id, "name": file.name, "type": file.type, "size": file.size, **until}


@lru_cache(KEPT_SCHEMAS)
def _schema(written: bytes) -> Mapping[str, Any]:
    """The same for every call of an action, so it is not read anew for each."""
    schema: Mapping[str, Any] = present(from_struct(Struct.FromString(written)))
    return schema


def engines_to_proto(found: Engines) -> executor_pb2.ReadEnginesResponse:
    """Write what is offered."""
    return executor_pb2.ReadEnginesResponse(
        engines=[executor_pb2.Engine(**asdict(engine)) for engine in found.engines],
        libraries=[
            executor_pb2.Library(
                id=layer.name,
                version=layer.version,
                about=LIBRARIES[layer.name].about,
                needs=layer.needs,
                disk_bytes=layer.disk_bytes,
                import_ms=layer.import_ms,
                resident_bytes=layer.resident_bytes,
                address_bytes=layer.address_bytes,
            )
            for layer in found.libraries
        ],
    )


def event_to_proto(event: Event) -> executor_pb2.ExecuteResponse:
    """Write what happened."""
    match event:
        case Started():
            return executor_pb2.ExecuteResponse(started=executor_pb2.Started(runner=event.runner))
        case Log():
            return executor_pb2.ExecuteResponse(log=log_to_proto(event))
        case Progress():
            progress = executor_pb2.Progress(fraction=event.fraction, message=event.message)
            return executor_pb2.ExecuteResponse(progress=progress)
        case Finished():
            return executor_pb2.ExecuteResponse(finished=finished_to_proto(event))


def log_to_proto(log: Log) -> executor_pb2.Log:
    """Write a line that was logged."""
    return executor_pb2.Log(level=log.level, message=log.message)


def finished_to_proto(finished: Finished) -> executor_pb2.Finished:
    """Write how it ended."""
    return executor_pb2.Finished(
        outcome=getattr(executor_pb2, f"OUTCOME_{finished.outcome.name}"),
        output=None if finished.error else to_value(finished.output),
        error=to_status(finished.error) if finished.error else None,
        usage=manifest_pb2.Usage(**{name: getattr(finished.usage, name) for name in _USAGE}),
        used_permissions=sorted(finished.used.permissions),
        used_hosts=sorted(finished.used.hosts),
        steps=map(step_to_proto, finished.steps),
        output_in_file=finished.output_in_file,
        planned=map(effect_to_proto, finished.planned),
        effects_left=finished.left,
        circumstances=circumstances_to_proto(finished.circumstances) if finished.circumstances else None,
        cassette=finished.cassette,
        unrecorded=to_status(finished.unrecorded) if finished.unrecorded else None,
        logs=map(log_to_proto, finished.logs),
    )


def step_to_proto(step: InnerStep) -> executor_pb2.InnerStep:
    """Write what ran inside."""
    return executor_pb2.InnerStep(
        id=step.path,
        action=step.action,
        release=step.release,
        outcome=getattr(executor_pb2, f"OUTCOME_{step.outcome.name}"),
        error=to_status(step.error) if step.error else None,
        usage=manifest_pb2.Usage(**{name: getattr(step.usage, name) for name in _USAGE}),
        start_time=step.started_at,
        duration_ms=step.duration_ms,
        installation=step.installation,
        used=manifest_pb2.Authority(permissions=sorted(step.used.permissions), hosts=sorted(step.used.hosts)),
    )
