"""The runtime's view of the executor: it runs an action once, or says that it did not begin."""

import asyncio
import contextlib
from typing import Protocol

import grpc.aio

from hardpoint.executor.v1 import executor_pb2, executor_pb2_grpc
from hardpoint_kit.errors import DeadlineExceeded, HardpointError, Internal, Unavailable
from hardpoint_runtime.domain.executions import Ended, Execution
from hardpoint_runtime.domain.runs import RunState, Usage
from hardpoint_runtime.peers.execution import ended_of, request_of

REACH_SECONDS = 0.8


class Executor(Protocol):
    """What runs actions."""

    async def execute(self, execution: Execution) -> Ended:
        """Run an action once and say how it ended; cancelling kills it.

        Raises only for an execution that did not begin: Unavailable NO_EXECUTOR within a second, ResourceExhausted
        QUEUE_FULL, Unauthenticated TICKET_INVALID.
        """


class GrpcExecutor:
    """The executor's unit."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self._stub = executor_pb2_grpc.ExecutorServiceStub(channel)

    async def execute(self, execution: Execution) -> Ended:
        """See Executor."""
        request = executor_pb2.ExecuteToEndRequest(execution=request_of(execution))
        await self._reach()
        try:
            response = await self._stub.ExecuteToEnd(request, timeout=execution.timeout)
        except HardpointError as error:
            if error.from_transport or isinstance(error, Internal):
                return _lost(error)
            raise
        return ended_of(response.finished)

    async def _reach(self) -> None:
        """Wait for a connection that is being made, but not long; raises Unavailable NO_EXECUTOR."""
        state = self._channel.get_state(try_to_connect=True)
        if state is grpc.ChannelConnectivity.READY:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REACH_SECONDS):
                while state in (grpc.ChannelConnectivity.IDLE, grpc.ChannelConnectivity.CONNECTING):
                    await self._channel.wait_for_state_change(state)
                    state = self._channel.get_state(try_to_connect=True)
        if state is not grpc.ChannelConnectivity.READY:
            raise _no_executor()


def _no_executor() -> Unavailable:
    return Unavailable(
        "no executor can be reached",
        reason="NO_EXECUTOR",
        fix="try again; if it persists, start an executor",
        retry_after=1.0,
    )


def _lost(error: HardpointError) -> Ended:
    if isinstance(error, DeadlineExceeded):
        error = DeadlineExceeded("the action did not end in time", reason="TIMEOUT", fix="allow the call more time")
    else:
        error = Unavailable(
            "the executor was lost while the action ran", fix="it may have taken effect: look before you repeat it"
        )
    return Ended(RunState.FAILED, None, error, Usage())
