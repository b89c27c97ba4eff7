"""Owns the links that refused calls answer with: where the org, or a person for themselves, signs in again.

An agent that tries on makes no more of them: whoever may end it has one for each connection, until it ends.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from hardpoint_config.connection import Connection
from hardpoint_config.connections import Begun, Connections, existing
from hardpoint_config.store import Store
from hardpoint_kit.caller import SERVICE_ROLE, Caller
from hardpoint_kit.clock import Clock
from hardpoint_kit.errors import Conflict
from hardpoint_kit.names import ConnectionName

NEEDS_REAUTH: Final = "CONNECTION_NEEDS_REAUTH"
LINK_LASTS: Final = timedelta(minutes=5)
"""A link that ends sooner is replaced: people take their time."""
MOST_LINKS: Final = 10_000


@dataclass(slots=True)
class _Kept:
    begun: Begun | None = None
    making: asyncio.Lock = field(default_factory=asyncio.Lock)


class Links:
    """Sign-ins that are begun for whom a call is refused."""

    def __init__(self, store: Store, connections: Connections, clock: Clock) -> None:
        self._store = store
        self._connections = connections
        self._clock = clock
        self._links: OrderedDict[tuple[ConnectionName, str, bool], _Kept] = OrderedDict()

    async def ready(self, name: ConnectionName, signer: str) -> Connection | None:
        """Return the org's connection as `Connections.ready` does; what it raises has a link of who may sign in."""
        try:
            return await self._connections.ready(name)
        except Conflict as error:
            if not signer or error.reason != NEEDS_REAUTH:
                raise
        async with self._store.transaction(name.org) as tx:
            found, _ = await existing(tx, name)
        raise found.needs_reauth(signer, await self.of(found, signer) if found.has_links else "")

    async def of(self, template: Connection, subject: str) -> str:
        """Where this subject signs in, for the org or for themselves as the connection is; raises as `begin`."""
        name, own = template.name, template.per_user
        kept = self._links.setdefault((name, subject, own), _Kept())
        self._links.move_to_end((name, subject, own))
        if len(self._links) > MOST_LINKS:
            self._links.popitem(last=False)
        async with kept.making:
            if kept.begun is None or not await self._lasts(name, kept.begun):
                who = Caller(subject, name.org, frozenset({SERVICE_ROLE}), via="units/config")
                kept.begun = await self._connections.begin(who, name, None, template.redirect_uri, own=own)
            return kept.begun.url

    async def _lasts(self, name: ConnectionName, begun: Begun) -> bool:
        """Whether it can be followed yet: who did, or another process that ended it, has told nobody here."""
        async with self._store.transaction(name.org) as tx:
            return await tx.connections.is_begun(name, begun.hash, self._clock.now() + LINK_LASTS)
