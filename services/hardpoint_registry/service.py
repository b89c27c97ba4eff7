"""Owns the registry's use cases: capabilities and releases; bytes are in `artifacts`. Calls nobody."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import NoneType

import structlog

from hardpoint_kit.audit import record
from hardpoint_kit.caller import ANY_ORG, SYSTEM, Caller
from hardpoint_kit.clock import Clock
from hardpoint_kit.errors import AlreadyExists, Conflict, InvalidArgument
from hardpoint_kit.idempotency import once
from hardpoint_kit.names import PRODUCT_ORG, CapabilityName, OrgName, ReleaseName
from hardpoint_kit.paging import Page, PageToken, page_size
from hardpoint_manifest.finding import Finding
from hardpoint_manifest.model import Example
from hardpoint_registry.checks import check_cassettes, check_publication, check_submission, invalid_manifest, not_held
from hardpoint_registry.domain import (
    MOST_LATE,
    Artifact,
    Capability,
    Created,
    Release,
    ReleaseState,
    Submission,
    View,
    Visibility,
    errors,
    plain_text,
)
from hardpoint_registry.resolve import HIGHEST, precedence, resolve
from hardpoint_registry.store import Store, Transaction
from hardpoint_registry.upload import digest_of
from hardpoint_standard import Shipped

_log = structlog.stdlib.get_logger(__name__)
_TOP_RANK = 2**31 - 1


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which part of a list is asked for; `query` tells the list from all others."""

    query: str
    size: int = 0
    token: str = ""


class Registry:
    """Capabilities and their releases."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def capability(self, caller: Caller, name: CapabilityName) -> Capability:
        """Return a capability that the caller sees."""
        async with self._store.transaction(caller.org) as tx:
            return await tx.capability(name, View.of(caller, name.org))

    async def capabilities_named(self, caller: Caller, names: Sequence[CapabilityName]) -> list[Capability]:
        """Return those of the named capabilities that the caller sees, by name."""
        async with self._store.transaction(caller.org) as tx:
            found = await tx.capabilities_named(names)
        return [one for one in found if View.of(caller, one.name.org).shows(one)]

    async def capabilities(self, caller: Caller, parent: OrgName, query: str, page: PageRequest) -> Page[Capability]:
        """Return what the caller sees of an org's capabilities: by id, or best first when words are asked for."""
        view, size = View.of(caller, parent.org), page_size(page.size)
        rank, after = PageToken.decode(page.token, page.query, int, str) or (_TOP_RANK, "")
        async with self._store.transaction(caller.org) as tx:
            if plain_text("query", query).strip():
                found = await tx.search(parent.org, view, query, (rank, after), size + 1)
            else:
                found = [(0, one) for one in await tx.capabilities(parent.org, view, after, size + 1)]
        token = ""
        if len(found) > size:
            last_rank, last = found[size - 1]
            token = PageToken.encode(page.query, (last_rank, last.name.capability))
        return Page(tuple(capability for _, capability in found[:size]), token)

    async def update_capability(
        self,
        caller: Caller,
        name: CapabilityName,
        visibility: Visibility | None,
        paths: tuple[str, ...],
        etag: str,
        fingerprint: str,
    ) -> Capability:
        """Change who sees a capability."""
        if visibility is None:
            raise InvalidArgument({"capability.visibility": "is required"}, fix="say private, organization or public")

        async def work() -> Capability:
            capability = await _locked_capability(tx, name)
            patch = replace(capability, visibility=visibility)
            changed = capability.updated(patch, paths, etag, self._clock.now())
            await tx.save_capability(changed)
            await record(tx.connection, caller, "capability.update", name, visibility=visibility)
            return changed

        async with self._store.transaction(caller.org) as tx:
            return await once(tx.connection, caller, "UpdateCapability", fingerprint, Capability, work)

    async def deprecate_capability(
        self, caller: Caller, name: CapabilityName, note: str, fingerprint: str
    ) -> Capability:
        """Advise against a capability."""

        async def work() -> Capability:
            deprecated = (await _locked_capability(tx, name)).deprecated(note, self._clock.now())
            await tx.save_capability(deprecated)
            await record(tx.connection, caller, "capability.deprecate", name)
            return deprecated

        async with self._store.transaction(caller.org) as tx:
            return await once(tx.connection, caller, "DeprecateCapability", fingerprint, Capability, work)

    async def create_release(
        self, caller: Caller, parent: OrgName, submission: Submission, fingerprint: str
    ) -> Created:
        """Make a draft of uploaded bytes, and the capability with its first one; or only say what it would be."""
        draft = await self._draft(caller, parent.org, submission)
        await asyncio.to_thread(check_cassettes, draft.manifest, submission.cassettes)
        if submission.validate_only:
            return Created(draft, created=False)
        if errors(draft.findings):
            raise invalid_manifest(submission.filename, errors(draft.findings))

        async def work() -> Created:
            return await self._add(tx, caller, draft, submission)

        async with self._store.transaction(caller.org) as tx:
            return await once(tx.connection, caller, "CreateRelease", fingerprint, Created, work)

    async def release(self, caller: Caller, name: ReleaseName) -> Release:
        """Return a release that the caller sees."""
        async with self._store.transaction(caller.org) as tx:
            return await tx.release(name, View.of(caller, name.org))

    async def releases(self, caller: Caller, parent: CapabilityName, page: PageRequest) -> Page[Release]:
        """Return what the caller sees of a capability's releases, highest version first."""
        view, (before,) = View.of(caller, parent.org), PageToken.decode(page.token, page.query, str) or (HIGHEST,)
        async with self._store.transaction(caller.org) as tx:
            await tx.capability(parent, view)
            found, more = await tx.releases(parent, view, str(before), page_size(page.size))
        token = PageToken.encode(page.query, (precedence(found[-1].name.version),)) if more else ""
        return Page(tuple(found), token)

    async def resolve_release(self, caller: Caller, name: CapabilityName, constraint: str) -> Release:
        """Return the best published release for a constraint; raises Conflict when none fits."""
        view = View.of(caller, name.org)
        async with self._store.transaction(caller.org) as tx:
            await tx.capability(name, view)
            versions = await tx.versions(name, view)
            best = resolve(_in(ReleaseState.PUBLISHED, versions), constraint)
            if best is None:
                raise _unresolved(name, constraint, versions)
            return await tx.release(ReleaseName(name.org, name.capability, best), view)

    async def publish_release(self, caller: Caller, name: ReleaseName, fingerprint: str) -> Release:
        """Submit a draft for its checks, which publish or reject it.

        That it was submitted is kept first: if this process dies, `resume` or the next call ends the checks. One that
        has cassettes stays in CHECKING until its examples were replayed, which `finish_checks` tells.
        """

        async def work() -> ReleaseState:
            submitted = (await _locked_release(tx, name)).submitted()
            await tx.save_release(submitted)
            await record(tx.connection, caller, "release.submit", name)
            return submitted.state

        async with self._store.transaction(caller.org) as tx:
            await once(tx.connection, caller, "PublishRelease", fingerprint, ReleaseState, work)
        async with self._store.transaction(caller.org) as tx:
            return await self._finish(tx, caller, await _locked_release(tx, name))

    async def recorded_examples(self, caller: Caller, name: ReleaseName) -> list[tuple[Example, bytes]]:
        """Return the examples of a release that came with cassettes."""
        async with self._store.transaction(caller.org) as tx:
            release, cassettes = await tx.release(name), await tx.cassettes(name)
        return [(one, cassettes[one.name]) for one in release.manifest.examples if one.name in cassettes]

    async def finish_checks(
        self,
        caller: Caller,
        name: ReleaseName,
        failures: Mapping[str, tuple[str, str]],
        late: Mapping[str, tuple[str, str]],
        fingerprint: str,
    ) -> Release:
        """End the checks of a release whose examples were replayed; `failures` are those that did not hold.

        One that was `late` is a failure too when that happened MOST_LATE times, or when others failed; before, nothing
        is decided.
        Raises Conflict unless it is being checked.
        """

        async def work() -> Release:
            release = await _locked_release(tx, name)
            release.require_checking()
            if late and not failures:
                release = release.replayed_late()
                if release.late_replays < MOST_LATE:
                    await tx.save_release(release)
                    return release
            return await self._finish(tx, caller, release, not_held(release, {**late, **failures}))

        async with self._store.transaction(caller.org) as tx:
            return await once(tx.connection, caller, "FinishChecks", fingerprint, Release, work)

    async def yank_release(self, caller: Caller, name: ReleaseName, note: str, fingerprint: str) -> Release:
        """Stop new installations of a published release."""

        async def work() -> Release:
            yanked = (await _locked_release(tx, name)).yanked(note)
            await tx.save_release(yanked)
            await self._offer_latest(tx, name.capability_name)
            await record(tx.connection, caller, "release.yank", name)
            return yanked

        async with self._store.transaction(caller.org) as tx:
            return await once(tx.connection, caller, "YankRelease", fingerprint, Release, work)

    async def delete_release(self, caller: Caller, name: ReleaseName, fingerprint: str) -> None:
        """Remove a release that was never published."""

        async def work() -> None:
            (await _locked_release(tx, name)).require_deletable()
            await tx.delete_release(name)
            await record(tx.connection, caller, "release.delete", name)

        async with self._store.transaction(caller.org) as tx:
            await once(tx.connection, caller, "DeleteRelease", fingerprint, NoneType, work)

    async def publish_standard(self, shipped: Iterable[Shipped]) -> None:
        """Publish what this version of the product ships, unless that was done: the same bytes change nothing."""
        caller = SYSTEM(PRODUCT_ORG)
        for one in shipped:
            artifact = Artifact(digest_of(one.source), len(one.source), one.filename)
            async with self._store.transaction(PRODUCT_ORG) as tx:
                await tx.blobs.add(PRODUCT_ORG, artifact, one.source)
            submission = Submission(artifact.digest, one.filename, one.header, Visibility.PUBLIC)
            try:
                release = (await self.create_release(caller, OrgName(PRODUCT_ORG), submission, "")).release
                if not release.is_public:
                    await self.publish_release(caller, release.name, "")
            except AlreadyExists as error:
                # What is there goes on to serve: whoever changed the code gave it no version of its own.
                _log.error("a standard capability is not the one that is shipped", why=error.message, fix=error.fix)
            except Conflict as error:
                if error.reason != "RELEASE_NOT_DRAFT":  # another replica published it in between
                    raise

    async def resume(self) -> None:
        """End the checks that a process left behind; what another replica is at is left to it."""
        async with self._store.transaction(ANY_ORG) as tx:
            names = await tx.to_check()
        for name in names:
            try:
                async with self._store.transaction(name.org) as tx:
                    if await tx.lock(name.capability_name, wait=False):
                        await self._finish(tx, SYSTEM(name.org), await tx.release(name))
            except Exception:
                # One release that cannot be checked must not keep the others, and the whole unit, from being served.
                _log.exception(f"the checks of {name} cannot be ended", release=str(name))

    async def _draft(self, caller: Caller, org: str, submission: Submission) -> Release:
        async with self._store.transaction(caller.org) as tx:
            source = await tx.blobs.read(org, submission.digest)
        checked = await asyncio.to_thread(check_submission, source, submission.filename, submission.header)
        if checked.manifest is None:
            raise invalid_manifest(submission.filename, errors(checked.findings))
        return Release(
            name=ReleaseName(org, checked.manifest.id, checked.manifest.version),
            manifest=checked.manifest,
            artifact=Artifact(submission.digest, len(source), submission.filename),
            create_time=self._clock.now(),
            findings=checked.findings,
            header=None if submission.header is None else dict(submission.header),
        )

    async def _add(self, tx: Transaction, caller: Caller, draft: Release, submission: Submission) -> Created:
        name, now = draft.name.capability_name, draft.create_time
        await tx.add_capability(Capability(name, submission.visibility, create_time=now, update_time=now))
        await tx.lock(name)
        known = await tx.release_of(name, draft.artifact.digest)
        if known is not None and (known.is_public or await tx.cassettes(known.name) == dict(submission.cassettes)):
            return Created(known, created=False)
        if draft.name.version in await tx.versions(name):
            raise _exists(await tx.release(draft.name))
        await tx.blobs.hold(name.org, draft.artifact.digest)
        await tx.save_capability((await tx.capability(name)).drafted(draft.manifest, now))
        await tx.add_release(draft)
        await tx.add_cassettes(draft.name, submission.cassettes)
        await record(tx.connection, caller, "release.create", draft.name, digest=draft.artifact.digest)
        return Created(draft, created=True)

    async def _finish(
        self, tx: Transaction, caller: Caller, release: Release, replayed: tuple[Finding, ...] | None = None
    ) -> Release:
        """End the checks of a release; `replayed` is what its examples had to say, None while nobody knows."""
        if not release.is_checking or (replayed is None and await tx.cassettes(release.name)):
            return release
        source = await tx.blobs.read(release.name.org, release.artifact.digest)
        # Checked again, since the rules may have grown since the draft was made.
        findings = await asyncio.to_thread(check_publication, source, release.artifact.filename, release.header)
        checked = release.checked((*findings, *(replayed or ())), self._clock.now())
        await tx.save_release(checked)
        if checked.is_public:
            await self._offer_latest(tx, release.name.capability_name)
        verb = "publish" if checked.is_public else "reject"
        await record(tx.connection, caller, f"release.{verb}", release.name, findings=len(checked.findings))
        return checked

    async def _offer_latest(self, tx: Transaction, name: CapabilityName) -> None:
        latest = resolve(_in(ReleaseState.PUBLISHED, await tx.versions(name)), "")
        manifest = (await tx.release(ReleaseName(name.org, name.capability, latest))).manifest if latest else None
        await tx.save_capability((await tx.capability(name)).offering(manifest, self._clock.now()))


async def _locked_capability(tx: Transaction, name: CapabilityName) -> Capability:
    await tx.lock(name)
    return await tx.capability(name)


async def _locked_release(tx: Transaction, name: ReleaseName) -> Release:
    await tx.lock(name.capability_name)
    return await tx.release(name)


def _in(wanted: ReleaseState, versions: dict[str, ReleaseState]) -> list[str]:
    return [version for version, state in versions.items() if state is wanted]


def _exists(other: Release) -> AlreadyExists:
    return AlreadyExists(
        f"{other.name} exists with other bytes",
        reason="RELEASE_EXISTS",
        place="version",
        fix="raise the version" + (", or delete the release: it is not published" if not other.is_public else ""),
        release=other.name,
        digest=other.artifact.digest,
    )


def _unresolved(name: CapabilityName, constraint: str, versions: dict[str, ReleaseState]) -> Conflict:
    published = sorted(_in(ReleaseState.PUBLISHED, versions), key=precedence, reverse=True)
    yanked = resolve(_in(ReleaseState.YANKED, versions), constraint)
    return Conflict(
        f"{name} {yanked} is yanked" if yanked else f'no release of {name} fits "{constraint or "latest"}"',
        reason="RELEASE_YANKED" if yanked else "NO_MATCHING_RELEASE",
        place="constraint",
        fix=f"choose among {', '.join(published[:5])}" if published else "publish a release first",
        capability=name,
        constraint=constraint,
    )
