"""Owns the table of installations."""

from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from hardpoint_kit.errors import AlreadyExists, NotFound
from hardpoint_kit.names import InstallationName
from hardpoint_manifest.authority import Authority
from hardpoint_runtime.domain.installations import Installation, InstallationState, InstallationView
from hardpoint_runtime.domain.paging import Window
from hardpoint_runtime.store.rows import COUNTERS, PREFIX, RELEASE, USES, counters, revision, revision_columns

_INSERT = text("""
    INSERT INTO installations (org, installation, uid, version_constraint, release, permissions, hosts, state,
        granted_at, created_at, updated_at, revision, own_name)
    VALUES (:org, :installation, :uid, :version_constraint, CAST(:release AS jsonb), :permissions, :hosts, :state,
        :granted_at, :created_at, :updated_at, :revision, :own_name)
    ON CONFLICT DO NOTHING RETURNING true
""")
_SELECT = f"""
    SELECT i.*, CAST(i.release AS text) AS release_json, c.*, CAST(u.used AS text) AS used_json
    FROM installations i,
        LATERAL (SELECT {COUNTERS} FROM usage_counters WHERE org = i.org AND installation = i.uid) c,
        LATERAL (SELECT coalesce(jsonb_agg(g), '[]') AS used FROM (
            SELECT granted AS "grant", sum(executions)::bigint AS executions, max(last_used) AS last_used
            FROM grant_uses WHERE org = i.org AND installation = i.uid GROUP BY granted
        ) g) u
"""  # noqa: S608 - no value is in it
_GET = text(f"{_SELECT} WHERE i.org = :org AND i.installation = :installation")
_LIST = text(f"{_SELECT} WHERE i.org = :org AND i.installation > :after ORDER BY i.installation LIMIT :limit")
_LOCK = text("SELECT FROM installations WHERE org = :org AND installation = :installation FOR UPDATE")
_UPDATE = text("""
    UPDATE installations SET version_constraint = :version_constraint, release = CAST(:release AS jsonb),
        permissions = :permissions, hosts = :hosts, state = :state, granted_at = :granted_at,
        updated_at = :updated_at, revision = :revision
    WHERE org = :org AND installation = :installation
""")
_CLAIM = text("SELECT pg_advisory_xact_lock(hashtextextended('hardpoint.installations ' || CAST(:org AS text), 0))")
_CALLED = text(f"""
    SELECT installation FROM installations
    WHERE org = :org AND installation <> :installation AND {PREFIX} = :prefix AND (own_name OR :own_name)
""")  # noqa: S608 - no value is in it
_NAMED = text("""
    SELECT release -> 'name' ->> 'capability' FROM installations
    WHERE org = :org AND installation = :prefix AND own_name
""")
_AGENTS = text("SELECT agent FROM attachments WHERE org = :org AND installation = :installation")
_DELETE = text("DELETE FROM installations WHERE org = :org AND installation = :installation")


class Installations:
    """Installations, over one connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, installation: Installation) -> None:
        """Write a new installation; raises AlreadyExists."""
        if not await self._connection.scalar(_INSERT, _columns(installation)):
            raise _exists(installation.name)

    async def called_as(self, installation: Installation, *, lock: bool = False) -> list[InstallationName]:
        """Others that are called as this one is, where it or they have a name of their own.

        With `lock` nobody else adds any to the org before the end.
        """
        if lock:
            await self._connection.execute(_CLAIM, {"org": installation.name.org})
        key = {**_key(installation.name), "prefix": installation.prefix, "own_name": installation.own_name}
        return [InstallationName(installation.name.org, id) for id in await self._connection.scalars(_CALLED, key)]

    async def capability_of(self, org: str, prefix: str) -> str:
        """The id of the capability whose actions are called so."""
        found = await self._connection.scalar(_NAMED, {"org": org, "prefix": prefix})
        return prefix if found is None else str(found)

    async def check_free(self, name: InstallationName) -> None:
        """Raise AlreadyExists when there is an installation of that name."""
        if (await self._connection.execute(_GET, _key(name))).one_or_none() is not None:
            raise _exists(name)

    async def get(self, name: InstallationName, *, lock: bool = False) -> InstallationView:
        """Read an installation, and with `lock` keep others from changing or attaching it; raises NotFound."""
        if lock:
            await self._connection.execute(_LOCK, _key(name))
        row = (await self._connection.execute(_GET, _key(name))).one_or_none()
        if row is None:
            raise NotFound("installation", name)
        return _view(row)

    async def within(self, org: str, window: Window) -> list[InstallationView]:
        """Read installations by name."""
        rows = await self._connection.execute(_LIST, {"org": org, "after": window.after, "limit": window.limit})
        return [_view(row) for row in rows]

    async def agents(self, name: InstallationName) -> list[str]:
        """The ids of the agents it is attached to."""
        return list((await self._connection.scalars(_AGENTS, _key(name))).all())

    async def save(self, installation: Installation) -> None:
        """Write an installation that was read with a lock."""
        await self._connection.execute(_UPDATE, _columns(installation))

    async def delete(self, name: InstallationName) -> None:
        """Remove an installation that was read with a lock."""
        await self._connection.execute(_DELETE, _key(name))


def _exists(name: InstallationName) -> AlreadyExists:
    """The error for an installation of that name."""
    return AlreadyExists(f"installation {name} exists", fix="choose another installation_id", resource=name)


def _view(row: Row[Any]) -> InstallationView:
    installation = Installation(
        InstallationName(row.org, row.installation),
        row.uid,
        row.version_constraint,
        RELEASE.validate_json(row.release_json),
        Authority(frozenset(row.permissions), frozenset(row.hosts)),
        InstallationState(row.state),
        revision(row),
        row.granted_at,
        row.own_name,
    )
    return InstallationView(installation, counters(row), used=USES.validate_json(row.used_json))


def _key(name: InstallationName) -> dict[str, str]:
    return {"org": name.org, "installation": name.installation}


def _columns(of: Installation) -> dict[str, Any]:
    return {
        **_key(of.name),
        "uid": of.uid,
        "version_constraint": of.constraint,
        "release": RELEASE.dump_json(of.release).decode(),
        "permissions": sorted(of.grants.permissions),
        "hosts": sorted(of.grants.hosts),
        "state": of.state,
        "own_name": of.own_name,
        "granted_at": of.granted_at or of.revision.updated_at,
        **revision_columns(of.revision),
    }
