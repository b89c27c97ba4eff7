"""Owns the SQL of config's database; speaks domain terms. Values of secrets pass through sealed."""

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from hardpoint_config.connection_rows import ConnectionRows
from hardpoint_config.crypto import Sealed
from hardpoint_config.domain import Secret, Settings
from hardpoint_config.revocation_rows import RevocationRows
from hardpoint_kit.database import Database
from hardpoint_kit.names import SecretName, SettingsName

MOST_EXPIRED = 100

_SETTINGS = """
    SELECT document, updated_at, (
        SELECT json_object_agg(key, secret ORDER BY key) FROM bindings
        WHERE bindings.org = settings.org AND bindings.settings = settings.id
    ) AS secrets
    FROM settings WHERE org = :org AND id = :id
"""
_GET_SETTINGS = text(_SETTINGS)
_LOCK_SETTINGS = text(_SETTINGS + " FOR UPDATE")
_MAKE_SETTINGS = text("INSERT INTO settings (org, id) VALUES (:org, :id) ON CONFLICT DO NOTHING")
_SAVE_SETTINGS = text(
    "UPDATE settings SET document = CAST(:document AS json), updated_at = :at WHERE org = :org AND id = :id"
)
_DELETE_SETTINGS = text("DELETE FROM settings WHERE org = :org AND id = :id")
_CLEAR_BINDINGS = text("DELETE FROM bindings WHERE org = :org AND settings = :id")
_BIND = text("INSERT INTO bindings (org, settings, key, secret) VALUES (:org, :id, :key, :secret)")
_BOUND_TO = text("SELECT DISTINCT settings FROM bindings WHERE org = :org AND secret = :id ORDER BY settings")

_SECRET = "SELECT org, id, description, version, created_at, rotated_at FROM secrets WHERE org = :org"  # noqa: S105
_GET_SECRET = text(_SECRET + " AND id = :id")
_LOCK_SECRET = text(_SECRET + " AND id = :id FOR UPDATE")
_LIST_SECRETS = text(_SECRET + " AND id > :after ORDER BY id LIMIT :limit")
# Shared locks: no bound secret is deleted before this transaction ends, and others may bind it meanwhile.
_HOLD_SECRETS = text("SELECT id FROM secrets WHERE org = :org AND id = ANY(:ids) ORDER BY id FOR KEY SHARE")
_ADD_SECRET = text(
    "INSERT INTO secrets (org, id, description, version, created_at, key_id, wrapped_key, ciphertext)"
    " VALUES (:org, :id, :description, :version, :created_at, :key_id, :wrapped_key, :ciphertext)"
    " ON CONFLICT DO NOTHING RETURNING true"
)
_SAVE_SECRET = text(
    "UPDATE secrets SET version = :version, rotated_at = :rotated_at, key_id = :key_id, wrapped_key = :wrapped_key,"
    " ciphertext = :ciphertext WHERE org = :org AND id = :id"
)
_DELETE_SECRET = text("DELETE FROM secrets WHERE org = :org AND id = :id")
_BOUND_SECRETS = text(
    "SELECT bindings.key, secrets.id, version, key_id, wrapped_key, ciphertext"
    " FROM bindings JOIN secrets ON secrets.org = bindings.org AND secrets.id = bindings.secret"
    " WHERE bindings.org = :org AND bindings.settings = :id"
)
_KEY_IDS = text("SELECT DISTINCT key_id FROM secrets")
_NEWEST_SEALED = text(
    "SELECT DISTINCT ON (key_id) org, id, version, key_id, wrapped_key, ciphertext FROM secrets"
    " ORDER BY key_id, COALESCE(rotated_at, created_at) DESC"
)

_ADD_LEASE = text(
    "INSERT INTO leases (hash, org, settings, expires_at, owner) VALUES (:hash, :org, :settings, :expires_at, :owner)"
)
_LEASE = text("SELECT org, settings, expires_at, owner FROM leases WHERE hash = :hash AND expires_at > :now")
_DELETE_EXPIRED = text(
    "DELETE FROM leases WHERE hash IN ("
    "SELECT hash FROM leases WHERE org = :org AND expires_at <= :now LIMIT :most FOR UPDATE SKIP LOCKED)"
)


class Store:
    """Opens transactions on config's database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def transaction(self, org: str) -> AsyncIterator["Transaction"]:
        """Open a transaction that sees the rows of one org, or of all for `*`; commits unless the block raises."""
        async with self._database.transaction(org) as connection:
            yield Transaction(connection)


class Transaction:
    """What can be read and written in one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        self.connections = ConnectionRows(connection)
        self.revocations = RevocationRows(connection)

    async def settings(self, name: SettingsName) -> Settings:
        """Return a settings document, an empty one when nothing was ever set."""
        row = (await self.connection.execute(_GET_SETTINGS, _key_of(name))).one_or_none()
        return _settings(name, row) if row else Settings(name)

    async def locked_settings(self, name: SettingsName) -> Settings:
        """Return a settings document that nobody else changes before this transaction ends."""
        row = None
        while row is None:  # again when somebody deleted it between the two
            await self.connection.execute(_MAKE_SETTINGS, _key_of(name))
            row = (await self.connection.execute(_LOCK_SETTINGS, _key_of(name))).one_or_none()
        return _settings(name, row)

    async def save_settings(self, settings: Settings) -> None:
        """Write a document that this transaction locked; its secrets must exist."""
        key = _key_of(settings.name)
        await self.connection.execute(
            _SAVE_SETTINGS, {**key, "document": json.dumps(settings.values), "at": settings.update_time}
        )
        await self.connection.execute(_CLEAR_BINDINGS, key)
        if settings.secrets:
            await self.connection.execute(
                _BIND, [{**key, "key": bound, "secret": secret.secret} for bound, secret in settings.secrets.items()]
            )

    async def delete_settings(self, name: SettingsName) -> bool:
        """Remove a document and its bindings; False when there is none."""
        key = _key_of(name)
        if (await self.connection.execute(_LOCK_SETTINGS, key)).one_or_none() is None:
            return False
        await self.connection.execute(_CLEAR_BINDINGS, key)
        await self.connection.execute(_DELETE_SETTINGS, key)
        return True

    async def missing_secrets(self, org: str, wanted: Iterable[SecretName]) -> set[SecretName]:
        """Return those that do not exist; the others go on existing until this transaction ends."""
        wanted = set(wanted)
        found = await self.connection.scalars(_HOLD_SECRETS, {"org": org, "ids": [name.secret for name in wanted]})
        return wanted - {SecretName(org, secret) for secret in found}

    async def bound_to(self, name: SecretName) -> list[SettingsName]:
        """Return the documents that a secret is bound in."""
        found = await self.connection.scalars(_BOUND_TO, _key_of(name))
        return [SettingsName(name.org, settings) for settings in found]

    async def secret(self, name: SecretName, *, lock: bool = False) -> Secret | None:
        """Return what is known of a secret; with `lock`, nobody else changes or binds it before the end."""
        row = (await self.connection.execute(_LOCK_SECRET if lock else _GET_SECRET, _key_of(name))).one_or_none()
        return _secret(row) if row else None

    async def secrets(self, org: str, after: str, limit: int) -> list[Secret]:
        """Return the secrets of an org by id, from after the given one."""
        rows = await self.connection.execute(_LIST_SECRETS, {"org": org, "after": after, "limit": limit})
        return [_secret(row) for row in rows]

    async def add_secret(self, secret: Secret, sealed: Sealed) -> bool:
        """Write a new secret; False when there is one of that name."""
        row = {**_row(secret, sealed), "description": secret.description, "created_at": secret.create_time}
        return bool(await self.connection.scalar(_ADD_SECRET, row))

    async def save_secret(self, secret: Secret, sealed: Sealed) -> None:
        """Write a secret's next value over the one it had."""
        await self.connection.execute(_SAVE_SECRET, {**_row(secret, sealed), "rotated_at": secret.rotate_time})

    async def delete_secret(self, name: SecretName) -> None:
        """Remove a secret that is bound nowhere."""
        await self.connection.execute(_DELETE_SECRET, _key_of(name))

    async def bound_secrets(self, name: SettingsName) -> list[tuple[str, SecretName, int, Sealed]]:
        """Return key, name, version and sealed value of each secret that is bound in a document."""
        rows = await self.connection.execute(_BOUND_SECRETS, _key_of(name))
        return [
            (
                row.key,
                SecretName(name.org, row.id),
                row.version,
                Sealed(row.key_id, bytes(row.wrapped_key), bytes(row.ciphertext)),
            )
            for row in rows
        ]

    async def key_ids(self) -> set[str]:
        """Return the ids of the keys that what is visible is sealed with."""
        return {*(await self.connection.scalars(_KEY_IDS)).all(), *await self.connections.key_ids()}

    async def newest_sealed(self) -> list[tuple[SecretName, int, Sealed]]:
        """Return, for each key, what was sealed with it last."""
        rows = await self.connection.execute(_NEWEST_SEALED)
        return [
            (SecretName(row.org, row.id), row.version, Sealed(row.key_id, row.wrapped_key, row.ciphertext))
            for row in rows
        ]

    async def add_lease(self, token_hash: bytes, settings: SettingsName, expires_at: datetime, owner: str) -> None:
        """Write down that whoever holds the token may read a document until then, with the token of `owner`."""
        key = {"org": settings.org, "settings": settings.installation}
        given = {**key, "hash": token_hash, "expires_at": expires_at, "owner": owner}
        await self.connection.execute(_ADD_LEASE, given)

    async def lease(self, token_hash: bytes, now: datetime) -> tuple[SettingsName, datetime, str] | None:
        """Return what a token is for, when that ends, and whose token it opens; None for an unknown or expired one."""
        row = (await self.connection.execute(_LEASE, {"hash": token_hash, "now": now})).one_or_none()
        return (SettingsName(row.org, row.settings), row.expires_at.astimezone(UTC), row.owner) if row else None

    async def delete_expired_leases(self, org: str, now: datetime) -> None:
        """Remove some of an org's leases that are over."""
        await self.connection.execute(_DELETE_EXPIRED, {"org": org, "now": now, "most": MOST_EXPIRED})


def _key_of(name: SettingsName | SecretName) -> dict[str, Any]:
    return {"org": name.org, "id": name.installation if isinstance(name, SettingsName) else name.secret}


def _settings(name: SettingsName, row: Any) -> Settings:
    return Settings(
        name=name,
        values=row.document,
        secrets={key: SecretName(name.org, secret) for key, secret in (row.secrets or {}).items()},
        update_time=row.updated_at and row.updated_at.astimezone(UTC),
    )


def _secret(row: Any) -> Secret:
    return Secret(
        name=SecretName(row.org, row.id),
        description=row.description,
        version=row.version,
        create_time=row.created_at.astimezone(UTC),
        rotate_time=row.rotated_at and row.rotated_at.astimezone(UTC),
    )


def _row(secret: Secret, sealed: Sealed) -> dict[str, Any]:
    return {
        **_key_of(secret.name),
        "version": secret.version,
        "key_id": sealed.key_id,
        "wrapped_key": sealed.wrapped_key,
        "ciphertext": sealed.ciphertext,
    }
