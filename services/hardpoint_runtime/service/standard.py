"""Owns that the standard capabilities are there in every org: installed when it is first used, each once.

What operators make of them then is theirs: one that they deleted stays deleted, one that they pinned stays pinned.
"""

from collections.abc import Sequence
from dataclasses import replace

import structlog

from hardpoint_kit.caller import SYSTEM, Caller
from hardpoint_kit.clock import Clock
from hardpoint_kit.errors import AlreadyExists, DeadlineExceeded, NotFound, Unavailable
from hardpoint_kit.names import PRODUCT_ORG, InstallationName, ReleaseName
from hardpoint_manifest.version import Version
from hardpoint_runtime.domain.installations import Installation
from hardpoint_runtime.domain.releases import Release
from hardpoint_runtime.peers import Registry
from hardpoint_runtime.store import Store, Transaction

_log = structlog.stdlib.get_logger(__name__)


class Standard:
    """Gives orgs what `versions` says, by capability, as it is published."""

    def __init__(self, store: Store, registry: Registry, clock: Clock, versions: Sequence[tuple[str, str]]) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock
        self._versions = dict(versions)
        self._releases: dict[str, Release] = {}
        self._served: set[str] = set()

    async def ensure(self, caller: Caller) -> None:
        """Install in the caller's org what it was not given yet, and pin to this version what follows the newest.

        While the registry cannot give the releases, the org goes without them, until the next time.
        """
        if caller.org in self._served:
            return
        async with self._store.transaction(SYSTEM(caller.org)) as tx:
            given = await tx.standard.given(caller.org)
        if any(self._is_news(capability, given) for capability in self._versions):
            try:
                for capability, version in self._versions.items():
                    if capability not in self._releases:
                        name = ReleaseName(PRODUCT_ORG, capability, version)
                        self._releases[capability] = await self._registry.release(name)
            except (Unavailable, DeadlineExceeded, NotFound) as error:
                _log.warning("standard capabilities cannot be installed yet", org=caller.org, why=error.message)
                return
            async with self._store.transaction(SYSTEM(caller.org)) as tx:
                given = await tx.standard.given(caller.org, lock=True)
                for capability, release in self._releases.items():
                    if self._is_news(capability, given):
                        await self._give(tx, caller.org, release, is_new=capability not in given)
        self._served.add(caller.org)

    def _is_news(self, capability: str, given: dict[str, str]) -> bool:
        """Whether an org has not had this version; another process may be ahead with a newer one."""
        version = given.get(capability)
        return version is None or Version.parse(version) < Version.parse(self._versions[capability])

    async def _give(self, tx: Transaction, org: str, release: Release, *, is_new: bool) -> None:
        name = InstallationName(org, release.name.capability)
        try:
            if is_new:
                await tx.installations.add(Installation.new(name, "", release, release.asks, self._clock.now()))
                await tx.audit("installation.create", name, release=release.name)
            else:
                await self._pin(tx, name, release)
        except AlreadyExists:
            _log.info("an installation has the name of a standard capability", installation=str(name))
        except NotFound:
            _log.info("a standard capability was deleted, and stays so", installation=str(name))
        await tx.standard.give(org, release.name.capability, release.name.version)

    async def _pin(self, tx: Transaction, name: InstallationName, release: Release) -> None:
        """Move an installation that follows the newest release; its grants stay as they are."""
        known = (await tx.installations.get(name, lock=True)).installation
        if known.capability == release.name.capability_name and not known.constraint:
            await tx.installations.save(
                replace(known, release=release, revision=known.revision.next(self._clock.now()))
            )
            await tx.audit("installation.update", name, release=release.name)
            await tx.tell(name)
