"""Owns the one query that admission rests on."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from hardpoint_kit.errors import NotFound
from hardpoint_kit.names import AgentName, InstallationName
from hardpoint_manifest.authority import Authority
from hardpoint_runtime.domain.agents import AgentState
from hardpoint_runtime.domain.runs import CountedFor
from hardpoint_runtime.domain.snapshot import Attached, Snapshot
from hardpoint_runtime.store.rows import RELEASE

_LOAD = text("""
    SELECT g.state, installation, a.uid AS attachment_uid, a.priority, a.enabled AND i.state = 'ACTIVE' AS switched_on,
        i.uid AS installation_uid, CAST(i.release AS text) AS release, i.permissions, i.hosts
    FROM agents g
        LEFT JOIN attachments a USING (org, agent)
        LEFT JOIN installations i USING (org, installation)
    WHERE org = :org AND agent = :agent
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
        attached = (
            Attached(
                InstallationName(agent.org, row.installation),
                row.switched_on,
                row.priority,
                RELEASE.validate_json(row.release),
                Authority(frozenset(row.permissions), frozenset(row.hosts)),
                CountedFor(row.attachment_uid, row.installation_uid),
            )
            for row in rows
            if row.installation is not None
        )
        return Snapshot.of(agent, AgentState(rows[0].state), attached)
