"""Owns what operators do with installations."""

from collections.abc import Sequence
from dataclasses import replace

from hardpoint_kit.caller import Caller
from hardpoint_kit.clock import Clock
from hardpoint_kit.masks import check_etag
from hardpoint_kit.names import CapabilityName, ConnectionName, InstallationName, OrgName, SettingsName
from hardpoint_kit.paging import Page
from hardpoint_manifest.authority import Authority
from hardpoint_runtime.domain.installations import Installation, InstallationView, Patch
from hardpoint_runtime.domain.paging import Window
from hardpoint_runtime.domain.releases import OAuth2
from hardpoint_runtime.peers import Config, Registry
from hardpoint_runtime.service.announcer import Announcer
from hardpoint_runtime.service.settings import configured
from hardpoint_runtime.service.standard import Standard
from hardpoint_runtime.store import Store, Transaction


class Installations:
    """Installations; `fingerprint` tells a write request from others with the same request id."""

    def __init__(
        self, store: Store, registry: Registry, config: Config, standard: Standard, announcer: Announcer, clock: Clock
    ) -> None:
        self._store = store
        self._registry = registry
        self._config = config
        self._standard = standard
        self._announcer = announcer
        self._clock = clock

    async def create_installation(
        self,
        caller: Caller,
        name: InstallationName,
        capability: CapabilityName,
        constraint: str,
        grants: Authority,
        own_name: bool,
        validate_only: bool,
        fingerprint: str,
    ) -> InstallationView:
        """Pin the best release and keep the grants; with `validate_only` say what that would give and store nothing.

        With `own_name` its actions are called by its id. Raises NotFound, AlreadyExists, InvalidArgument
        GRANT_NOT_ASKED, and Conflict NO_MATCHING_RELEASE, NAME_TAKEN.
        """
        await self._standard.ensure(caller)
        release = await self._registry.resolve(capability, constraint)
        installation = Installation.new(name, constraint, release, grants, self._clock.now(), own_name=own_name)
        view = await self._shown(InstallationView(installation))

        async def create(tx: Transaction) -> InstallationView:
            others = await tx.installations.called_as(installation, lock=True)
            await tx.installations.add(installation)
            installation.check_prefix(others)
            await tx.announcements.add(name, capability)
            facts = {"release": release.name, "prefix": installation.prefix, **_facts(grants)}
            await tx.audit("installation.create", name, **facts)
            await tx.tell(name)
            return view

        if validate_only:
            async with self._store.transaction(caller) as tx:
                await tx.installations.check_free(name)
                installation.check_prefix(await tx.installations.called_as(installation))
            return view
        created = await self._store.once(caller, "CreateInstallation", fingerprint, InstallationView, create)
        self._announcer.wake()
        return created

    async def get_installation(self, caller: Caller, name: InstallationName) -> InstallationView:
        """Return an installation with the settings that are missing now; raises NotFound."""
        await self._standard.ensure(caller)
        async with self._store.transaction(caller) as tx:
            view = await tx.installations.get(name)
        return await self._shown(view)

    async def list_installations(self, caller: Caller, parent: OrgName, window: Window) -> Page[InstallationView]:
        """Return a page of installations by name, without their missing settings."""
        await self._standard.ensure(caller)
        async with self._store.transaction(caller) as tx:
            found = await tx.installations.within(parent.org, window)
            return window.page(found, lambda view: view.installation.name.installation)

    async def update_installation(
        self,
        caller: Caller,
        name: InstallationName,
        patch: Patch,
        mask: Sequence[str],
        etag: str,
        fingerprint: str,
    ) -> InstallationView:
        """Change grants, or pin anew; calls that are running end on what they began with.

        Raises NotFound, StaleEtag, InvalidArgument GRANT_NOT_ASKED, and Conflict: no release fits, or agents use the
        installation and the new release needs settings that have no value.
        """
        await self._standard.ensure(caller)
        async with self._store.transaction(caller) as tx:
            before = (await tx.installations.get(name)).installation
        pins = not mask or "constraint" in mask or "*" in mask
        release = await self._registry.resolve(before.capability, patch.constraint) if pins else before.release
        keys = await configured(self._config, name, release)

        async def update(tx: Transaction) -> InstallationView:
            view = await tx.installations.get(name, lock=True)
            check_etag(etag, view.installation.revision.etag)
            pinned = release if pins else view.installation.release
            changed = view.installation.changed(patch, mask, pinned, self._clock.now())
            if pins and await tx.installations.agents(name):
                pinned.check_settings(keys, name.installation)
            await tx.installations.save(changed)
            await tx.audit("installation.update", name, release=pinned.name, **_facts(changed.grants))
            await tx.tell(name)
            return replace(view, installation=changed, missing=pinned.missing(keys))

        return await self._store.once(caller, "UpdateInstallation", fingerprint, InstallationView, update)

    async def disable_installation(self, caller: Caller, name: InstallationName, fingerprint: str) -> InstallationView:
        """Close an installation to every agent; raises NotFound, Conflict."""

        async def disable(tx: Transaction) -> InstallationView:
            view = await tx.installations.get(name, lock=True)
            disabled = view.installation.disabled(self._clock.now())
            await tx.installations.save(disabled)
            await tx.audit("installation.disable", name)
            await tx.tell(name)
            return replace(view, installation=disabled)

        await self._standard.ensure(caller)
        done = await self._store.once(caller, "DisableInstallation", fingerprint, InstallationView, disable)
        return await self._shown(done)

    async def enable_installation(self, caller: Caller, name: InstallationName, fingerprint: str) -> InstallationView:
        """Open an installation to its agents again; raises NotFound, Conflict."""

        async def enable(tx: Transaction) -> InstallationView:
            view = await tx.installations.get(name, lock=True)
            enabled = view.installation.enabled(self._clock.now())
            await tx.installations.save(enabled)
            await tx.audit("installation.enable", name)
            await tx.tell(name)
            return replace(view, installation=enabled)

        done = await self._store.once(caller, "EnableInstallation", fingerprint, InstallationView, enable)
        return await self._shown(done)

    async def offer_connection(self, caller: Caller, name: InstallationName) -> tuple[ConnectionName, OAuth2]:
        """Tell config where one signs in for an installation, and say it; raises NotFound, Conflict, InvalidArgument.

        Asked for whenever somebody is about to sign in, so config follows the release that is pinned then, and a new
        release alone moves nothing: until somebody signs in again, tokens are renewed where they come from.
        """
        async with self._store.transaction(caller) as tx:
            release = (await tx.installations.get(name)).installation.release
        oauth2 = release.sign_in(name.installation)
        connection = ConnectionName(name.org, name.installation)
        await self._config.offer(connection, oauth2)
        return connection, oauth2

    async def delete_installation(self, caller: Caller, name: InstallationName, fingerprint: str) -> None:
        """Remove an installation that no agent uses, and its settings; raises NotFound, Conflict naming the agents.

        The settings go first, while the row is locked: what ends in between leaves an installation that lacks settings,
        that nobody uses, and that can be deleted again. The other way round they would be left to the next one of
        its name, whose capability might send their secrets elsewhere.
        """

        async def delete(tx: Transaction) -> None:
            installation = (await tx.installations.get(name, lock=True)).installation
            installation.check_deletable(await tx.installations.agents(name))
            await self._config.delete(SettingsName(name.org, name.installation))
            await tx.installations.delete(name)
            await tx.audit("installation.delete", name)
            await tx.tell(name)

        await self._standard.ensure(caller)
        await self._store.once(caller, "DeleteInstallation", fingerprint, type(None), delete)

    async def _shown(self, view: InstallationView) -> InstallationView:
        installation = view.installation
        keys = await configured(self._config, installation.name, installation.release)
        return replace(view, missing=installation.release.missing(keys))


def _facts(grants: Authority) -> dict[str, str]:
    return {"permissions": ",".join(sorted(grants.permissions)), "hosts": ",".join(sorted(grants.hosts))}
