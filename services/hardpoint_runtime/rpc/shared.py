"""Owns the messages that several of the runtime's services answer with, and how a list request is read."""

from collections.abc import Iterable
from dataclasses import asdict, fields
from typing import Any, Protocol, TypeAlias

import grpc.aio
from google.protobuf.message import Message

from hardpoint.manifest.v1 import context_pb2, manifest_pb2
from hardpoint.runtime.v1 import counters_pb2
from hardpoint_kit.documents import to_struct, to_value
from hardpoint_kit.paging import query_fingerprint
from hardpoint_manifest.authority import Authority
from hardpoint_runtime.domain.context import NOTHING, CallContext
from hardpoint_runtime.domain.counters import Counters
from hardpoint_runtime.domain.effects import EffectPlan
from hardpoint_runtime.domain.paging import Window
from hardpoint_runtime.domain.releases import Requirement
from hardpoint_runtime.domain.runs import Usage

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class ListRequest(Protocol):
    """What every list request has."""

    page_size: int
    page_token: str


_USAGE = tuple(field.name for field in fields(Usage))


def window(request: Message, page: ListRequest) -> Window:
    """Read which part of the list a request asks for; `page` is the request itself."""
    return Window.of(page.page_size, page.page_token, query_fingerprint(request))


def counters_to_proto(counters: Counters) -> counters_pb2.Counters:
    """Write counters."""
    return counters_pb2.Counters(
        execution_count=counters.executions,
        error_count=counters.errors,
        usage_count=counters.usages,
        average_execution_time_ms=counters.average_ms,
        success_rate=counters.success_rate,
        last_used=counters.last_used,
    )


def authority_to_proto(authority: Authority) -> manifest_pb2.Authority:
    """Write an authority in its one order."""
    return manifest_pb2.Authority(permissions=sorted(authority.permissions), hosts=sorted(authority.hosts))


def requirements_to_proto(requirements: Iterable[Requirement]) -> list[manifest_pb2.Requirement]:
    """Write requirements."""
    return [
        manifest_pb2.Requirement(
            key=requirement.key,
            label=requirement.label,
            type=requirement.type,
            required=requirement.required,
            default_value=None if requirement.default is None else to_value(requirement.default),
            description=requirement.description,
            help_url=requirement.help_url,
            hosts=requirement.hosts,
            pointer=requirement.pointer,
        )
        for requirement in requirements
    ]


def context_from_proto(given: context_pb2.CallContext) -> CallContext:
    """Read what an agent knows: of each part what was said, nothing where nothing was."""
    if not given.ByteSize():
        return NOTHING
    messages = [{"role": message.role, "text": message.text} for message in given.conversation.messages]
    return CallContext(
        {field.name: value for field, value in given.user.ListFields()} or None,
        {**({"id": given.conversation.id} if given.conversation.id else {}), "messages": messages}
        if given.HasField("conversation")
        else None,
        tuple(given.files),
    )


def usage_to_proto(usage: Usage) -> manifest_pb2.Usage:
    """Write what an execution used."""
    return manifest_pb2.Usage(**{name: getattr(usage, name) for name in _USAGE})


def plan_to_proto(plan: EffectPlan) -> manifest_pb2.EffectPlan:
    """Write what would be written."""
    return manifest_pb2.EffectPlan(
        digest=plan.digest,
        effects=[
            manifest_pb2.PlannedEffect(**{**asdict(effect), "arguments": to_struct(effect.arguments)})
            for effect in plan.effects
        ],
        incomplete=bool(plan.failure.reason),
        reason=plan.failure.reason,
        message=plan.failure.message,
        place=plan.failure.place,
        steps=[
            manifest_pb2.PlannedStep(
                path=step.path,
                action=step.action,
                outcome=f"OUTCOME_{step.outcome}",
                needs=step.needs,
                message=step.message,
            )
            for step in plan.steps
        ],
    )
