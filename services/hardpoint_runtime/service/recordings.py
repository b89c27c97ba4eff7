"""Owns which calls can be recorded, by whom, and the word of it in the audit log.

A cassette shows what upstreams answered an organisation: so whoever has one made of a call may test, too, which an
agent may not.
"""

from typing import Final

from hardpoint_kit.auth import allows
from hardpoint_kit.caller import Caller
from hardpoint_kit.errors import Conflict, PermissionDenied
from hardpoint_kit.names import RunName
from hardpoint_runtime.domain.actions import ActionName
from hardpoint_runtime.domain.calls import Call
from hardpoint_runtime.store import Store

PERMISSION: Final = "runtime.actions.test"
"""What a caller needs besides the permission to call."""


class Recordings:
    """The recordings of calls."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def check(self, caller: Caller, name: ActionName, *, planned: bool, stored: bool) -> None:
        """Raise PermissionDenied for who may not test, and Conflict NO_RECORDING for what no test could replay."""
        if not allows(caller.roles, PERMISSION):
            raise PermissionDenied(
                f"{caller.subject} may not have a call recorded: who may not test sees outputs alone",
                fix="ask an operator of your org to record it, or an admin for a role that allows it",
                permission=PERMISSION,
                roles=",".join(sorted(caller.roles)),
            )
        if caller.on_behalf_of:
            raise not_recorded(name, "it is for somebody else", "have that person record it, or call for yourself")
        if planned:
            raise not_recorded(name, "it is dry or held to a plan", "record it without a plan")
        if stored:
            raise not_recorded(name, "its output may be stored", "record it without oversize, for less output")

    async def begin(self, caller: Caller, run: RunName, call: Call) -> None:
        """Say who has what recorded; a call of which this cannot be said is not made.

        Raises Conflict NO_RECORDING for a release that the caller's org cannot test: its requests are its author's.
        """
        if call.release.name.org != caller.org:
            raise not_recorded(
                call.name, f"{call.release.name} is another organisation's", "have its author record a call of its own"
            )
        async with self._store.transaction(caller) as tx:
            await tx.audit("run.record", run, agent=call.agent, tool=call.name, release=call.release.name)


def not_recorded(name: ActionName, why: str, fix: str) -> Conflict:
    """The refusal of a call that cannot be recorded."""
    return Conflict(f"this call of {name} cannot be recorded: {why}", reason="NO_RECORDING", fix=fix, action=name)
