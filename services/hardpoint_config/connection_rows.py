"""Owns the SQL of connections and sign-ins; speaks domain terms. What is secret passes through sealed."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from hardpoint_config.connection import Connection, ConnectionState, Grant, Provider
from hardpoint_config.crypto import Sealed
from hardpoint_kit.names import ConnectionName

RENEWAL_SECONDS = 10
"""How long a process has a renewal to itself: longer than a token endpoint may take and the row to be written."""

_COLUMNS = (
    "provider, state, version, client_id, has_client_secret, renewable, scopes, expires_at, connected_at, subject,"
    " key_id, wrapped_key, ciphertext"
)
_GET = f"SELECT {_COLUMNS} FROM connections WHERE org = :org AND id = :id"  # noqa: S608 - no value is in it
_READ = text(_GET)
_LOCK = text(_GET + " FOR UPDATE")
_ADD = text(
    "INSERT INTO connections"
    " (org, id, provider, state, version, client_id, has_client_secret, renewable, scopes, subject)"
    " VALUES (:org, :id, CAST(:provider AS json), :state, :version, '', false, false, '{}', '')"
    " ON CONFLICT DO NOTHING RETURNING true"
)
_SAVE = text(
    "UPDATE connections SET provider = CAST(:provider AS json), state = :state, version = :version,"
    " client_id = :client_id, has_client_secret = :has_client_secret, renewable = :renewable, scopes = :scopes,"
    " expires_at = :expires_at, connected_at = :connected_at, subject = :subject,"
    # A renewal that somebody has begun is of one version.
    " renewing_until = CASE WHEN version = :version THEN renewing_until END,"
    " key_id = :key_id, wrapped_key = :wrapped_key, ciphertext = :ciphertext"
    " WHERE org = :org AND id = :id"
)
# By the clock of the database, which all processes share.
_CLAIM = text(
    "UPDATE connections SET renewing_until = clock_timestamp() + make_interval(secs => :seconds)"
    " WHERE org = :org AND id = :id AND version = :version AND state = 'ACTIVE'"
    " AND (renewing_until IS NULL OR renewing_until < clock_timestamp()) RETURNING true"
)
_RELEASE = text("UPDATE connections SET renewing_until = NULL WHERE org = :org AND id = :id AND version = :version")
_DELETE = text("DELETE FROM connections WHERE org = :org AND id = :id RETURNING true")
_KEY = text("SELECT provider->>'setting' FROM connections WHERE org = :org AND id = :id AND state <> 'PENDING'")
_KEY_IDS = text("SELECT key_id FROM connections WHERE key_id IS NOT NULL UNION SELECT key_id FROM sign_ins")
_ADD_SIGN_IN = text(
    "INSERT INTO sign_ins (hash, org, connection, subject, redirect_uri, client_id, expires_at, key_id, wrapped_key,"
    " ciphertext) VALUES (:hash, :org, :id, :subject, :redirect_uri, :client_id, :expires_at, :key_id, :wrapped_key,"
    " :ciphertext)"
)
_TAKE_SIGN_IN = text(
    "DELETE FROM sign_ins WHERE hash = :hash AND org = :org AND connection = :id AND subject = :subject"
    " AND expires_at > :now RETURNING redirect_uri, client_id, key_id, wrapped_key, ciphertext"
)
# Rows that another process is deleting are left to it.
_FORGET = text(
    "DELETE FROM sign_ins WHERE hash IN (SELECT hash FROM sign_ins WHERE expires_at <= :before LIMIT :most"
    " FOR UPDATE SKIP LOCKED)"
)
_END_SIGN_INS = text("DELETE FROM sign_ins WHERE org = :org AND connection = :id")


@dataclass(frozen=True, slots=True)
class SealedSignIn:
    """A sign-in as it is stored."""

    redirect_uri: str
    client_id: str
    sealed: Sealed


class ConnectionRows:
    """What can be read and written of connections in one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._sql = connection

    async def read(self, name: ConnectionName, *, lock: bool = False) -> tuple[Connection, Sealed | None] | None:
        """Return a connection and what is sealed for it; with `lock`, nobody else changes it before the end."""
        row = (await self._sql.execute(_LOCK if lock else _READ, _key_of(name))).one_or_none()
        return (_connection(name, row), _sealed(row)) if row else None

    async def add(self, connection: Connection) -> bool:
        """Write a connection that nobody signed in to; False when there is one of that name."""
        row = {
            **_key_of(connection.name),
            "provider": json.dumps(asdict(connection.provider)),
            "state": connection.state.value,
            "version": connection.version,
        }
        return bool(await self._sql.scalar(_ADD, row))

    async def save(self, connection: Connection, sealed: Sealed | None) -> None:
        """Write a connection that this transaction locked."""
        row = {
            **_key_of(connection.name),
            **asdict(connection),
            "provider": json.dumps(asdict(connection.provider)),
            "scopes": list(connection.scopes),
            "state": connection.state.value,
            **_sealed_columns(sealed),
        }
        del row["name"]
        await self._sql.execute(_SAVE, row)

    async def claim(self, connection: Connection) -> bool:
        """Have the renewal of this version to oneself for a while; False when somebody has it, or it is done."""
        key = {**_key_of(connection.name), "version": connection.version, "seconds": RENEWAL_SECONDS}
        return bool(await self._sql.scalar(_CLAIM, key))

    async def release(self, connection: Connection) -> None:
        """Leave the renewal of this version to others."""
        await self._sql.execute(_RELEASE, {**_key_of(connection.name), "version": connection.version})

    async def delete(self, name: ConnectionName) -> bool:
        """Remove a connection and its sign-ins; False when there is none."""
        return bool(await self._sql.scalar(_DELETE, _key_of(name)))

    async def connected_key(self, name: ConnectionName) -> str:
        """Return the key that a connection fills in, empty where there is none that somebody signed in to."""
        return str(await self._sql.scalar(_KEY, _key_of(name)) or "")

    async def key_ids(self) -> set[str]:
        """Return the ids of the keys that connections are sealed with."""
        return set((await self._sql.scalars(_KEY_IDS)).all())

    async def add_sign_in(
        self, name: ConnectionName, state_hash: bytes, subject: str, sign_in: SealedSignIn, expires_at: datetime
    ) -> None:
        """Write down a sign-in that somebody begins."""
        row = {
            **_key_of(name),
            "hash": state_hash,
            "subject": subject,
            "redirect_uri": sign_in.redirect_uri,
            "client_id": sign_in.client_id,
            "expires_at": expires_at,
        }
        await self._sql.execute(_ADD_SIGN_IN, row | _sealed_columns(sign_in.sealed))

    async def take_sign_in(
        self, name: ConnectionName, state_hash: bytes, subject: str, now: datetime
    ) -> SealedSignIn | None:
        """Return what somebody began and remove it; None where it is not theirs, not this connection's, or over."""
        key = {**_key_of(name), "hash": state_hash, "subject": subject, "now": now}
        row = (await self._sql.execute(_TAKE_SIGN_IN, key)).one_or_none()
        sealed = row and _sealed(row)
        return SealedSignIn(row.redirect_uri, row.client_id, sealed) if row and sealed else None

    async def end_sign_ins(self, name: ConnectionName) -> None:
        """Remove a connection's sign-ins."""
        await self._sql.execute(_END_SIGN_INS, _key_of(name))


async def forget_sign_ins(connection: AsyncConnection, before: datetime, most: int) -> int:
    """Delete at most so many sign-ins that nobody ended in time; return how many."""
    return (await connection.execute(_FORGET, {"before": before, "most": most})).rowcount


def _key_of(name: ConnectionName) -> dict[str, Any]:
    return {"org": name.org, "id": name.connection}


def _connection(name: ConnectionName, row: Any) -> Connection:
    given = row.provider
    return Connection(
        name=name,
        provider=Provider(
            given["setting"],
            Grant(given["grant"]),
            given["authorization_url"],
            given["token_url"],
            tuple(given["scopes"]),
        ),
        state=ConnectionState(row.state),
        version=row.version,
        client_id=row.client_id,
        has_client_secret=row.has_client_secret,
        renewable=row.renewable,
        scopes=tuple(row.scopes),
        expires_at=row.expires_at and row.expires_at.astimezone(UTC),
        connected_at=row.connected_at and row.connected_at.astimezone(UTC),
        subject=row.subject,
    )


def _sealed(row: Any) -> Sealed | None:
    return Sealed(row.key_id, bytes(row.wrapped_key), bytes(row.ciphertext)) if row.key_id else None


def _sealed_columns(sealed: Sealed | None) -> dict[str, Any]:
    return {
        "key_id": sealed and sealed.key_id,
        "wrapped_key": sealed and sealed.wrapped_key,
        "ciphertext": sealed and sealed.ciphertext,
    }
