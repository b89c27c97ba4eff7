"""Owns making ready what releases call of other capabilities: found where no agent calls, and given its tickets."""

import asyncio

from hardpoint_kit.caller import SYSTEM
from hardpoint_kit.errors import HardpointError
from hardpoint_runtime.domain.callees import Callee, Callees, Refused
from hardpoint_runtime.domain.executions import Allowed
from hardpoint_runtime.domain.releases import Release
from hardpoint_runtime.service.tickets import Tickets
from hardpoint_runtime.store import Store


class Composition:
    """What tests of releases may call, and the tickets for what anybody may."""

    def __init__(self, store: Store, tickets: Tickets) -> None:
        self._store = store
        self._tickets = tickets

    async def of_nobody(self, org: str, release: Release) -> Callees:
        """What a release may call when no agent calls it: in a test."""
        if not release.calls:
            return ()
        async with self._store.transaction(SYSTEM(org)) as tx:
            return (await tx.snapshots.directory(org, release)).callees(release)

    async def allowed(self, org: str, callees: Callees, user: str) -> tuple[Allowed | Refused, ...]:
        """Callees with their tickets, for somebody; one whose tickets cannot be had is refused when it is called."""
        return tuple(await asyncio.gather(*(self._allowed(org, callee, user) for callee in callees)))

    def drop(self, org: str, callees: Callees) -> None:
        """Forget the tickets of callees."""
        for callee in callees:
            if isinstance(callee, Callee):
                self._tickets.drop(org, callee.installed.release.name, callee.installed.settings)
                self.drop(org, callee.callees)

    async def _allowed(self, org: str, callee: Callee | Refused, user: str) -> Allowed | Refused:
        if isinstance(callee, Refused):
            return callee
        installed = callee.installed
        try:
            artifact = await self._tickets.artifact(org, installed.release.name)
            lease = await self._tickets.lease(installed.settings, user) if installed.settings else ""
        except HardpointError as error:
            facts = {**error.metadata, "installation": str(installed.name)}
            return Refused(callee.name, error.reason, error.message, error.fix, facts)
        return Allowed(callee, artifact, lease, await self.allowed(org, callee.callees, user))
