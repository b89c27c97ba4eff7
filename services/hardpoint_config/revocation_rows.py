"""Owns the SQL of tokens that are to be given back: copied as they were sealed, so that deleting needs no key."""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from hardpoint_config.connection import Connection
from hardpoint_config.connection_rows import provider_of
from hardpoint_config.crypto import Sealed
from hardpoint_kit.names import ConnectionName

_ADD = (
    "INSERT INTO revocations (org, id, owner, provider, version, key_id, wrapped_key, ciphertext, client_id,"
    " client_version, client_key_id, client_wrapped_key, client_ciphertext) SELECT c.org, c.id, {owner}, c.provider,"
    " {t}.version, {t}.key_id, {t}.wrapped_key, {t}.ciphertext, c.client_id, c.version, c.key_id, c.wrapped_key,"
    " c.ciphertext FROM connections c {join} WHERE org = :org AND id = :id AND {t}.state = 'ACTIVE'"
    " AND {t}.key_id IS NOT NULL AND c.key_id IS NOT NULL AND coalesce(c.provider->>'revocation_url', '') <> ''"
)
_ADD_ORG = text(_ADD.format(owner="''", t="c", join=""))
_ADD_USERS = text(
    _ADD.format(owner="u.owner", t="u", join="JOIN user_connections u USING (org, id)")
    + " AND (u.owner = :owner OR :owner = '')"
)
_ADD_GIVEN = text(
    "INSERT INTO revocations (org, id, owner, provider, version, key_id, wrapped_key, ciphertext, client_id,"
    " client_version, client_key_id, client_wrapped_key, client_ciphertext) VALUES (:org, :id, :owner,"
    " CAST(:provider AS json), :version, :key_id, :wrapped_key, :ciphertext, :client_id, :version, :client_key_id,"
    " :client_wrapped_key, :client_ciphertext)"
)
# Whoever takes one has it until it is due again, so nobody has to say that they gave up.
_TAKE = text(
    "UPDATE revocations SET attempts = attempts + 1, due_at = :until WHERE number IN (SELECT number FROM revocations"
    " WHERE due_at <= :now ORDER BY due_at, number LIMIT :most FOR UPDATE SKIP LOCKED) RETURNING *"
)
_PUT_OFF = text("UPDATE revocations SET due_at = :due_at WHERE number = :number")
_DONE = text("DELETE FROM revocations WHERE number = :number")


@dataclass(frozen=True, slots=True)
class Revocation:
    """Tokens to give back, of a connection as it was, with the client that they were given to."""

    number: int
    attempts: int
    connection: Connection
    tokens: Sealed
    client: Connection
    client_secret: Sealed


class RevocationRows:
    """What can be read and written of revocations in one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._sql = connection

    async def add_all(self, name: ConnectionName) -> None:
        """Write down what an org and its people have of a connection that is about to go."""
        key = {"org": name.org, "id": name.connection}
        await self._sql.execute(_ADD_ORG, key)
        await self._sql.execute(_ADD_USERS, {**key, "owner": ""})

    async def add_of(self, name: ConnectionName, owner: str) -> None:
        """Write down what a person has of a connection."""
        await self._sql.execute(_ADD_USERS, {"org": name.org, "id": name.connection, "owner": owner})

    async def add_given(self, connection: Connection, tokens: Sealed, client_secret: Sealed) -> None:
        """Write down tokens that a provider gave for a connection that is no more; both are sealed for its version."""
        row = {
            "org": connection.name.org,
            "id": connection.name.connection,
            "owner": connection.owner,
            "provider": json.dumps(asdict(connection.provider)),
            "version": connection.version,
            "client_id": connection.client_id,
            **asdict(tokens),
            **{f"client_{column}": value for column, value in asdict(client_secret).items()},
        }
        await self._sql.execute(_ADD_GIVEN, row)

    async def take(self, now: datetime, until: datetime, most: int) -> list[Revocation]:
        """Take what is due, which nobody else does until then."""
        rows = await self._sql.execute(_TAKE, {"now": now, "until": until, "most": most})
        return [_revocation(row) for row in rows]

    async def put_off(self, number: int, due_at: datetime) -> None:
        """Have it tried again."""
        await self._sql.execute(_PUT_OFF, {"number": number, "due_at": due_at})

    async def done(self, number: int) -> None:
        """Forget the tokens."""
        await self._sql.execute(_DONE, {"number": number})


def _revocation(row: Any) -> Revocation:
    name = ConnectionName(row.org, row.id)

    provider = provider_of(row.provider)
    return Revocation(
        row.number,
        row.attempts,
        Connection(name, provider, version=row.version, client_id=row.client_id, owner=row.owner),
        Sealed(row.key_id, bytes(row.wrapped_key), bytes(row.ciphertext)),
        Connection(name, provider, version=row.client_version, client_id=row.client_id),
        Sealed(row.client_key_id, bytes(row.client_wrapped_key), bytes(row.client_ciphertext)),
    )
