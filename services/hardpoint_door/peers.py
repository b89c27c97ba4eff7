"""The door's view of the runtime, which says what to answer."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

import grpc.aio

from hardpoint.runtime.v1 import trigger_pb2, trigger_pb2_grpc
from hardpoint_door.domain import Said

DELIVER_SECONDS = 8.0


class Runtime(Protocol):
    """Who takes deliveries."""

    async def deliver(self, token: str, headers: Mapping[str, str], body: bytes, at: datetime) -> Said:
        """Hand over what was posted; raises HardpointError when nobody could say what to answer."""


class GrpcRuntime:
    """The runtime's unit."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = trigger_pb2_grpc.TriggerServiceStub(channel)

    async def deliver(self, token: str, headers: Mapping[str, str], body: bytes, at: datetime) -> Said:
        """See Runtime."""
        request = trigger_pb2.DeliverRequest(token=token, headers=headers, body=body, receive_time=at)
        answer = await self._stub.Deliver(request, timeout=DELIVER_SECONDS)
        return Said(answer.status, answer.body, answer.content_type, answer.retry_after)
