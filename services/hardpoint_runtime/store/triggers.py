"""Owns the table of triggers."""

import hashlib
import json
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from hardpoint_kit.errors import AlreadyExists, NotFound
from hardpoint_kit.names import AgentName, TriggerName
from hardpoint_runtime.domain.paging import Window
from hardpoint_runtime.domain.releases import Verifier
from hardpoint_runtime.domain.triggers import Trigger, TriggerState, TriggerType
from hardpoint_runtime.store.rows import revision, revision_columns

_VERIFIER: TypeAdapter[Verifier] = TypeAdapter(Verifier)
_INSERT = text("""
    INSERT INTO triggers (org, agent, trigger, display_name, type, state, action, input, filter, declared, verifier,
        allow_unsigned, token, token_hash, schedule, time_zone, next_at, event, installation, created_at, updated_at,
        revision, made_by, authors, order_by)
    VALUES (:org, :agent, :trigger, :display_name, :type, :state, :action, CAST(:input AS json), :filter, :declared,
        CAST(:verifier AS jsonb), :allow_unsigned, :token, :token_hash, :schedule, :time_zone, :next_at, :event,
        :installation, :created_at, :updated_at, :revision, :made_by, :authors,
        :order_by)
    ON CONFLICT (org, agent, trigger) DO NOTHING RETURNING true
""")
_KEY = "org = :org AND agent = :agent AND trigger = :trigger"
_GET = f"SELECT *, CAST(verifier AS text) AS verifier_json FROM triggers WHERE {_KEY}"  # noqa: S608
_BY_TOKEN = text("SELECT *, CAST(verifier AS text) AS verifier_json FROM triggers WHERE token_hash = :token_hash")
_LIST = text("""
    SELECT *, CAST(verifier AS text) AS verifier_json FROM triggers
    WHERE org = :org AND agent = :agent AND trigger > :after ORDER BY trigger LIMIT :limit
""")
_UPDATE = text(f"""
    UPDATE triggers SET display_name = :display_name, state = :state, input = CAST(:input AS json), filter = :filter,
        verifier = CAST(:verifier AS jsonb), allow_unsigned = :allow_unsigned, schedule = :schedule,
        time_zone = :time_zone, next_at = :next_at, updated_at = :updated_at, revision = :revision,
        made_by = :made_by, authors = :authors, order_by = :order_by
    WHERE {_KEY}
""")  # noqa: S608
_DELETE = text(f"DELETE FROM triggers WHERE {_KEY} RETURNING true")  # noqa: S608
# Each of several processes takes others.
_DUE = text("""
    SELECT *, CAST(verifier AS text) AS verifier_json FROM triggers WHERE state = 'ACTIVE' AND next_at <= :now
    ORDER BY next_at LIMIT :limit FOR UPDATE SKIP LOCKED
""")
_WAITING = text("""
    SELECT *, CAST(verifier AS text) AS verifier_json FROM triggers
    WHERE org = :org AND event = :event AND type = 'EVENT' AND state = 'ACTIVE'
""")
_PLAN = text(f"UPDATE triggers SET next_at = :next_at WHERE {_KEY}")  # noqa: S608


class Triggers:
    """Triggers, over one connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, trigger: Trigger) -> None:
        """Write a new trigger; raises AlreadyExists."""
        if not await self._connection.scalar(_INSERT, _columns(trigger)):
            raise AlreadyExists(
                f"trigger {trigger.name} exists", fix="change that one, or choose another id", resource=trigger.name
            )

    async def get(self, name: TriggerName, *, lock: bool = False) -> Trigger:
        """Read a trigger, and with `lock` keep others from changing it; raises NotFound."""
        query = text(f"{_GET} FOR UPDATE" if lock else _GET)
        row = (await self._connection.execute(query, _key(name))).one_or_none()
        if row is None:
            raise NotFound("trigger", name)
        return _trigger(row)

    async def by_token(self, token: str) -> Trigger | None:
        """Find the webhook whose address has this token; the work is the same for any."""
        row = (await self._connection.execute(_BY_TOKEN, {"token_hash": _hash(token)})).one_or_none()
        return _trigger(row) if row else None

    async def within(self, agent: AgentName, window: Window) -> list[Trigger]:
        """Read an agent's triggers by name."""
        key = {"org": agent.org, "agent": agent.agent, "after": window.after, "limit": window.limit}
        return [_trigger(row) for row in await self._connection.execute(_LIST, key)]

    async def save(self, trigger: Trigger) -> None:
        """Write a trigger that was read with a lock."""
        await self._connection.execute(_UPDATE, _columns(trigger))

    async def delete(self, name: TriggerName) -> None:
        """Remove a trigger with its deliveries; raises NotFound."""
        if not await self._connection.scalar(_DELETE, _key(name)):
            raise NotFound("trigger", name)

    async def due(self, now: datetime, limit: int) -> list[Trigger]:
        """Take schedules whose time has come; nobody else has them before this transaction ends."""
        return [_trigger(row) for row in await self._connection.execute(_DUE, {"now": now, "limit": limit})]

    async def waiting_for(self, org: str, event: str) -> list[Trigger]:
        """Read the triggers of an org that accept an event."""
        return [_trigger(row) for row in await self._connection.execute(_WAITING, {"org": org, "event": event})]

    async def plan(self, trigger: Trigger) -> None:
        """Write a schedule's next time, which is no change of the trigger."""
        await self._connection.execute(_PLAN, {**_key(trigger.name), "next_at": trigger.next_at})


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()


def _key(name: TriggerName) -> dict[str, str]:
    return {"org": name.org, "agent": name.agent, "trigger": name.trigger}


def _columns(trigger: Trigger) -> dict[str, Any]:
    return {
        **_key(trigger.name),
        "display_name": trigger.display_name,
        "type": trigger.type,
        "state": trigger.state,
        "action": trigger.action,
        "input": json.dumps(trigger.input),
        "filter": trigger.filter,
        "declared": trigger.declared,
        "verifier": _VERIFIER.dump_json(trigger.verifier).decode(),
        "allow_unsigned": trigger.allow_unsigned,
        "token": trigger.token,
        "token_hash": _hash(trigger.token) if trigger.token else None,
        "schedule": trigger.schedule,
        "time_zone": trigger.time_zone,
        "next_at": trigger.next_at,
        "event": trigger.event,
        "installation": trigger.installation,
        "authors": list(trigger.authors),
        **revision_columns(trigger.revision),
        "made_by": trigger.made_by,
        "order_by": trigger.order_by,
    }


def _trigger(row: Row[Any]) -> Trigger:
    return Trigger(
        name=TriggerName(row.org, row.agent, row.trigger),
        display_name=row.display_name,
        type=TriggerType(row.type),
        state=TriggerState(row.state),
        action=row.action,
        input=row.input,
        filter=row.filter,
        declared=row.declared,
        verifier=_VERIFIER.validate_json(row.verifier_json),
        allow_unsigned=row.allow_unsigned,
        token=row.token,
        schedule=row.schedule,
        time_zone=row.time_zone,
        next_at=row.next_at,
        event=row.event,
        installation=row.installation,
        revision=revision(row),
        made_by=row.made_by,
        authors=tuple(row.authors),
        order_by=row.order_by,
    )
