"""Owns the table of deliveries: the inbox of what starts runs, and its history."""

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from hardpoint_kit.errors import NotFound
from hardpoint_kit.names import DeliveryName, TriggerName
from hardpoint_runtime.domain.deliveries import ALIKE_FOR, Delivery, DeliveryState
from hardpoint_runtime.domain.paging import Window

_COLUMNS = """org, agent, trigger, delivery, state, reason, message, provider_id, body, size, headers, original,
    release, run, attempts, received_at, due_at, replayed_by,
    order_key, depth, root, digest"""
_INSERT = text(f"""
    INSERT INTO deliveries ({_COLUMNS})
    VALUES (:org, :agent, :trigger, :delivery, :state, :reason, :message, :provider_id, :body, :size,
        CAST(:headers AS jsonb), :original, :release, :run, :attempts, :received_at, :due_at, :replayed_by, :order_key,
        :depth, :root, :digest)
    ON CONFLICT (org, agent, trigger, provider_id) WHERE provider_id <> '' AND original = '' DO NOTHING RETURNING true
""")  # noqa: S608
_TRIGGER = "org = :org AND agent = :agent AND trigger = :trigger"
_KEY = f"{_TRIGGER} AND delivery = :delivery"
_GET = text(f"SELECT {_COLUMNS} FROM deliveries WHERE {_KEY}")  # noqa: S608
_FIRST = text(
    f"SELECT delivery FROM deliveries WHERE {_TRIGGER} AND provider_id = :provider_id AND original = ''"  # noqa: S608
)
# Whoever has the same bytes waits until it is known whether they were there.
_ONE_DIGEST = text("SELECT pg_advisory_xact_lock(hashtextextended(:digest, 0))")
_ALIKE = text(f"""
    SELECT delivery FROM deliveries
    WHERE {_TRIGGER} AND digest = :digest AND digest <> '' AND original = '' AND received_at > :since
    ORDER BY received_at LIMIT 1
""")  # noqa: S608
_LIST = text(f"""
    SELECT {_COLUMNS.replace("body", "''::bytea AS body")} FROM deliveries
    WHERE {_TRIGGER} AND (:after = '' OR delivery < :after) ORDER BY delivery DESC LIMIT :limit
""")  # noqa: S608
_WAITING = text("""
    SELECT count(*) FROM (
        SELECT FROM deliveries WHERE org = :org AND state IN ('ACCEPTED', 'RUNNING') LIMIT :most
    ) AS waiting
""")
_IN_ORDER = "order_key <> '' AND state IN ('ACCEPTED', 'RUNNING')"
_WAITING_IN_ORDER = text(f"""
    SELECT count(*) FROM (SELECT FROM deliveries WHERE org = :org AND {_IN_ORDER} LIMIT :most) AS waiting
""")  # noqa: S608
_WAITING_FOR_KEY = text(f"""
    SELECT count(*) FROM (
        SELECT FROM deliveries WHERE {_TRIGGER} AND order_key = :order_key AND {_IN_ORDER} LIMIT :most
    ) AS waiting
""")  # noqa: S608
# Of those with one key only the first: not while one runs, nor while the run of the one before has not ended. What is
# said twice of `o` is what the indexes of ordered deliveries are about: without it they would not be used.
_SAME_KEY = """o.org = d.org AND o.agent = d.agent AND o.trigger = d.trigger AND o.order_key = d.order_key
            AND o.order_key <> ''"""
_FREE = f"""
    (d.order_key = '' OR NOT EXISTS (
        SELECT FROM deliveries o WHERE {_SAME_KEY} AND o.state IN ('ACCEPTED', 'RUNNING')
            AND (o.state = 'RUNNING' OR o.place < d.place)
    ) AND NOT EXISTS (
        SELECT FROM (
            SELECT o.org, o.run FROM deliveries o WHERE {_SAME_KEY} AND o.state = 'DELIVERED'
            ORDER BY o.settled_at DESC LIMIT 1
        ) AS last JOIN runs r ON r.org = last.org AND r.run = split_part(last.run, '/', 4)
        WHERE r.state IN ('QUEUED', 'RUNNING', 'WAITING')
    ))
"""  # noqa: S608 - of a condition that stands here
# Two processes that look at the same time must see what the other took: one looks after the other.
_ALONE = text("SELECT pg_advisory_xact_lock(hashtext('hardpoint_runtime.deliveries'))")
# Each org in its turn, and none more than a few at a time: who sends much keeps nobody waiting.
_CLAIM = text(f"""
    WITH due AS (
        SELECT org, agent, trigger, delivery, due_at,
            row_number() OVER (PARTITION BY org ORDER BY due_at, delivery) AS turn
        FROM deliveries d WHERE state = 'ACCEPTED' AND due_at <= :now AND NOT (org = ANY(:full)) AND {_FREE}
    ), taken AS (
        SELECT d.org, d.agent, d.trigger, d.delivery FROM deliveries AS d
            JOIN due USING (org, agent, trigger, delivery)
        WHERE due.turn <= :of_one_org AND d.state = 'ACCEPTED'
        ORDER BY due.turn, due.due_at LIMIT :limit FOR UPDATE OF d SKIP LOCKED
    )
    UPDATE deliveries AS d SET state = 'RUNNING', attempts = attempts + 1, owner = :owner, claimed_until = :until
    FROM taken WHERE (d.org, d.agent, d.trigger, d.delivery) =
        (taken.org, taken.agent, taken.trigger, taken.delivery)
    RETURNING {", ".join(f"d.{column.strip()}" for column in _COLUMNS.split(","))}
""")  # noqa: S608
_LEFT = text(f"""
    SELECT {_COLUMNS} FROM deliveries WHERE state = 'RUNNING' AND claimed_until < :now
    ORDER BY claimed_until LIMIT :limit FOR UPDATE SKIP LOCKED
""")  # noqa: S608
_KEEP = text("""
    UPDATE deliveries SET claimed_until = :until
    WHERE owner = :owner AND state = 'RUNNING' AND delivery = ANY(:running)
""")
_STARTED = text(f"UPDATE deliveries SET run = :run WHERE {_KEY} AND owner = :owner AND state = 'RUNNING'")  # noqa: S608
_SETTLE = text(f"""
    UPDATE deliveries SET state = :state, reason = :reason, message = :message, run = :run, due_at = :due_at,
        owner = '', claimed_until = NULL, settled_at = clock_timestamp()
    WHERE {_KEY} AND state = 'RUNNING' AND (:owner = '' OR owner = :owner)
""")  # noqa: S608
_HEARD = text("SELECT cursor FROM uploads_heard")
_HEAR = text("INSERT INTO uploads_heard (cursor) VALUES (:cursor) ON CONFLICT (one) DO UPDATE SET cursor = :cursor")
_FORGET = text("""
    DELETE FROM deliveries WHERE (org, agent, trigger, delivery) IN (
        SELECT org, agent, trigger, delivery FROM deliveries
        WHERE received_at < :before AND state NOT IN ('ACCEPTED', 'RUNNING')
        ORDER BY received_at LIMIT :most FOR UPDATE SKIP LOCKED
    )
""")


class Deliveries:
    """Deliveries, over one connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, delivery: Delivery) -> Delivery:
        """Write a delivery; what its sender sent before is written as a duplicate, which is what comes back then."""
        first = await self._alike(delivery) if delivery.digest else None
        if first is None:
            if await self._connection.scalar(_INSERT, _columns(delivery)):
                return delivery
            key = {**_trigger_key(delivery.name.trigger_name), "provider_id": delivery.provider_id}
            first = await self._connection.scalar(_FIRST, key)
        duplicate = delivery.duplicate(f"{delivery.name.trigger_name}/deliveries/{first}")
        await self._connection.scalar(_INSERT, _columns(duplicate))
        return duplicate

    async def add_once(self, delivery: Delivery) -> bool:
        """Write a delivery of what several processes may hear of; False when it is written already."""
        return bool(await self._connection.scalar(_INSERT, _columns(delivery)))

    async def heard(self) -> str:
        """Up to where uploads were heard of; empty at the very first."""
        return str(await self._connection.scalar(_HEARD) or "")

    async def hear(self, cursor: str) -> None:
        """Write up to where uploads are heard of now."""
        await self._connection.execute(_HEAR, {"cursor": cursor})

    async def get(self, name: DeliveryName) -> Delivery:
        """Read a delivery; raises NotFound."""
        row = (await self._connection.execute(_GET, _key(name))).one_or_none()
        if row is None:
            raise NotFound("delivery", name)
        return _delivery(row)

    async def within(self, trigger: TriggerName, window: Window) -> list[Delivery]:
        """Read a trigger's deliveries without what was in them, the newest first."""
        key = {**_trigger_key(trigger), "after": window.after, "limit": window.limit}
        return [_delivery(row) for row in await self._connection.execute(_LIST, key)]

    async def waiting(self, org: str, most: int) -> int:
        """Count what an org has waiting or running, up to `most`."""
        return int(await self._connection.scalar(_WAITING, {"org": org, "most": most}) or 0)

    async def waiting_in_order(self, org: str, most: int) -> int:
        """Count what an org has waiting or running of what has a key, up to `most`."""
        return int(await self._connection.scalar(_WAITING_IN_ORDER, {"org": org, "most": most}) or 0)

    async def waiting_for_key(self, delivery: Delivery, most: int) -> int:
        """Count what is waiting or running of the delivery's key, up to `most`."""
        given = {**_trigger_key(delivery.name.trigger_name), "order_key": delivery.order_key, "most": most}
        return int(await self._connection.scalar(_WAITING_FOR_KEY, given) or 0)

    async def claim(
        self, owner: str, now: datetime, until: datetime, limit: int, of_one_org: int, full: Collection[str]
    ) -> list[Delivery]:
        """Take deliveries that are due, for this process, but none of the orgs that are `full`."""
        await self._connection.execute(_ALONE)
        given = {"owner": owner, "now": now, "until": until, "limit": limit, "of_one_org": of_one_org}
        return [_delivery(row) for row in await self._connection.execute(_CLAIM, {**given, "full": [*full]})]

    async def left(self, now: datetime, limit: int) -> list[Delivery]:
        """Take deliveries that a process ran which no longer says that it lives."""
        return [_delivery(row) for row in await self._connection.execute(_LEFT, {"now": now, "limit": limit})]

    async def keep(self, owner: str, running: Sequence[Delivery], until: datetime) -> None:
        """Say that these are still run by the process that took them."""
        ids = [delivery.name.delivery for delivery in running]
        await self._connection.execute(_KEEP, {"owner": owner, "running": ids, "until": until})

    async def started(self, delivery: Delivery, owner: str, run: str) -> bool:
        """Write which run is begun for a delivery; False when it is this process's no more."""
        result = await self._connection.execute(_STARTED, {**_key(delivery.name), "owner": owner, "run": run})
        return result.rowcount == 1

    async def settle(self, delivery: Delivery, owner: str = "") -> bool:
        """Write what became of a delivery that was running; False when another process has it by now."""
        result = await self._connection.execute(_SETTLE, {**_columns(delivery), "owner": owner})
        return result.rowcount == 1

    async def _alike(self, delivery: Delivery) -> str | None:
        """The id of the first that came lately with the same bytes, and was not refused."""
        since = delivery.received_at - ALIKE_FOR
        key = {**_trigger_key(delivery.name.trigger_name), "digest": delivery.digest, "since": since}
        await self._connection.execute(_ONE_DIGEST, {"digest": delivery.digest})
        found: str | None = await self._connection.scalar(_ALIKE, key)
        return found


async def forget_deliveries(connection: AsyncConnection, before: datetime, most: int) -> int:
    """Delete at most so many settled deliveries from before a moment, the oldest first; return how many."""
    return (await connection.execute(_FORGET, {"before": before, "most": most})).rowcount


def _trigger_key(name: TriggerName) -> dict[str, Any]:
    return {"org": name.org, "agent": name.agent, "trigger": name.trigger}


def _key(name: DeliveryName) -> dict[str, Any]:
    return {**_trigger_key(name.trigger_name), "delivery": name.delivery}


def _columns(delivery: Delivery) -> dict[str, Any]:
    return {
        **_key(delivery.name),
        "state": delivery.state,
        "reason": delivery.reason,
        "message": delivery.message,
        "provider_id": delivery.provider_id,
        "body": delivery.body,
        "size": delivery.size,
        "headers": json.dumps(dict(delivery.headers)),
        "original": delivery.original,
        "release": delivery.release,
        "run": delivery.run,
        "attempts": delivery.attempts,
        "received_at": delivery.received_at,
        "due_at": delivery.due_at,
        "replayed_by": delivery.replayed_by,
        "order_key": delivery.order_key,
        "depth": delivery.depth,
        "root": delivery.root,
        "digest": delivery.digest,
    }


def _delivery(row: Row[Any]) -> Delivery:
    return Delivery(
        name=DeliveryName(row.org, row.agent, row.trigger, row.delivery),
        state=DeliveryState(row.state),
        received_at=row.received_at,
        due_at=row.due_at,
        body=bytes(row.body),
        headers=row.headers,
        provider_id=row.provider_id,
        reason=row.reason,
        message=row.message,
        run=row.run,
        attempts=row.attempts,
        original=row.original,
        release=row.release,
        size=row.size,
        replayed_by=row.replayed_by,
        order_key=row.order_key,
        depth=row.depth,
        root=row.root,
        digest=row.digest,
    )
