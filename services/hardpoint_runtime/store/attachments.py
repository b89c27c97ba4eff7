"""Owns the tables of attachments and of what was detached."""

from datetime import datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from hardpoint_kit.errors import AlreadyExists, NotFound
from hardpoint_kit.names import AgentName, AttachmentName, ReleaseName
from hardpoint_runtime.domain.attachments import Attachment, AttachmentView
from hardpoint_runtime.domain.paging import Window
from hardpoint_runtime.store.rows import COUNTERS, PREFIX, counters, revision, revision_columns

_INSERT = text("""
    INSERT INTO attachments
        (org, agent, installation, uid, enabled, priority, require_approval, created_at, updated_at, revision)
    VALUES
        (:org, :agent, :installation, :uid, :enabled, :priority, :require_approval, :created_at, :updated_at, :revision)
    ON CONFLICT DO NOTHING RETURNING true
""")
_SELECT = f"""
    SELECT a.*, i.release -> 'name' ->> 'org' AS release_org, i.release -> 'name' ->> 'capability' AS capability,
        i.release -> 'name' ->> 'version' AS version, c.*
    FROM attachments a JOIN installations i USING (org, installation),
        LATERAL (SELECT {COUNTERS} FROM usage_counters WHERE org = a.org AND attachment = a.uid) c
"""  # noqa: S608 - no value is in it
_GET = text(f"{_SELECT} WHERE a.org = :org AND a.agent = :agent AND a.installation = :installation")
_LIST = text(
    f"{_SELECT} WHERE a.org = :org AND a.agent = :agent AND a.installation > :after"
    " ORDER BY a.installation LIMIT :limit"
)
_LOCK = text("SELECT FROM attachments WHERE org = :org AND agent = :agent AND installation = :installation FOR UPDATE")
_UPDATE = text("""
    UPDATE attachments SET enabled = :enabled, priority = :priority, require_approval = :require_approval,
        updated_at = :updated_at, revision = :revision
    WHERE org = :org AND agent = :agent AND installation = :installation
""")
# `capability` of a detachment is what its actions were called by.
_DELETE = text(f"""
    WITH gone AS (
        DELETE FROM attachments WHERE org = :org AND agent = :agent AND installation = :installation
        RETURNING org, agent, installation
    )
    INSERT INTO detachments (org, agent, capability, detached_at)
    SELECT org, agent, {PREFIX}, :at FROM gone JOIN installations USING (org, installation)
    ON CONFLICT (org, agent, capability) DO UPDATE SET detached_at = excluded.detached_at
    RETURNING true
""")  # noqa: S608 - no value is in it


class Attachments:
    """Attachments, over one connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, attachment: Attachment) -> None:
        """Write a new attachment; raises AlreadyExists."""
        if not await self._connection.scalar(_INSERT, _columns(attachment)):
            raise AlreadyExists(
                f"{attachment.installation} is attached to agent {attachment.name.agent}",
                fix="change how it is attached, or detach it first",
                resource=attachment.name,
            )

    async def get(self, name: AttachmentName, *, lock: bool = False) -> AttachmentView:
        """Read an attachment, and with `lock` keep others from changing it; raises NotFound."""
        if lock:
            await self._connection.execute(_LOCK, _key(name))
        row = (await self._connection.execute(_GET, _key(name))).one_or_none()
        if row is None:
            raise NotFound("attachment", name)
        return _view(row)

    async def within(self, agent: AgentName, window: Window) -> list[AttachmentView]:
        """Read an agent's attachments by name."""
        key = {"org": agent.org, "agent": agent.agent, "after": window.after, "limit": window.limit}
        return [_view(row) for row in await self._connection.execute(_LIST, key)]

    async def save(self, attachment: Attachment) -> None:
        """Write an attachment that was read with a lock."""
        await self._connection.execute(_UPDATE, _columns(attachment))

    async def delete(self, name: AttachmentName, at: datetime) -> None:
        """Remove an attachment, and keep when that was; raises NotFound."""
        if not await self._connection.scalar(_DELETE, {**_key(name), "at": at}):
            raise NotFound("attachment", name)


def _view(row: Row[Any]) -> AttachmentView:
    name = AttachmentName(row.org, row.agent, row.installation)
    attachment = Attachment(name, row.uid, row.enabled, row.priority, revision(row), tuple(row.require_approval))
    release = ReleaseName(row.release_org, row.capability, row.version)
    return AttachmentView(attachment, release, counters(row))


def _key(name: AttachmentName) -> dict[str, str]:
    return {"org": name.org, "agent": name.agent, "installation": name.attachment}


def _columns(of: Attachment) -> dict[str, Any]:
    return {
        **_key(of.name),
        "uid": of.uid,
        "enabled": of.enabled,
        "priority": of.priority,
        "require_approval": list(of.require_approval),
        **revision_columns(of.revision),
    }
