"""Owns the table of policies, which has a row of each org that changed its own."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from hardpoint_kit.names import PolicyName
from hardpoint_runtime.domain.policy import UNCHANGED, Policy
from hardpoint_runtime.store.rows import revision, revision_columns

_GET = text("SELECT * FROM policies WHERE org = :org")
_LOCK = text("SELECT * FROM policies WHERE org = :org FOR UPDATE")
_BEGIN = text("""
    INSERT INTO policies (org, created_at, updated_at, revision) VALUES (:org, :created_at, :updated_at, :revision)
    ON CONFLICT DO NOTHING
""")
_UPDATE = text("""
    UPDATE policies SET single_use = :single_use, shared_runs = :shared_runs, updated_at = :updated_at,
        revision = :revision
    WHERE org = :org
""")


class Policies:
    """Policies, over one connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def get(self, name: PolicyName, *, lock: bool = False) -> Policy:
        """Read a policy, and with `lock` keep others from changing it."""
        if lock:  # which needs a row
            await self._connection.execute(_BEGIN, {"org": name.org, **revision_columns(UNCHANGED)})
        row = (await self._connection.execute(_LOCK if lock else _GET, {"org": name.org})).one_or_none()
        return Policy(name) if row is None else Policy(name, row.single_use, row.shared_runs, revision(row))

    async def save(self, policy: Policy) -> None:
        """Write a policy that was read with a lock."""
        columns = {"org": policy.name.org, "single_use": policy.single_use, "shared_runs": policy.shared_runs}
        await self._connection.execute(_UPDATE, {**columns, **revision_columns(policy.revision)})
