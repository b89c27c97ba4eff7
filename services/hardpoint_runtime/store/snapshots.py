"""Owns what admission rests on: one query, and more only for what calls other capabilities."""

from collections.abc import Iterable

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from hardpoint_kit.errors import NotFound
from hardpoint_kit.names import AgentName, InstallationName
from hardpoint_manifest.authority import Authority
from hardpoint_runtime.domain.agents import AgentState
from hardpoint_runtime.domain.callees import DEEPEST, Directory, Installed, called
from hardpoint_runtime.domain.releases import Release
from hardpoint_runtime.domain.runs import CountedFor
from hardpoint_runtime.domain.snapshot import Attached, Snapshot
from hardpoint_runtime.store.rows import RELEASE

_LOAD = text("""
    SELECT g.state, installation, a.uid AS attachment_uid, a.priority, a.require_approval,
        a.enabled AND i.state = 'ACTIVE' AS switched_on, i.own_name,
        i.uid AS installation_uid, CAST(i.release AS text) AS release, i.permissions, i.hosts,
        (
            SELECT jsonb_object_agg(capability, to_char(detached_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))
            FROM detachments d WHERE d.org = g.org AND d.agent = g.agent
        ) AS detached
    FROM agents g
        LEFT JOIN attachments a USING (org, agent)
        LEFT JOIN installations i USING (org, installation)
    WHERE org = :org AND agent = :agent
""")
_NAMED = text("""
    SELECT installation, uid, state = 'ACTIVE' AS switched_on, CAST(release AS text) AS release, permissions, hosts,
        own_name
    FROM installations WHERE org = :org AND installation = ANY(:names)
""")


class Snapshots:
    """Agents with what is attached to them, over one connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def get(self, agent: AgentName) -> Snapshot:
        """Read all that the agent may call; raises NotFound."""
        rows = (await self._connection.execute(_LOAD, {"org": agent.org, "agent": agent.agent})).all()
        if not rows:
            raise NotFound("agent", agent)
        attached = [
            Attached(
                InstallationName(agent.org, row.installation),
                row.switched_on,
                row.priority,
                RELEASE.validate_json(row.release),
                Authority(frozenset(row.permissions), frozenset(row.hosts)),
                CountedFor(row.attachment_uid, row.installation_uid),
                frozenset(row.require_approval),
                row.own_name,
            )
            for row in rows
            if row.installation is not None
        ]
        named, looked_for = await self._named(agent.org, [one.release for one in attached])
        detached = rows[0].detached or {}
        return Snapshot.of(agent, AgentState(rows[0].state), attached, named, looked_for, detached)

    async def directory(self, org: str, release: Release) -> Directory:
        """What a release may call for no agent in particular."""
        named, looked_for = await self._named(org, [release])
        return Directory.of(org, (), named, looked_for)

    async def _named(self, org: str, releases: Iterable[Release]) -> tuple[list[Installed], set[str]]:
        """The installations named as what releases call, and so on, with all names looked for."""
        found: list[Installed] = []
        looked_for: set[str] = set()
        wanted = called(releases)
        for _ in range(DEEPEST):
            if not wanted:
                break
            rows = (await self._connection.execute(_NAMED, {"org": org, "names": sorted(wanted)})).all()
            looked_for |= wanted
            level = [
                Installed(
                    InstallationName(org, row.installation),
                    row.switched_on,
                    RELEASE.validate_json(row.release),
                    Authority(frozenset(row.permissions), frozenset(row.hosts)),
                    CountedFor(row.uid, row.uid),
                    own_name=row.own_name,
                )
                for row in rows
            ]
            found += level
            wanted = called(one.release for one in level) - looked_for
        return found, looked_for
