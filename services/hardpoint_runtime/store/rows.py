"""Owns how values that several tables share become columns and come back."""

from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Row

from hardpoint_runtime.domain.counters import Counters
from hardpoint_runtime.domain.grants import GrantUse
from hardpoint_runtime.domain.releases import Release
from hardpoint_runtime.domain.revision import Revision
from hardpoint_runtime.domain.runs import Usage

RELEASE: TypeAdapter[Release] = TypeAdapter(Release)
USAGE: TypeAdapter[Usage] = TypeAdapter(Usage)
USES: TypeAdapter[tuple[GrantUse, ...]] = TypeAdapter(tuple[GrantUse, ...])

COUNTERS = """
    coalesce(sum(executions), 0)::bigint AS executions, coalesce(sum(errors), 0)::bigint AS errors,
    coalesce(sum(usages), 0)::bigint AS usages, coalesce(sum(total_us), 0)::bigint AS total_us,
    max(last_used) AS last_used
"""
"""The columns of counters: a sum over the rows of all writers."""
PREFIX = "CASE WHEN own_name THEN installation ELSE release -> 'name' ->> 'capability' END"
"""What the actions of an installation are called by."""


def revision(row: Row[Any]) -> Revision:
    """Read the revision of a noun."""
    return Revision(row.created_at, row.updated_at, row.revision)


def revision_columns(of: Revision) -> dict[str, Any]:
    """Write the revision of a noun."""
    return {"created_at": of.created_at, "updated_at": of.updated_at, "revision": of.number}


def counters(row: Row[Any]) -> Counters:
    """Read summed counters."""
    return Counters(row.executions, row.errors, row.usages, row.total_us, row.last_used)
