"""Owns the use cases of connections: offered, begun, completed, renewed before they are lent, forgotten.

Calls providers' token endpoints, always outside a transaction, so that a slow provider holds no connection of the
database.
"""

import asyncio
import secrets as randomness
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from hardpoint_config.changes import announce
from hardpoint_config.connection import (
    RENEW_BEFORE,
    SIGN_IN_TIME,
    Client,
    Connection,
    ConnectionState,
    Grant,
    Provider,
    SignIn,
    Tokens,
)
from hardpoint_config.crypto import Keyring, Sealed
from hardpoint_config.domain import SecretValue
from hardpoint_config.oauth import Providers
from hardpoint_config.sealing import Kept, Sealing, state_hash
from hardpoint_config.store import Store, Transaction
from hardpoint_kit.audit import record
from hardpoint_kit.caller import SYSTEM, Caller
from hardpoint_kit.clock import Clock
from hardpoint_kit.errors import Conflict, InvalidArgument, NotFound, Unavailable
from hardpoint_kit.idempotency import once
from hardpoint_kit.names import ConnectionName

WAIT_SECONDS = 8.0
"""What a lease may wait for a renewal: longer than a token endpoint may take, shorter than who asks for the lease."""
POLL_SECONDS = 0.1
STORE_ATTEMPTS = 3
FIRST_VERSIONS = 1 << 30

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Begun:
    """Where a person signs in, until when, and what the sign-in is stored by."""

    url: str
    expire_time: datetime
    hash: bytes


class Connections:
    """What callers can do with connections; secrets of a connection are sealed together, for its token endpoint."""

    def __init__(self, store: Store, keyring: Keyring, providers: Providers, clock: Clock) -> None:
        self._store = store
        self._sealing = Sealing(keyring)
        self._providers = providers
        self._clock = clock
        self._renewing: dict[tuple[ConnectionName, str], asyncio.Task[None]] = {}

    async def close(self) -> None:
        """Wait for the renewals under way: a refresh token that was replaced meanwhile would be lost."""
        await asyncio.gather(*self._renewing.values(), return_exceptions=True)
        self._providers.close()

    async def offer(self, caller: Caller, name: ConnectionName, provider: Provider) -> Connection:
        """Say where one signs in; another provider than before ends the connection. Raises InvalidArgument."""
        provider.check()
        async with self._store.transaction(caller.org) as tx:
            fresh = Connection(name, provider)
            if await tx.connections.add(fresh):
                return fresh
            found, sealed = await existing(tx, name, lock=True)
            offered = found.offered(provider)
            if offered == found:
                return found
            if not found.provider.same_as(provider):
                sealed = None
                await tx.revocations.add_all(name)
                await tx.connections.delete_own(name)
                await tx.connections.end_sign_ins(name)
                await record(tx.connection, caller, "connection.reset", name, host=provider.host)
            await tx.connections.save(offered, sealed)
            await announce(tx.connection, [name.settings])
            return offered

    async def begin(
        self, caller: Caller, name: ConnectionName, client: Client | None, redirect_uri: str, *, own: bool = False
    ) -> Begun:
        """Begin a sign-in; the kept client signs in when none is given.

        With `own` for the caller alone. Raises NotFound, Conflict for another grant or CONNECTION_PER_USER,
        InvalidArgument where no client is kept.
        """
        state = randomness.token_urlsafe(32)
        async with self._store.transaction(caller.org) as tx:
            found, sealed = await existing(tx, name, lock=True)
            found.check_mode(per_user=own)
            found.check_grant(Grant.AUTHORIZATION_CODE)
            verifier = SecretValue(randomness.token_urlsafe(48).encode())
            sign_in = SignIn(redirect_uri, client or self.kept_client(found, sealed), verifier)
            found = replace(found, owner=caller.subject if own else "")
            stored = self._sealing.seal_sign_in(found, state, sign_in)
            now = self._clock.now()
            hashed = state_hash(state, own=own)
            await tx.connections.add_sign_in(name, hashed, caller.subject, stored, now + SIGN_IN_TIME)
            await record(tx.connection, caller, "connection.begin", name, host=found.provider.host)
        return Begun(self._providers.authorization_url(found.provider, sign_in, state), now + SIGN_IN_TIME, hashed)

    async def complete(
        self, caller: Caller, name: ConnectionName, code: SecretValue, state: str, iss: str, *, own: bool = False
    ) -> Connection:
        """Exchange the code of a sign-in that the caller began, once; raises NotFound, Conflict, Unavailable."""
        async with self._store.transaction(caller.org) as tx:
            found, _ = await existing(tx, name)
            found = replace(found, owner=caller.subject if own else "")
            hashed = state_hash(state, own=own)
            stored = await tx.connections.take_sign_in(name, hashed, caller.subject, self._clock.now())
        if stored is None:
            raise _invalid(name, "this sign-in is not yours, was used before, or is older than ten minutes")
        sign_in = self._sealing.open_sign_in(found, state, stored)
        if not found.provider.issued(iss):
            raise _invalid(name, "the answer comes from another issuer than the one that was asked")
        tokens = await self._providers.exchange(found.provider, sign_in, code)
        found = replace(found, redirect_uri=sign_in.redirect_uri)
        return await self._connected_or_given_back(caller, found, sign_in.client, tokens)

    async def connect_client(self, caller: Caller, name: ConnectionName, client: Client | None) -> Connection:
        """Connect by the client's own id and secret; raises NotFound, Conflict, Unavailable."""
        async with self._store.transaction(caller.org) as tx:
            found, sealed = await existing(tx, name)
        found.check_mode(per_user=False)
        found.check_grant(Grant.CLIENT_CREDENTIALS)
        client = client or self.kept_client(found, sealed)
        tokens = await self._providers.connect(found.provider, client)
        return await self._connected_or_given_back(caller, found, client, tokens)

    async def get(self, caller: Caller, name: ConnectionName) -> Connection:
        """Return what is known of a connection; raises NotFound."""
        async with self._store.transaction(caller.org) as tx:
            return (await existing(tx, name))[0]

    async def delete(self, caller: Caller, name: ConnectionName, fingerprint: str) -> None:
        """Forget a connection, people's of it too; raises NotFound."""
        async with self._store.transaction(caller.org) as tx:

            async def delete() -> None:
                await tx.revocations.add_all(name)
                if not await tx.connections.delete(name):
                    raise NotFound("connection", name)
                await record(tx.connection, caller, "connection.delete", name)
                await announce(tx.connection, [name.settings])

            await once(tx.connection, caller, "DeleteConnection", fingerprint, type(None), delete)

    async def ready(self, name: ConnectionName, owner: str = "") -> Connection | None:
        """Return a connection, the org's or a person's, with an access token that lasts, renewed where it must be.

        None where nobody signed in. Raises Conflict CONNECTION_NEEDS_REAUTH, Unavailable.
        """
        first = None
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while True:
                    async with self._store.transaction(name.org) as tx:
                        read = await tx.connections.read(name, owner)
                    if read is None or read[0].state is ConnectionState.PENDING:
                        return None
                    found = read[0]
                    if found.state is ConnectionState.NEEDS_REAUTH:
                        raise found.needs_reauth()
                    now = self._clock.now()
                    renewed_meanwhile = first is not None and found.version != first.version
                    if found.lasts(now, RENEW_BEFORE) or (
                        found.lasts(now) and (renewed_meanwhile or not found.renewable)
                    ):
                        return found
                    first = first or found
                    try:
                        await asyncio.shield(self._renewal(found))
                    except Unavailable:
                        if found.lasts(self._clock.now()):
                            return found
                        raise
        except TimeoutError:
            raise Unavailable(
                f"the sign-in of {name.connection} is being renewed for too long",
                fix="try again later",
                retry_after=2.0,
            ) from None

    def access_token(self, connection: Connection, sealed: Sealed) -> SecretValue:
        """Return the access token of a connection."""
        token = self._sealing.open(connection, sealed).access
        assert token is not None, "a connection that is ready has one"
        return token

    def _renewal(self, found: Connection) -> asyncio.Task[None]:
        """The one renewal of this process; it goes on when who asked for it goes away."""
        task = self._renewing.get(found.key)
        if task is None:
            task = self._renewing[found.key] = asyncio.create_task(self._renew(found))
            task.add_done_callback(lambda done: (self._renewing.pop(found.key), done.cancelled() or done.exception()))
        return task

    async def _renew(self, found: Connection) -> None:
        async with self._store.transaction(found.name.org) as tx:
            claimed = await tx.connections.claim(found)
            read = await tx.connections.read(*found.key)
            org = await tx.connections.read(found.name) if found.owner else read
        if not claimed or read is None or read[1] is None or org is None or org[1] is None:
            await asyncio.sleep(POLL_SECONDS)  # another process does it
            return
        kept = replace(self._sealing.open(found, read[1]), client_secret=self._sealing.open(*_held(org)).client_secret)
        try:
            tokens = await self._next_tokens(found, kept)
        except Unavailable:
            async with self._store.transaction(found.name.org) as tx:
                await tx.connections.release(found)
            raise
        except Conflict as refused:
            await self._lose(found, refused.metadata.get("said", ""))
            return
        await self._keep(found, kept.client_secret, tokens)
        _log.info("a connection was renewed", connection=str(found.name), host=found.provider.host)

    async def _next_tokens(self, found: Connection, kept: Kept) -> Tokens:
        client = Client(found.client_id, kept.client_secret)
        if found.provider.grant is Grant.CLIENT_CREDENTIALS:
            return await self._providers.connect(found.provider, client)
        if kept.refresh is None:
            raise Conflict("there is no refresh token", reason="SIGN_IN_REFUSED", said="expired")
        tokens = await self._providers.renew(found.provider, client, kept.refresh)
        # A provider that does not replace the refresh token goes on taking the one before (RFC 6749, 6).
        return tokens if tokens.refresh else replace(tokens, refresh=kept.refresh)

    async def _keep(self, found: Connection, secret: SecretValue | None, tokens: Tokens) -> None:
        """Write what a provider gave once; the token before may be good no more, so a busy database is asked again."""
        for attempt in range(1, STORE_ATTEMPTS + 1):
            try:
                async with self._store.transaction(found.name.org) as tx:
                    read = await tx.connections.read(*found.key, lock=True)
                    if read is None:
                        await self._give_back(tx, found, secret, tokens)
                        return
                    if read[0].version != found.version:
                        return  # somebody signed in
                    renewed = read[0].renewed(tokens)
                    await tx.connections.save(renewed, self.sealed(renewed, secret, tokens))
                    await announce(tx.connection, [found.name.settings])
                return
            except Unavailable:
                if attempt == STORE_ATTEMPTS:
                    raise
                await asyncio.sleep(attempt * POLL_SECONDS)

    async def _lose(self, found: Connection, error: str) -> None:
        async with self._store.transaction(found.name.org) as tx:
            read = await tx.connections.read(*found.key, lock=True)
            if read is None or read[0].version != found.version or read[1] is None:
                return
            lost = read[0].lost()
            secret = self._sealing.open(found, read[1]).client_secret
            await tx.connections.save(lost, self.sealed(lost, secret, None))
            who = SYSTEM(found.name.org)
            of = {"user": found.owner} if found.owner else {}
            await record(tx.connection, who, "connection.needs_reauth", found.name, error=error, **of)
            await announce(tx.connection, [found.name.settings])
        _log.warning(
            "a connection needs somebody to sign in again",
            connection=str(found.name),
            host=found.provider.host,
            error=error,
        )

    async def _connected_or_given_back(
        self, caller: Caller, found: Connection, client: Client, tokens: Tokens
    ) -> Connection:
        try:
            return await self._connected(caller, found, client, tokens)
        except (NotFound, Conflict):
            async with self._store.transaction(caller.org) as tx:
                await self._give_back(tx, replace(found, client_id=client.id), client.secret, tokens)
            raise

    async def _give_back(self, tx: Transaction, found: Connection, secret: SecretValue | None, tokens: Tokens) -> None:
        """Have tokens taken back that came when their connection was gone: nobody would know of them any more."""
        if found.provider.revocation_url:
            client = self._sealing.seal(replace(found, owner=""), secret, None)
            await tx.revocations.add_given(found, self.sealed(found, secret, tokens), client)

    async def _connected(self, caller: Caller, found: Connection, client: Client, tokens: Tokens) -> Connection:
        async with self._store.transaction(caller.org) as tx:
            # It may have been renewed meanwhile; a person who signs in goes before that.
            current, _ = await existing(tx, found.name, lock=True)
            if not current.provider.same_as(found.provider) or current.per_user is not bool(found.owner):
                raise _invalid(found.name, "the provider, or who signs in, was changed during the sign-in")
            if found.owner:
                if current.client_id != client.id:
                    raise _invalid(found.name, "the org's client was changed during the sign-in")
                own = await tx.connections.read(*found.key, lock=True)
                # Whoever still renews what was there before, and was deleted, must not take this one for it.
                current = own[0] if own else current.of(found.owner, randomness.randbelow(FIRST_VERSIONS))
            if not found.owner:
                current = replace(current, redirect_uri=found.redirect_uri)
            connected = current.connected(client, tokens, caller.subject, self._clock.now())
            await tx.connections.save(connected, self.sealed(connected, client.secret, tokens))
            scopes = " ".join(connected.scopes)
            await record(
                tx.connection, caller, "connection.connect", found.name, host=found.provider.host, scopes=scopes
            )
            await announce(tx.connection, [found.name.settings])
        return connected

    def sealed(self, connection: Connection, secret: SecretValue | None, tokens: Tokens | None) -> Sealed:
        """What is kept: the client's secret only with the org's own connection."""
        return self._sealing.seal(connection, None if connection.owner else secret, tokens)

    def kept_client(self, found: Connection, sealed: Sealed | None) -> Client:
        """The org's client that is kept; raises InvalidArgument where there is none."""
        if not found.client_id or sealed is None:
            raise InvalidArgument(
                {"client_id": "is needed the first time"},
                fix="make an OAuth app at the provider and give its client id and secret",
            )
        return Client(found.client_id, self._sealing.open(found, sealed).client_secret)


async def existing(tx: Transaction, name: ConnectionName, *, lock: bool = False) -> tuple[Connection, Sealed | None]:
    """Read a connection; raises NotFound."""
    found = await tx.connections.read(name, lock=lock)
    if found is None:
        raise NotFound("connection", name, fix=f"hardpoint connect {name.connection}")
    return found


def _held(read: tuple[Connection, Sealed | None]) -> tuple[Connection, Sealed]:
    connection, sealed = read
    assert sealed is not None
    return connection, sealed


def _invalid(name: ConnectionName, message: str) -> Conflict:
    return Conflict(
        message, reason="SIGN_IN_INVALID", fix=f"begin again: hardpoint connect {name.connection}", connection=name
    )
