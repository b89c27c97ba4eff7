"""Owns the table of agents."""

from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from hardpoint_kit.errors import AlreadyExists, NotFound
from hardpoint_kit.names import AgentName
from hardpoint_runtime.domain.agents import Agent, AgentState
from hardpoint_runtime.domain.paging import Window
from hardpoint_runtime.store.rows import revision, revision_columns

_INSERT = text("""
    INSERT INTO agents (org, agent, display_name, description, state, created_at, updated_at, revision)
    VALUES (:org, :agent, :display_name, :description, :state, :created_at, :updated_at, :revision)
    ON CONFLICT DO NOTHING RETURNING true
""")
_GET = text("SELECT * FROM agents WHERE org = :org AND agent = :agent")
_LOCK = text("SELECT * FROM agents WHERE org = :org AND agent = :agent FOR UPDATE")
_LIST = text("SELECT * FROM agents WHERE org = :org AND agent > :after ORDER BY agent LIMIT :limit")
_UPDATE = text("""
    UPDATE agents SET display_name = :display_name, description = :description, state = :state,
        updated_at = :updated_at, revision = :revision
    WHERE org = :org AND agent = :agent
""")
_DELETE = text("DELETE FROM agents WHERE org = :org AND agent = :agent RETURNING true")


class Agents:
    """Agents, over one connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, agent: Agent) -> None:
        """Write a new agent; raises AlreadyExists."""
        if not await self._connection.scalar(_INSERT, _columns(agent)):
            raise AlreadyExists(
                f"agent {agent.name} exists", fix="use the one that is there, or choose another id", resource=agent.name
            )

    async def get(self, name: AgentName, *, lock: bool = False) -> Agent:
        """Read an agent, and with `lock` keep others from changing it; raises NotFound."""
        row = (await self._connection.execute(_LOCK if lock else _GET, _key(name))).one_or_none()
        if row is None:
            raise NotFound("agent", name)
        return _agent(row)

    async def within(self, org: str, window: Window) -> list[Agent]:
        """Read agents by name."""
        rows = await self._connection.execute(_LIST, {"org": org, "after": window.after, "limit": window.limit})
        return [_agent(row) for row in rows]

    async def save(self, agent: Agent) -> None:
        """Write an agent that was read with a lock."""
        await self._connection.execute(_UPDATE, _columns(agent))

    async def delete(self, name: AgentName) -> None:
        """Remove an agent with its attachments; raises NotFound."""
        if not await self._connection.scalar(_DELETE, _key(name)):
            raise NotFound("agent", name)


def _key(name: AgentName) -> dict[str, str]:
    return {"org": name.org, "agent": name.agent}


def _columns(agent: Agent) -> dict[str, Any]:
    return {
        **_key(agent.name),
        "display_name": agent.display_name,
        "description": agent.description,
        "state": agent.state,
        **revision_columns(agent.revision),
    }


def _agent(row: Row[Any]) -> Agent:
    return Agent(AgentName(row.org, row.agent), row.display_name, row.description, AgentState(row.state), revision(row))
