"""Owns the SQL of files: rows by name, bytes once for each org and digest, and what an org keeps in all.

Whoever adds or removes a file holds the lock of its org and digest to the end, then the org's row of `kept`; never
the other way round, but that whoever forgets what expired only tries for it and leaves what is taken. So bytes go with
the last file that has them, and no two writers can pass a quota together.
"""

# ruff: noqa: S608 - statements are put together from constants of this file only

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from secrets import token_bytes
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from hardpoint_files.domain import Expired, File, Quota
from hardpoint_files.tickets import KEY_BYTES
from hardpoint_kit.database import Database
from hardpoint_kit.errors import NotFound
from hardpoint_kit.names import FileName

PART_BYTES = 512 * 1024

_KEY = "hashtextextended('hardpoint.file ' || {org} || ' ' || {digest}, 0)"
_LOCK = text(f"SELECT pg_advisory_xact_lock({_KEY.format(org='CAST(:org AS text)', digest='CAST(:digest AS text)')})")
_TRY_LOCK = text(
    f"SELECT pg_try_advisory_xact_lock({_KEY.format(org='CAST(:org AS text)', digest='CAST(:digest AS text)')})"
)
_ADD_CONTENT = text("INSERT INTO contents (org, digest) VALUES (:org, :digest) ON CONFLICT DO NOTHING RETURNING true")
_ADD_PART = text("INSERT INTO parts (org, digest, number, bytes) VALUES (:org, :digest, :number, :bytes)")
_KEEP = text(
    "INSERT INTO kept (org, files, size_bytes) SELECT :org, 1, :size_bytes WHERE :size_bytes <= :most_bytes"
    " ON CONFLICT (org) DO UPDATE SET files = kept.files + 1, size_bytes = kept.size_bytes + :size_bytes"
    " WHERE kept.files < :most_files AND kept.size_bytes + :size_bytes <= :most_bytes RETURNING true"
)
_RELEASE = text("UPDATE kept SET files = files - 1, size_bytes = size_bytes - :size_bytes WHERE org = :org")
_KEPT = text("SELECT files, size_bytes FROM kept WHERE org = :org")
_OVER = text(
    "SELECT count(*) AS files, coalesce(sum(size_bytes), 0) AS size_bytes FROM files"
    " WHERE org = :org AND expires_at <= :now"
)
_SAVED = text(
    "SELECT count(*) AS files, coalesce(sum(size_bytes), 0) AS size_bytes FROM files"
    " WHERE org = :org AND execution = :execution"
)
_ADD = text(
    "INSERT INTO files (org, file, display_name, type, digest, size_bytes, creator, run, execution, created_at,"
    " expires_at) VALUES (:org, :file, :display_name, :type, :digest, :size_bytes, :creator, :run, :execution,"
    " :created_at, :expires_at)"
)
_COLUMNS = (
    "org, file, display_name, type, digest, size_bytes, creator, run, execution, created_at, expires_at, sequence,"
    " CAST(transaction AS text) AS transaction"
)
_THERE = "(expires_at IS NULL OR expires_at > :now)"
_GET = text(f"SELECT {_COLUMNS} FROM files WHERE org = :org AND file = :file AND {_THERE}")
_GET_ALL = text(f"SELECT {_COLUMNS} FROM files WHERE org = :org AND file = ANY(:files) AND {_THERE}")
_LIST = text(
    f"SELECT {_COLUMNS} FROM files WHERE org = :org AND {_THERE} AND (:creator = '' OR creator = :creator)"
    " AND (:run = '' OR run = :run) AND (created_at, file) < (:created_at, :file)"
    " ORDER BY created_at DESC, file DESC LIMIT :limit"
)
_PART = text(
    "SELECT p.bytes FROM files f JOIN parts p ON p.org = f.org AND p.digest = f.digest"
    " WHERE f.org = :org AND f.file = :file AND p.number = :number"
)
# Asked for when the file is not there: one with an expiry is over then.
_GET_EXPIRED = text(
    "SELECT execution, expires_at AS expired_at FROM files WHERE org = :org AND file = :file AND expires_at IS NOT NULL"
    " UNION ALL SELECT execution, expired_at FROM expired WHERE org = :org AND file = :file LIMIT 1"
)
_REMEMBER = text(
    "INSERT INTO expired (org, file, execution, expired_at) VALUES (:org, :file, :execution, :expired_at)"
    " ON CONFLICT DO NOTHING"
)
_FORGET_NAMES = text(
    "DELETE FROM expired WHERE (org, file) IN (SELECT org, file FROM expired WHERE expired_at < :before LIMIT :most"
    " FOR UPDATE SKIP LOCKED)"
)
_DELETE = text("DELETE FROM files WHERE org = :org AND file = :file")
_FORGET_CONTENT = text(
    "DELETE FROM contents WHERE org = :org AND digest = :digest"
    " AND NOT EXISTS (SELECT FROM files WHERE org = :org AND digest = :digest)"
)
# Rows that another process is deleting are left to it.
_EXPIRED = text(
    f"SELECT {_COLUMNS} FROM files WHERE expires_at <= :before ORDER BY org LIMIT :most FOR UPDATE SKIP LOCKED"
)
# Before this one nothing of this database can come any more. A snapshot's own xmin would count what other databases of
# the server do. The snapshot comes first and the list of who runs after it, so what is in neither has ended by then.
# The list has the lower 32 bits of numbers: what seems to lie half of them ahead began after the snapshot.
_SETTLED = text("""
    WITH latest AS (SELECT CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint) AS next),
    running AS (
        SELECT ((next - CAST(CAST(backend_xid AS text) AS bigint)) % 4294967296 + 4294967296) % 4294967296 AS behind
        FROM pg_stat_activity, latest WHERE datname = current_database() AND backend_xid IS NOT NULL
    )
    SELECT CAST(next - coalesce((SELECT max(behind) FROM running WHERE behind < 2147483648), 0) AS text) FROM latest
""")
_UPLOADS = text(
    f"SELECT {_COLUMNS} FROM files WHERE run = '' AND (transaction, sequence) > (CAST(:transaction AS xid8), :sequence)"
    " AND transaction < CAST(:settled AS xid8) ORDER BY transaction, sequence LIMIT :limit"
)
_ADD_TICKET_KEY = text("INSERT INTO ticket_keys (key) VALUES (:key) ON CONFLICT DO NOTHING")
_TICKET_KEY = text("SELECT key FROM ticket_keys")

Cursor = tuple[str, int]
"""Behind which upload to go on: the number of its transaction, and its own."""


class Store:
    """Opens transactions on the database of files."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def transaction(self, org: str) -> AsyncIterator["Transaction"]:
        """Open a transaction that sees the rows of one org, or all for `*`."""
        async with self._database.transaction(org) as connection:
            yield Transaction(connection)


class Transaction:
    """What can be read and written in one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection

    async def add_content(self, org: str, digest: str, parts: Iterable[bytes]) -> None:
        """Keep verified bytes of an org, in parts of `PART_BYTES` and a last one, unless it has them."""
        await self.connection.execute(_LOCK, {"org": org, "digest": digest})
        if await self.connection.scalar(_ADD_CONTENT, {"org": org, "digest": digest}):
            for number, part in enumerate(parts):
                row = {"org": org, "digest": digest, "number": number, "bytes": part}
                await self.connection.execute(_ADD_PART, row)

    async def keep(self, org: str, size_bytes: int, quota: Quota) -> bool:
        """Count one more file of an org; false when that is more than its quota, and nobody else counts meanwhile."""
        asked = {
            "org": org,
            "size_bytes": size_bytes,
            "most_files": quota.files,
            "most_bytes": quota.size_bytes,
        }
        return await self.connection.scalar(_KEEP, asked) is True

    async def kept(self, org: str) -> tuple[int, int]:
        """How many files an org keeps, and their bytes."""
        row = (await self.connection.execute(_KEPT, {"org": org})).one_or_none()
        return (row.files, row.size_bytes) if row else (0, 0)

    async def over(self, org: str, now: datetime) -> tuple[int, int]:
        """How many of them are over and not swept yet, and their bytes."""
        row = (await self.connection.execute(_OVER, {"org": org, "now": now})).one()
        return row.files, int(row.size_bytes)

    async def saved(self, org: str, execution: str) -> tuple[int, int]:
        """How many files of an execution there are, and their bytes; nobody adds to them after `keep`."""
        row = (await self.connection.execute(_SAVED, {"org": org, "execution": execution})).one()
        return row.files, int(row.size_bytes)

    async def add(self, file: File) -> None:
        """Write a file whose bytes are kept and counted."""
        await self.connection.execute(_ADD, _row(file))

    async def file(self, name: FileName, now: datetime) -> File:
        """Return a file; raises NotFound when it is not there, FILE_EXPIRED when it is not any longer."""
        match await self.find(name, now):
            case File() as file:
                return file
            case gone:
                raise missing(name, gone)

    async def find(self, name: FileName, now: datetime) -> File | Expired | None:
        """Return a file, or what is remembered of one that expired."""
        row = (await self.connection.execute(_GET, {"org": name.org, "file": name.file, "now": now})).one_or_none()
        return _file(row) if row else await self.expired(name)

    async def expired(self, name: FileName) -> Expired | None:
        """Return what is remembered of a file that is not there."""
        row = (await self.connection.execute(_GET_EXPIRED, {"org": name.org, "file": name.file})).one_or_none()
        return Expired(name, row.execution, row.expired_at.astimezone(UTC)) if row else None

    async def files(self, org: str, ids: Sequence[str], now: datetime) -> dict[str, File]:
        """Return those of the files that are there, by id."""
        rows = await self.connection.execute(_GET_ALL, {"org": org, "files": list(ids), "now": now})
        return {row.file: _file(row) for row in rows}

    async def listed(
        self, org: str, creator: str, run: str, before: tuple[datetime, str], limit: int, now: datetime
    ) -> list[File]:
        """Return files of an org, newest first, from below a time and an id."""
        asked = {"org": org, "creator": creator, "run": run, "created_at": before[0], "file": before[1]}
        rows = await self.connection.execute(_LIST, {**asked, "limit": limit, "now": now})
        return [_file(row) for row in rows]

    async def part(self, name: FileName, number: int) -> bytes:
        """Return a part of a file's bytes; raises NotFound, or FILE_EXPIRED, when the file is gone."""
        found = await self.connection.scalar(_PART, {"org": name.org, "file": name.file, "number": number})
        if found is None:
            raise missing(name, await self.expired(name))
        return bytes(found)

    async def delete(self, file: File) -> bool:
        """Remove a file, and its bytes when no other file of the org has them; false when it was removed before."""
        await self.connection.execute(_LOCK, {"org": file.name.org, "digest": file.digest})
        return await self._delete(file)

    async def delete_expired(self, before: datetime, most: int) -> int:
        """Remove at most so many files that are over at a moment, and remember that they were; return how many."""
        expired = [_file(row) for row in await self.connection.execute(_EXPIRED, {"before": before, "most": most})]
        forgotten = 0
        for file in expired:
            if await self.connection.scalar(_TRY_LOCK, {"org": file.name.org, "digest": file.digest}):
                forgotten += await self._delete(file)
                gone = {"org": file.name.org, "file": file.name.file, "execution": file.execution}
                await self.connection.execute(_REMEMBER, {**gone, "expired_at": file.expire_time})
        return forgotten

    async def _delete(self, file: File) -> bool:
        org = file.name.org
        gone = await self.connection.execute(_DELETE, {"org": org, "file": file.name.file})
        if not gone.rowcount:
            return False
        await self.connection.execute(_RELEASE, {"org": org, "size_bytes": file.size_bytes})
        await self.connection.execute(_FORGET_CONTENT, {"org": org, "digest": file.digest})
        return True

    async def cursor(self) -> Cursor:
        """Where uploads of from now on begin."""
        return str(await self.connection.scalar(_SETTLED)), 0

    async def uploads(self, after: Cursor, limit: int) -> tuple[list[File], Cursor]:
        """Return uploads behind a cursor, in their order, and the cursor behind them."""
        settled = str(await self.connection.scalar(_SETTLED))
        asked = {"transaction": after[0], "sequence": after[1], "settled": settled, "limit": limit}
        rows = (await self.connection.execute(_UPLOADS, asked)).all()
        return [_file(row) for row in rows], (rows[-1].transaction, rows[-1].sequence) if rows else after

    async def ticket_key(self) -> bytes:
        """Return the key that signs tickets, made when first asked for; seen by the unit's own work only."""
        await self.connection.execute(_ADD_TICKET_KEY, {"key": token_bytes(KEY_BYTES)})
        return bytes(await self.connection.scalar(_TICKET_KEY))


async def forget_expired(connection: AsyncConnection, before: datetime, most: int) -> int:
    """Delete at most so many files that are over at a moment; return how many."""
    return await Transaction(connection).delete_expired(before, most)


async def forget_names(connection: AsyncConnection, before: datetime, most: int) -> int:
    """Forget of at most so many files that they expired before a moment; return of how many."""
    return (await connection.execute(_FORGET_NAMES, {"before": before, "most": most})).rowcount


def missing(name: FileName, gone: Expired | None) -> NotFound:
    """The error for a file that is not there."""
    return gone.error() if gone else NotFound("file", name)


def _file(row: Any) -> File:
    return File(
        name=FileName(row.org, row.file),
        display_name=row.display_name,
        type=row.type,
        digest=row.digest,
        size_bytes=row.size_bytes,
        creator=row.creator,
        create_time=row.created_at.astimezone(UTC),
        run=row.run,
        execution=row.execution,
        expire_time=row.expires_at and row.expires_at.astimezone(UTC),
    )


def _row(file: File) -> dict[str, Any]:
    return {
        "org": file.name.org,
        "file": file.name.file,
        "display_name": file.display_name,
        "type": file.type,
        "digest": file.digest,
        "size_bytes": file.size_bytes,
        "creator": file.creator,
        "run": file.run,
        "execution": file.execution,
        "created_at": file.create_time,
        "expires_at": file.expire_time,
    }
