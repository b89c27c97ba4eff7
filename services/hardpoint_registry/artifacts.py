"""Owns the use cases of bytes: uploading them, and reading them with a ticket. Calls nobody."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from hardpoint_kit.audit import record
from hardpoint_kit.caller import ANY_ORG, Caller
from hardpoint_kit.clock import Clock
from hardpoint_kit.errors import HardpointError
from hardpoint_kit.names import ReleaseName
from hardpoint_registry.domain import Artifact, View
from hardpoint_registry.store import Store
from hardpoint_registry.tickets import Ticket, Tickets
from hardpoint_registry.upload import Announcement, receive

UPLOAD_SECONDS = 60.0
READ_ON_SECONDS = 1.0


class Artifacts:
    """The bytes of releases."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._known_tickets: Tickets | None = None

    async def upload(self, caller: Caller, parts: AsyncIterator[Announcement | bytes]) -> Artifact:
        """Keep the bytes of an org once all of them came, in time; the same bytes again change nothing."""
        try:
            async with asyncio.timeout(UPLOAD_SECONDS):
                upload = await receive(parts)
        except HardpointError:
            await _read_on(parts)
            raise
        data, parent, artifact = upload.complete(), upload.announced.parent, upload.announced.artifact
        async with self._store.transaction(caller.org) as tx:
            if await tx.blobs.add(parent.org, artifact, data):
                await record(tx.connection, caller, "artifact.upload", parent, digest=artifact.digest)
        return artifact

    async def ticket(self, caller: Caller, name: ReleaseName) -> Ticket:
        """Let the bearer of the answer read the bytes of a release that the caller sees."""
        tickets = await self._tickets()
        async with self._store.transaction(caller.org) as tx:
            release = await tx.release(name, View.of(caller, name.org))
        return tickets.issue(name.org, release.artifact.digest, self._clock.now())

    async def read(self, digest: str, ticket: str) -> bytes:
        """Return the bytes that a ticket is for; raises Unauthenticated."""
        owner = (await self._tickets()).owner(ticket, digest, self._clock.now())
        async with self._store.transaction(owner) as tx:
            return await tx.blobs.read(owner, digest)

    async def _tickets(self) -> Tickets:
        if self._known_tickets is None:
            async with self._store.transaction(ANY_ORG) as tx:
                self._known_tickets = Tickets(await tx.ticket_key())
        return self._known_tickets


async def _read_on(parts: AsyncIterator[Announcement | bytes]) -> None:
    """Read what is still coming, for a moment: a sender in the middle of its stream would not hear the refusal."""
    with contextlib.suppress(HardpointError, TimeoutError):
        async with asyncio.timeout(READ_ON_SECONDS):
            async for _ in parts:
                pass
