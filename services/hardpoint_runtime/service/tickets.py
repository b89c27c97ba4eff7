"""Owns what the executor is shown: leases of settings and tickets to artifacts, each used for many calls."""

import asyncio
from datetime import timedelta

import structlog

from hardpoint_kit.background import Background
from hardpoint_kit.clock import Clock
from hardpoint_kit.errors import Conflict, HardpointError
from hardpoint_kit.names import ReleaseName, SettingsName
from hardpoint_runtime.domain.executions import Ticket
from hardpoint_runtime.peers import Config, Registry
from hardpoint_runtime.service.memory import Memory

CAPACITY = 10_000
LAST_USE = timedelta(seconds=30)
"""A ticket that expires sooner is replaced: the executor must have the time to use it."""
RECONNECT_SECONDS = 0.5
NEEDS_REAUTH = "CONNECTION_NEEDS_REAUTH"

_log = structlog.stdlib.get_logger(__name__)


class Tickets:
    """Leases by settings document and artifact tickets by org and release.

    Leases are remembered only while config tells what changes: all are dropped when it stops, since a change may have
    been missed.
    """

    def __init__(self, registry: Registry, config: Config, clock: Clock) -> None:
        self._registry = registry
        self._config = config
        self._clock = clock
        self._watched = False
        self._watching = Background(self._watch_forever)
        self._leases: Memory[tuple[SettingsName, str], Ticket] = Memory(
            lambda t: self._watched and self._fresh(t), CAPACITY
        )
        self._artifacts: Memory[tuple[str, ReleaseName], Ticket] = Memory(self._fresh, CAPACITY)

    async def start(self) -> None:
        """Watch config's changes from now on."""
        self._watching.start()

    async def stop(self) -> None:
        """Stop watching."""
        await self._watching.stop()

    async def artifact(self, org: str, release: ReleaseName) -> str:
        """A ticket to the release's artifact for an org that may see it."""
        ticket = await self._artifacts.get((org, release), lambda: self._registry.artifact_ticket(release))
        return ticket.token

    async def lease(self, settings: SettingsName, user: str, signer: str = "") -> str:
        """A lease of a settings document for a person's calls.

        One that was made for nobody is everybody's, unless config says that each person signs in for themselves: then
        it opens no token, and theirs is made and remembered for them alone. Raises Conflict CONNECTION_NEEDS_REAUTH
        with a link of `signer`, where they may sign in for the org.
        """
        try:
            shared = await self._leases.get((settings, ""), lambda: self._config.lease(settings, ""))
        except Conflict as refused:
            if not signer or refused.reason != NEEDS_REAUTH:
                raise
            # Others wait for the same answer, so that one has nobody's link.
            shared = await self._config.lease(settings, "", signer)
        if not shared.per_user or not user:
            return shared.token
        return (await self._leases.get((settings, user), lambda: self._config.lease(settings, user))).token

    def drop(self, org: str, release: ReleaseName, settings: SettingsName | None) -> None:
        """Forget what an executor refused."""
        self._artifacts.drop((org, release))
        if settings is not None:
            self._forget({settings})

    def _forget(self, settings: set[SettingsName]) -> None:
        if settings:
            self._leases.drop_keys(lambda key: key[0] in settings)

    def _fresh(self, ticket: Ticket) -> bool:
        return ticket.expires_at - self._clock.now() > LAST_USE

    async def _watch_forever(self) -> None:
        while True:
            try:
                async for changed in self._config.changes():
                    if not self._watched:
                        # What was leased before the watch began may have changed before it, too.
                        self._leases.clear()
                        self._watched = True
                    self._forget(set(changed))
            except HardpointError as error:
                log = _log.warning if self._watched else _log.debug
                log("changes of settings are not heard", reason=error.reason, problem=error.message)
            finally:
                self._watched = False
                self._leases.clear()
            await asyncio.sleep(RECONNECT_SECONDS)
