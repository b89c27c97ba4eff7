"""Owns the use cases of config: reading and changing settings, keeping secrets, lending both out for minutes.

What a connection fills in is lent like a secret.
"""

import hashlib
import secrets as randomness
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace
from datetime import timedelta

from hardpoint_config.changes import Changes, announce
from hardpoint_config.connection import ConnectionState
from hardpoint_config.connections import Connections
from hardpoint_config.crypto import Keyring
from hardpoint_config.domain import Lease, LeasedValues, Secret, SecretValue, Settings, SettingsChange
from hardpoint_config.links import Links
from hardpoint_config.people import People
from hardpoint_config.signatures import Proof, Signed, Verdict
from hardpoint_config.store import Store, Transaction
from hardpoint_kit.audit import record
from hardpoint_kit.caller import ANY_ORG, Caller
from hardpoint_kit.clock import Clock
from hardpoint_kit.errors import AlreadyExists, Conflict, NotFound, Unauthenticated
from hardpoint_kit.idempotency import once
from hardpoint_kit.masks import check_etag
from hardpoint_kit.names import ConnectionName, OrgName, SecretName, SettingsName
from hardpoint_kit.paging import Page, PageToken, page_size

TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True)
class ConfigService:
    """What callers can do with settings and secrets; `lease_time` is how long a lease lasts."""

    store: Store
    keyring: Keyring
    changes: Changes
    clock: Clock
    lease_time: timedelta
    connections: Connections
    people: People
    links: Links

    async def get_settings(self, caller: Caller, name: SettingsName) -> Settings:
        """Return a settings document, an empty one when nothing was ever set."""
        async with self.store.transaction(caller.org) as tx:
            key = await tx.connections.connected_key(_connection_of(name))
            return replace(await tx.settings(name), connected_key=key)

    async def update_settings(
        self, caller: Caller, name: SettingsName, change: SettingsChange, etag: str, fingerprint: str
    ) -> Settings:
        """Change a settings document and tell its watchers; raises StaleEtag, Conflict for a secret that is missing."""
        async with self.store.transaction(caller.org) as tx:

            async def update() -> Settings:
                settings = await tx.locked_settings(name)
                check_etag(etag, settings.etag)
                settings = settings.updated(change, at=self.clock.now())
                missing = await tx.missing_secrets(name.org, settings.secrets.values())
                if missing:
                    raise Conflict(
                        f"no such secret: {_listed(missing)}",
                        reason="NOT_FOUND",
                        fix="create the secret first",
                        place="settings.secrets",
                        resource=min(map(str, missing)),
                    )
                await tx.save_settings(settings)
                await record(tx.connection, caller, "settings.update", name, keys=_listed(change.paths()))
                await announce(tx.connection, [name])
                return settings

            return await once(tx.connection, caller, "UpdateSettings", fingerprint, Settings, update)

    async def delete_settings(self, caller: Caller, name: SettingsName, fingerprint: str) -> None:
        """Remove a settings document and its connection, and tell its watchers; what is not there is gone already."""
        async with self.store.transaction(caller.org) as tx:

            async def delete() -> None:
                await tx.revocations.add_all(_connection_of(name))
                connected = await tx.connections.delete(_connection_of(name))
                if await tx.delete_settings(name) or connected:
                    await record(tx.connection, caller, "settings.delete", name)
                    await announce(tx.connection, [name])

            await once(tx.connection, caller, "DeleteSettings", fingerprint, type(None), delete)

    async def create_secret(
        self, caller: Caller, name: SecretName, description: str, value: SecretValue, fingerprint: str
    ) -> Secret:
        """Keep a new secret; raises AlreadyExists."""
        async with self.store.transaction(caller.org) as tx:

            async def create() -> Secret:
                secret = Secret.new(name, description, at=self.clock.now())
                if not await tx.add_secret(secret, self.keyring.seal(name, secret.version, value)):
                    raise AlreadyExists(
                        f'secret "{name}" already exists', fix="rotate it to give it a new value", resource=name
                    )
                await record(tx.connection, caller, "secret.create", name)
                return secret

            told = fingerprint + self.keyring.fingerprint(value)
            return await once(tx.connection, caller, "CreateSecret", told, Secret, create)

    async def rotate_secret(self, caller: Caller, name: SecretName, value: SecretValue, fingerprint: str) -> Secret:
        """Give a secret its next value, in place of the one it had, and tell the watchers of what it is bound in."""
        async with self.store.transaction(caller.org) as tx:

            async def rotate() -> Secret:
                secret = (await _existing(tx, name, lock=True)).rotated(at=self.clock.now())
                await tx.save_secret(secret, self.keyring.seal(name, secret.version, value))
                await record(tx.connection, caller, "secret.rotate", name, version=secret.version)
                await announce(tx.connection, await tx.bound_to(name))
                return secret

            told = fingerprint + self.keyring.fingerprint(value)
            return await once(tx.connection, caller, "RotateSecret", told, Secret, rotate)

    async def get_secret(self, caller: Caller, name: SecretName) -> Secret:
        """Return what is known of a secret; raises NotFound."""
        async with self.store.transaction(caller.org) as tx:
            return await _existing(tx, name)

    async def list_secrets(self, caller: Caller, parent: OrgName, size: int, token: str, query: str) -> Page[Secret]:
        """Return one page of an org's secrets by name."""
        size = page_size(size)
        (after,) = PageToken.decode(token, query, str) or ("",)
        async with self.store.transaction(caller.org) as tx:
            found = await tx.secrets(parent.org, after, size + 1)
        more = PageToken.encode(query, (found[size - 1].name.secret,)) if len(found) > size else ""
        return Page(tuple(found[:size]), more)

    async def delete_secret(self, caller: Caller, name: SecretName, fingerprint: str) -> None:
        """Destroy a secret; raises Conflict SECRET_IN_USE while settings are bound to it."""
        async with self.store.transaction(caller.org) as tx:

            async def delete() -> None:
                await _existing(tx, name, lock=True)
                bound_to = await tx.bound_to(name)
                if bound_to:
                    raise Conflict(
                        f'secret "{name}" is used by {_listed(bound_to)}',
                        reason="SECRET_IN_USE",
                        fix=f"take it away from them first: hardpoint setting unset {bound_to[0].installation} KEY",
                        secret=name,
                        installation=bound_to[0].installation,
                    )
                await tx.delete_secret(name)
                await record(tx.connection, caller, "secret.delete", name)

            await once(tx.connection, caller, "DeleteSecret", fingerprint, type(None), delete)

    async def create_lease(self, caller: Caller, settings: SettingsName, user: str, signer: str) -> Lease:
        """Make a ticket to the values of one settings document, which ends with the access token that it opens.

        Where each person signs in for themselves that is the token of `user`, and nobody's for an empty one.
        Raises Conflict CONNECTION_NEEDS_REAUTH, with a link of `signer` where it is the org that signs in, Unavailable
        while the provider does not answer.
        """
        name = _connection_of(settings)
        async with self.store.transaction(settings.org) as tx:
            read = await tx.connections.read(name)
        per_user = read is not None and read[0].per_user
        if per_user:
            connection = await self.people.ready(name, user) if user else None
        else:
            connection = await self.links.ready(name, signer)
        now = self.clock.now()
        ends = [now + self.lease_time, *([connection.expires_at] if connection and connection.expires_at else [])]
        lease = Lease(randomness.token_urlsafe(TOKEN_BYTES), min(ends), per_user)
        owner = user if per_user else ""
        async with self.store.transaction(caller.org) as tx:
            await tx.delete_expired_leases(settings.org, now)
            await tx.add_lease(_hash(lease.token), settings, lease.expire_time, owner)
            await record(tx.connection, caller, "lease.create", settings, **({"user": owner} if owner else {}))
        return lease

    async def redeem_lease(self, token: str) -> LeasedValues:
        """Return what a lease is for, as it is now; raises Unauthenticated for an unknown or expired token."""
        async with self.store.transaction(ANY_ORG) as tx:
            lease = await tx.lease(_hash(token), self.clock.now())
        if lease is None:
            raise Unauthenticated(
                "the lease is unknown or has expired", reason="TICKET_INVALID", fix="create a new lease"
            )
        name, expire_time, owner = lease
        async with self.store.transaction(name.org) as tx:
            settings = await tx.settings(name)
            bound = await tx.bound_secrets(name)
            connected = await tx.connections.read(_connection_of(name))
            if connected is not None and connected[0].per_user:
                own = await tx.connections.read(_connection_of(name), owner) if owner else None
                connected = own or (connected[0], None)
        secrets = {key: self.keyring.open(secret, version, sealed) for key, secret, version, sealed in bound}
        if connected is not None:
            connection, kept = connected
            if connection.per_user or connection.state is not ConnectionState.PENDING:
                secrets.pop(connection.provider.setting, None)
            if connection.state is ConnectionState.ACTIVE and kept is not None and connection.lasts(self.clock.now()):
                secrets[connection.provider.setting] = self.connections.access_token(connection, kept)
        return LeasedValues(
            values=settings.values,
            secrets=secrets,
            expire_time=expire_time,
        )

    async def verify_signature(self, _caller: Caller, settings: SettingsName, key: str, signed: Signed) -> Proof:
        """Say whether a delivery is signed with the secret that a document has under a key; the secret stays here."""
        async with self.store.transaction(settings.org) as tx:
            bound = await tx.bound_secrets(settings)
        for name, secret, version, sealed in bound:
            if name == key:
                return signed.proof(self.keyring.open(secret, version, sealed), self.clock.now())
        return Proof(Verdict.NO_SECRET)

    def watch_changes(self) -> AsyncIterator[tuple[str, ...]]:
        """Yield the names of settings documents as they change; raises Unavailable when one may have been missed."""
        return self.changes.watch()


async def _existing(tx: Transaction, name: SecretName, *, lock: bool = False) -> Secret:
    secret = await tx.secret(name, lock=lock)
    if secret is None:
        raise NotFound("secret", name)
    return secret


def _connection_of(settings: SettingsName) -> ConnectionName:
    return ConnectionName(settings.org, settings.installation)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _listed(names: Iterable[object]) -> str:
    return ", ".join(sorted(map(str, names)))
