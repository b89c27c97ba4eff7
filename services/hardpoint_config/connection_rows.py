"""Owns the SQL of connections and sign-ins; speaks domain terms. What is secret passes through sealed."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from hardpoint_config.connection import Connection, ConnectionState, Grant, Provider
from hardpoint_config.crypto import Sealed
from hardpoint_kit.names import ConnectionName

RENEWAL_SECONDS = 10
"""How long a process has a renewal to itself: longer than a token endpoint may take and the row to be written."""

_COLUMNS = (
    "provider, state, version, client_id, has_client_secret, renewable, scopes, expires_at, connected_at, subject,"
    " key_id, wrapped_key, ciphertext, per_user, redirect_uri, '' AS owner"
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
    " expires_at = :expires_at, connected_at = :connected_at, subject = :subject, per_user = :per_user,"
    " redirect_uri = :redirect_uri,"
    # A renewal that somebody has begun is of one version.
    " renewing_until = CASE WHEN version = :version THEN renewing_until END,"
    " key_id = :key_id, wrapped_key = :wrapped_key, ciphertext = :ciphertext"
    " WHERE org = :org AND id = :id"
)
# By the clock of the database, which all processes share.
_CLAIM = (
    "UPDATE {table} SET renewing_until = clock_timestamp() + make_interval(secs => :seconds)"
    " WHERE org = :org AND id = :id AND version = :version AND state = 'ACTIVE'{whose}"
    " AND (renewing_until IS NULL OR renewing_until < clock_timestamp()) RETURNING true"
)
_RELEASE = "UPDATE {table} SET renewing_until = NULL WHERE org = :org AND id = :id AND version = :version{whose}"
_OWN = (
    "SELECT c.org, c.id, c.provider, u.state, u.version, c.client_id, c.has_client_secret, u.renewable, u.scopes,"
    " u.expires_at, u.connected_at, u.owner AS subject, u.key_id, u.wrapped_key, u.ciphertext, c.per_user,"
    " c.redirect_uri, u.owner FROM user_connections u JOIN connections c USING (org, id) WHERE org = :org"
)
_READ_OWN = text(_OWN + " AND id = :id AND u.owner = :owner")
_LOCK_OWN = text(_OWN + " AND id = :id AND u.owner = :owner FOR UPDATE OF u")
_OF_USERS = text(_OWN + " AND id = :id AND u.owner > :after ORDER BY u.owner LIMIT :limit")
_OF_OWNER = text(_OWN + " AND u.owner = :owner AND id > :after ORDER BY id LIMIT :limit")
_SAVE_OWN = text(
    "INSERT INTO user_connections (org, id, owner, state, version, renewable, scopes, expires_at, connected_at, key_id,"
    " wrapped_key, ciphertext) VALUES (:org, :id, :owner, :state, :version, :renewable, :scopes, :expires_at,"
    " :connected_at, :key_id, :wrapped_key, :ciphertext) ON CONFLICT (org, id, owner) DO UPDATE SET state = :state,"
    " version = :version, renewable = :renewable, scopes = :scopes, expires_at = :expires_at,"
    " connected_at = :connected_at, key_id = :key_id, wrapped_key = :wrapped_key, ciphertext = :ciphertext,"
    " renewing_until = NULL"
)
_DELETE_OWN = text(
    "DELETE FROM user_connections WHERE org = :org AND id = :id AND (owner = :owner OR :owner = '') RETURNING true"
)
_DELETE = text("DELETE FROM connections WHERE org = :org AND id = :id RETURNING true")
_KEY = text(
    "SELECT provider->>'setting' FROM connections WHERE org = :org AND id = :id AND (state <> 'PENDING' OR per_user)"
)
_KEY_IDS = text(
    "SELECT key_id FROM connections WHERE key_id IS NOT NULL UNION SELECT key_id FROM sign_ins"
    " UNION SELECT key_id FROM user_connections WHERE key_id IS NOT NULL"
    " UNION SELECT key_id FROM revocations UNION SELECT client_key_id FROM revocations"
)
_ADD_SIGN_IN = text(
    "INSERT INTO sign_ins (hash, org, connection, subject, redirect_uri, client_id, expires_at, key_id, wrapped_key,"
    " ciphertext) VALUES (:hash, :org, :id, :subject, :redirect_uri, :client_id, :expires_at, :key_id, :wrapped_key,"
    " :ciphertext)"
)
_BEGUN = text(
    "SELECT true FROM sign_ins WHERE hash = :hash AND org = :org AND connection = :id AND expires_at > :until"
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

    async def read(
        self, name: ConnectionName, owner: str = "", *, lock: bool = False
    ) -> tuple[Connection, Sealed | None] | None:
        """Return a connection, or a person's, and what is sealed for it; with `lock`, nobody else changes it now."""
        if owner:
            query, key = (_LOCK_OWN if lock else _READ_OWN), {**_key_of(name), "owner": owner}
        else:
            query, key = (_LOCK if lock else _READ), _key_of(name)
        row = (await self._sql.execute(query, key)).one_or_none()
        return (_connection(name, row), _sealed(row)) if row else None

    async def of_users(self, name: ConnectionName, after: str, limit: int) -> list[Connection]:
        """Return the connections of people, by subject, from after the given one."""
        rows = await self._sql.execute(_OF_USERS, {**_key_of(name), "after": after, "limit": limit})
        return [_connection(name, row) for row in rows]

    async def of_owner(self, org: str, owner: str, after: str, limit: int) -> list[Connection]:
        """Return the connections of one person, by id, from after the given one."""
        rows = await self._sql.execute(_OF_OWNER, {"org": org, "owner": owner, "after": after, "limit": limit})
        return [_connection(ConnectionName(org, row.id), row) for row in rows]

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
        """Write a connection that this transaction locked, or a person's while it has locked the org's or theirs."""
        row = {
            **_key_of(connection.name),
            **asdict(connection),
            "provider": json.dumps(asdict(connection.provider)),
            "scopes": list(connection.scopes),
            "state": connection.state.value,
            **_sealed_columns(sealed),
        }
        del row["name"]
        await self._sql.execute(_SAVE_OWN if connection.owner else _SAVE, row)

    async def claim(self, connection: Connection) -> bool:
        """Have the renewal of this version to oneself for a while; False when somebody has it, or it is done."""
        query, key = _of_version(_CLAIM, connection)
        return bool(await self._sql.scalar(query, {**key, "seconds": RENEWAL_SECONDS}))

    async def release(self, connection: Connection) -> None:
        """Leave the renewal of this version to others."""
        await self._sql.execute(*_of_version(_RELEASE, connection))

    async def delete(self, name: ConnectionName) -> bool:
        """Remove a connection, people's of it, and its sign-ins; False when there is none."""
        return bool(await self._sql.scalar(_DELETE, _key_of(name)))

    async def delete_own(self, name: ConnectionName, owner: str = "") -> bool:
        """Remove what a person signed in with, or what all did; False when there is nothing."""
        return bool((await self._sql.execute(_DELETE_OWN, {**_key_of(name), "owner": owner})).rowcount)

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

    async def is_begun(self, name: ConnectionName, state_hash: bytes, until: datetime) -> bool:
        """Whether a sign-in can be ended until then: nobody did, and nothing ended it."""
        key = {**_key_of(name), "hash": state_hash, "until": until}
        return bool(await self._sql.scalar(_BEGUN, key))

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


def _of_version(query: str, connection: Connection) -> tuple[TextClause, dict[str, Any]]:
    """A statement about the version of a connection that somebody read, the org's or a person's."""
    key = {**_key_of(connection.name), "version": connection.version}
    if not connection.owner:
        return text(query.format(table="connections", whose="")), key
    own = query.format(table="user_connections", whose=" AND owner = :owner")
    return text(own), {**key, "owner": connection.owner}


def _connection(name: ConnectionName, row: Any) -> Connection:
    return Connection(
        name=name,
        provider=provider_of(row.provider),
        state=ConnectionState(row.state),
        version=row.version,
        client_id=row.client_id,
        has_client_secret=row.has_client_secret,
        renewable=row.renewable,
        scopes=tuple(row.scopes),
        expires_at=row.expires_at and row.expires_at.astimezone(UTC),
        connected_at=row.connected_at and row.connected_at.astimezone(UTC),
        subject=row.subject,
        per_user=row.per_user,
        redirect_uri=row.redirect_uri,
        owner=row.owner,
    )


def provider_of(given: Any) -> Provider:
    """Read where one signs in."""
    return Provider(
        given["setting"],
        Grant(given["grant"]),
        given["authorization_url"],
        given["token_url"],
        tuple(given["scopes"]),
        given.get("revocation_url", ""),
    )


def _sealed(row: Any) -> Sealed | None:
    return Sealed(row.key_id, bytes(row.wrapped_key), bytes(row.ciphertext)) if row.key_id else None


def _sealed_columns(sealed: Sealed | None) -> dict[str, Any]:
    return {
        "key_id": sealed and sealed.key_id,
        "wrapped_key": sealed and sealed.wrapped_key,
        "ciphertext": sealed and sealed.ciphertext,
    }
