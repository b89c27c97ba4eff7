"""Owns accounts of single people at a provider: who may have one, whom calls are refused for, who sees what of it.

A person's tokens are lent for calls that are for them, and for no others. Signing in itself is that of `Connections`.
"""

from hardpoint_config.changes import announce
from hardpoint_config.connection import Client, Connection
from hardpoint_config.connections import Connections, existing
from hardpoint_config.links import NEEDS_REAUTH, Links
from hardpoint_config.store import Store
from hardpoint_kit.audit import record
from hardpoint_kit.caller import Caller
from hardpoint_kit.clock import Clock
from hardpoint_kit.errors import Conflict, NotFound
from hardpoint_kit.idempotency import once
from hardpoint_kit.names import ConnectionName, OrgName
from hardpoint_kit.paging import Page, PageToken, page_size


class People:
    """What people do with accounts of their own, and operators with those of all."""

    def __init__(self, store: Store, connections: Connections, links: Links, clock: Clock) -> None:
        self._store = store
        self._connections = connections
        self._links = links
        self._clock = clock

    async def connect_users(
        self, caller: Caller, name: ConnectionName, client: Client | None, redirect_uri: str
    ) -> Connection:
        """Have each person sign in for themselves, by the org's client; what the org signed in with is forgotten.

        Raises NotFound, Conflict for another grant, InvalidArgument where no client is kept.
        """
        async with self._store.transaction(caller.org) as tx:
            found, sealed = await existing(tx, name, lock=True)
            client = client or self._connections.kept_client(found, sealed)
            changed = found.for_users(client, redirect_uri, caller.subject, self._clock.now())
            if not found.per_user or found.client_id != client.id:
                await tx.revocations.add_all(name)
                await tx.connections.delete_own(name)
                await tx.connections.end_sign_ins(name)
            await tx.connections.save(changed, self._connections.sealed(changed, client.secret, None))
            await record(tx.connection, caller, "connection.users", name, host=found.provider.host)
            await announce(tx.connection, [name.settings])
        return changed

    async def of_users(
        self, caller: Caller, name: ConnectionName, size: int, token: str, query: str
    ) -> Page[Connection]:
        """Return a page of who signed in with an account of their own; raises NotFound."""
        size = page_size(size)
        (after,) = PageToken.decode(token, query, str) or ("",)
        async with self._store.transaction(caller.org) as tx:
            await existing(tx, name)
            found = await tx.connections.of_users(name, after, size + 1)
        more = PageToken.encode(query, (found[size - 1].owner,)) if len(found) > size else ""
        return Page(tuple(found[:size]), more)

    async def own(self, caller: Caller, parent: OrgName, size: int, token: str, query: str) -> Page[Connection]:
        """Return a page of what the caller signed in with."""
        size = page_size(size)
        (after,) = PageToken.decode(token, query, str) or ("",)
        async with self._store.transaction(caller.org) as tx:
            found = await tx.connections.of_owner(parent.org, caller.subject, after, size + 1)
        more = PageToken.encode(query, (found[size - 1].name.connection,)) if len(found) > size else ""
        return Page(tuple(found[:size]), more)

    async def delete(self, caller: Caller, name: ConnectionName, user: str, fingerprint: str) -> None:
        """Forget what somebody signed in with; raises NotFound."""
        async with self._store.transaction(caller.org) as tx:

            async def delete() -> None:
                await tx.revocations.add_of(name, user)
                if not await tx.connections.delete_own(name, user):
                    raise NotFound("connection", name, user=user)
                await record(tx.connection, caller, "connection.delete", name, user=user)
                await announce(tx.connection, [name.settings])

            await once(tx.connection, caller, "DeleteUserConnection", f"{fingerprint} {user}", type(None), delete)

    async def ready(self, name: ConnectionName, user: str) -> Connection:
        """Return a person's connection with an access token that lasts.

        Raises Conflict CONNECTION_NEEDS_REAUTH with a link that only they can end, Unavailable.
        """
        found, lost = None, False
        try:
            found = await self._connections.ready(name, user)
        except Conflict as error:
            if error.reason != NEEDS_REAUTH:
                raise
            lost = True
        if found is not None and not lost:
            return found
        async with self._store.transaction(name.org) as tx:
            template, _ = await existing(tx, name)
        raise template.needs_user(user, await self._links.of(template, user))
