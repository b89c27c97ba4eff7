"""Owns a call from its words to its outcome, with one engine: checked, given a process, held a conversation with."""

import re
from typing import Any, Generic, Protocol, TypeVar

from hardpoint_executor.limits import seconds, whole
from hardpoint_kit.errors import InvalidArgument, Unavailable

from . import frames
from .conversation import Conversation
from .interface import (
    DESCRIBE_LIMITS,
    ClosedDoor,
    Door,
    JailCall,
    Limits,
    OnEvent,
    Outcome,
    OutcomeKind,
    Taken,
    ignore,
)
from .processes import CallProcess
from .sharing import Shared

_ACTION = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_NEVER_ACTIONS = frozenset({"constructor", "prototype", "hasOwnProperty", "toString", "valueOf"})
_CALL_BYTES = whole("jail.call_kib")
_STRIP_LIMITS = Limits(wall_seconds=seconds("strip.wall_seconds"), broker_calls=0)
_ENDED_WELL = (OutcomeKind.OK, OutcomeKind.USER_ERROR)

P = TypeVar("P", bound=CallProcess)


class Pool(Protocol[P]):
    """Where the processes come from: a pool of single-use jails, or the slots."""

    failure: str
    """Why the last start failed; empty after one that worked."""
    closed: bool

    async def fill(self) -> None:
        """Start the first and wait for them; see `failure` for what went wrong."""

    async def take(self, org: str, capability: str, depth: int = 0, shared: Shared | None = None) -> P:
        """Return a process for one call, to be given to `discard` afterwards. Raises ResourceExhausted, Unavailable.

        So many calls, the `depth`, wait in jails for this one. It may have served calls that have what is `shared` in
        common with this one.
        """

    def discard(self, process: P, well: bool, rests: bool = False) -> None:
        """Take back a process whose call ended `well`, with a result or an error of the plugin's own.

        It is killed, unless it `rests` and a call may follow that has all in common with this one.
        """

    def end_run(self, org: str, run: str) -> None:
        """Let no process wait for another call of this run."""

    async def close(self) -> None:
        """Leave no process behind."""


class Calls(Generic[P]):
    """Makes calls with the processes of one pool."""

    def __init__(self, pool: Pool[P]) -> None:
        self.pool = pool

    async def run(self, call: JailCall, door: Door, on_event: OnEvent = ignore) -> Outcome:
        """Run one action once; see `Jail.run`."""
        if not _ACTION.fullmatch(call.action) or call.action in _NEVER_ACTIONS:
            raise InvalidArgument(
                {"action": f'"{call.action[:80]}" cannot be the name of an action'}, reason="ACTION_NAME_INVALID"
            )
        frame = {
            "call": {
                "language": call.language,
                "source": call.source,
                "filename": call.filename,
                "action": call.action,
                "input": call.input,
                "settings": dict(call.settings),
                "secrets": dict(call.secrets),
                "permissions": list(call.permissions),
                "traceparent": call.traceparent,
                "libraries": list(call.libraries),
            }
        }
        if call.limits.oversize_bytes:
            frame["call"]["result_bytes"] = call.limits.oversize_bytes
        owner = call.org, call.capability
        return await self._hold(owner, frame, "result", call.limits, door, on_event, call.depth, Shared.by(call))

    async def describe(self, source: str, filename: str, limits: Limits | None = None, org: str = "") -> Outcome:
        """Run a module only as far as its header; see `Jail.describe`."""
        frame = {"describe": {"source": source, "filename": filename}}
        return await self._hold((org, ""), frame, "header", limits or DESCRIBE_LIMITS, ClosedDoor(), ignore)

    async def strip(self, source: str, filename: str, org: str = "") -> Outcome:
        """Take the types out of TypeScript; see `Jail.strip`."""
        frame = {"strip": {"source": source, "filename": filename}}
        return await self._hold((org, ""), frame, "stripped", _STRIP_LIMITS, ClosedDoor(), ignore)

    async def _hold(
        self,
        owner: tuple[str, str],
        frame: dict[str, Any],
        answer: str,
        limits: Limits,
        door: Door,
        on_event: OnEvent,
        depth: int = 0,
        shared: Shared | None = None,
    ) -> Outcome:
        first = _encoded(frame)
        process = await self.pool.take(*owner, depth, shared)
        well = rests = False
        try:
            await on_event(Taken())
            conversation = Conversation(process, limits, door, on_event, stays=shared is not None)
            outcome = await conversation.hold(first, answer)
            well, rests = outcome.kind in _ENDED_WELL, conversation.rests
        finally:
            self.pool.discard(process, well, rests)
        if self.pool.closed:
            raise Unavailable("the executor stopped during the call", reason="NO_EXECUTOR", retry_after=1.0)
        return outcome


def _encoded(frame: dict[str, Any]) -> bytes:
    try:
        first = frames.encode(frame)
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidArgument({"input": f"is not JSON: {error}"}) from error
    if len(first) > _CALL_BYTES:
        raise InvalidArgument({"input": f"source and input are larger than {_CALL_BYTES} bytes together"})
    return first
