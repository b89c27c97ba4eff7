"""Owns the record of who did what: an event in the transaction of the act itself, and the RPC that lists them."""

import json
from datetime import datetime
from typing import Any

import grpc
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from hardpoint.audit.v1 import audit_pb2, audit_pb2_grpc
from hardpoint_kit.caller import Caller
from hardpoint_kit.database import Database, tenant_policy
from hardpoint_kit.names import OrgName
from hardpoint_kit.paging import PageToken, page_size, query_fingerprint
from hardpoint_kit.telemetry import trace_id

_RECORD = text(
    "INSERT INTO audit_events (org, subject, via, action, resource, facts, trace_id)"
    " VALUES (:org, :subject, :via, :action, :resource, CAST(:facts AS jsonb), :trace_id)"
)
_LIST = text(
    "SELECT sequence, created_at, subject, via, action, resource, facts, trace_id FROM audit_events"
    " WHERE org = :org AND sequence < :before AND (:resource = '' OR resource = :resource)"
    " ORDER BY sequence DESC LIMIT :limit"
)
# Rows that another process is deleting are left to it.
_FORGET = text(
    "DELETE FROM audit_events WHERE sequence IN (SELECT sequence FROM audit_events"
    " WHERE created_at < :before ORDER BY created_at LIMIT :most FOR UPDATE SKIP LOCKED)"
)
_NEWEST = 2**63 - 1


def audit_table() -> str:
    """Return the DDL of the table of events, for a service's migration."""
    return """
        CREATE TABLE audit_events (
            sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            org text NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            subject text NOT NULL,
            via text NOT NULL,
            action text NOT NULL,
            resource text NOT NULL,
            facts jsonb NOT NULL,
            trace_id text NOT NULL
        );
        CREATE INDEX audit_events_by_org ON audit_events (org, sequence DESC);
        """ + tenant_policy("audit_events")


def events_by_age() -> str:
    """Return the DDL of the index that finds what is to be forgotten, for a service's migration."""
    return "CREATE INDEX audit_events_by_age ON audit_events (created_at)"


async def forget_events(connection: AsyncConnection, before: datetime, most: int) -> int:
    """Delete at most so many events from before a moment, the oldest first; return how many."""
    return (await connection.execute(_FORGET, {"before": before, "most": most})).rowcount


async def record(connection: AsyncConnection, caller: Caller, action: str, resource: object, **facts: object) -> None:
    """Write that the caller did `action` ("release.publish") to `resource`, in the transaction of the act.

    The event belongs to the resource's org; facts name things and never hold values, arguments or secrets.
    """
    await connection.execute(
        _RECORD,
        {
            "org": getattr(resource, "org", caller.org),
            "subject": caller.subject,
            "via": caller.via,
            "action": action,
            "resource": str(resource),
            "facts": json.dumps({key: str(fact) for key, fact in facts.items()}),
            "trace_id": trace_id(),
        },
    )


class AuditRpc(audit_pb2_grpc.AuditServiceServicer):
    """Lists a unit's events of the caller's org, newest first."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ListEvents(
        self, request: audit_pb2.ListEventsRequest, _context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> audit_pb2.ListEventsResponse:
        """Answer one page of events."""
        org = OrgName.parse(request.parent, "parent").org
        query = query_fingerprint(request)
        (before,) = PageToken.decode(request.page_token, query, int) or (_NEWEST,)
        size = page_size(request.page_size)
        async with self._database.transaction(org) as connection:
            rows = (
                await connection.execute(
                    _LIST, {"org": org, "before": before, "resource": request.resource, "limit": size + 1}
                )
            ).all()
        response = audit_pb2.ListEventsResponse()
        for row in rows[:size]:
            event = response.events.add(
                sequence=row.sequence,
                subject=row.subject,
                via=row.via,
                action=row.action,
                resource=row.resource,
                facts=row.facts,
                trace_id=row.trace_id,
            )
            event.create_time.FromDatetime(row.created_at)
        if len(rows) > size:
            response.next_page_token = PageToken.encode(query, (rows[size - 1].sequence,))
        return response
