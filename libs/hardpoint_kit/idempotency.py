"""Owns repeated writes: the first answer to a `request_id` is kept with the write itself and given again."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

from google.protobuf.message import Message
from pydantic import TypeAdapter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from hardpoint_kit.caller import Caller
from hardpoint_kit.database import tenant_policy
from hardpoint_kit.errors import InvalidArgument
from hardpoint_kit.paging import fingerprint

T = TypeVar("T")

_CLAIM = text(
    "INSERT INTO requests (org, subject, request_id, method, fingerprint)"
    " VALUES (:org, :subject, :request_id, :method, :fingerprint) ON CONFLICT DO NOTHING RETURNING true"
)
_ANSWER = text(
    "UPDATE requests SET answer = CAST(:answer AS jsonb)"
    " WHERE org = :org AND subject = :subject AND request_id = :request_id"
)
_FIRST = text(
    "SELECT method, fingerprint, answer::text AS answer FROM requests"
    " WHERE org = :org AND subject = :subject AND request_id = :request_id"
)
# Rows that another process is deleting are left to it.
_FORGET = text(
    "DELETE FROM requests WHERE (org, subject, request_id) IN (SELECT org, subject, request_id FROM requests"
    " WHERE created_at < :before ORDER BY created_at LIMIT :most FOR UPDATE SKIP LOCKED)"
)


def requests_table() -> str:
    """Return the DDL of the table that keeps first answers, for a service's migration."""
    return """
        CREATE TABLE requests (
            org text NOT NULL,
            subject text NOT NULL,
            request_id text NOT NULL,
            method text NOT NULL,
            fingerprint text NOT NULL,
            answer jsonb,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (org, subject, request_id)
        );
        """ + tenant_policy("requests")


def requests_by_age() -> str:
    """Return the DDL of the index that finds what is to be forgotten, for a service's migration."""
    return "CREATE INDEX requests_by_age ON requests (created_at)"


async def forget_requests(connection: AsyncConnection, before: datetime, most: int) -> int:
    """Delete at most so many answers from before a moment, the oldest first; return how many."""
    return (await connection.execute(_FORGET, {"before": before, "most": most})).rowcount


def request_fingerprint(request: Message) -> str:
    """Tell a write request from all others, whatever its `request_id`."""
    return fingerprint(request, "request_id")


async def once(
    connection: AsyncConnection,
    caller: Caller,
    method: str,
    fingerprint: str,
    answer_type: type[T],
    work: Callable[[], Awaitable[T]],
) -> T:
    """Do `work` unless the caller's `request_id` was answered before; then return that first answer.

    The answer is kept in the transaction of `connection`, so a rolled back write is as if never asked. A second
    request arriving during the first waits for its end. Without a `request_id` the work is simply done. Raises
    InvalidArgument REQUEST_ID_REUSED when the same id comes with another request.
    """
    if not caller.request_id:
        return await work()
    key = {"org": caller.org, "subject": caller.subject, "request_id": caller.request_id}
    adapter = TypeAdapter(answer_type)
    first = None
    while first is None:  # again when the first answer was forgotten between the two statements
        if await connection.scalar(_CLAIM, {**key, "method": method, "fingerprint": fingerprint}):
            answer = await work()
            await connection.execute(_ANSWER, {**key, "answer": adapter.dump_json(answer).decode()})
            return answer
        first = (await connection.execute(_FIRST, key)).one_or_none()
    if (first.method, first.fingerprint) != (method, fingerprint):
        raise InvalidArgument(
            {"request_id": f'"{caller.request_id}" was used for another request'},
            reason="REQUEST_ID_REUSED",
            fix="use a new request_id for a new request",
        )
    return adapter.validate_json(first.answer)
