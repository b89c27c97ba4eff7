"""Owns the table of effect plans: written by dry runs, read by calls that are held to them, forgotten by age."""

from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from hardpoint_kit.errors import NotFound
from hardpoint_runtime.domain.effects import EffectPlan

_PLAN: TypeAdapter[EffectPlan] = TypeAdapter(EffectPlan)
_PUT = text("""
    INSERT INTO effect_plans (org, digest, plan) VALUES (:org, :digest, CAST(:plan AS json))
    ON CONFLICT (org, digest) DO UPDATE SET created_at = now(), plan = excluded.plan
""")
_FIND = text("SELECT CAST(plan AS text) FROM effect_plans WHERE org = :org AND digest = :digest")
_FORGET = text("""
    DELETE FROM effect_plans WHERE (org, digest) IN (
        SELECT org, digest FROM effect_plans WHERE created_at < :before LIMIT :most FOR UPDATE SKIP LOCKED)
""")


class EffectPlans:
    """Effect plans, over one connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def put(self, org: str, plan: EffectPlan) -> None:
        """Write a plan; one that is there begins its term anew, in the newer circumstances."""
        written = {"org": org, "digest": plan.digest, "plan": _PLAN.dump_json(plan).decode()}
        await self._connection.execute(_PUT, written)

    async def get(self, org: str, digest: str) -> EffectPlan:
        """Read the plan of a digest; raises NotFound PLAN_UNKNOWN."""
        found: Any = await self._connection.scalar(_FIND, {"org": org, "digest": digest})
        if found is None:
            raise NotFound(
                "plan",
                digest,
                reason="PLAN_UNKNOWN",
                message="no plan of this digest is kept",
                fix="dry-run the call: its plan is kept for some days",
                plan=digest,
            )
        return _PLAN.validate_json(found)


async def forget_effect_plans(connection: AsyncConnection, before: datetime, most: int) -> int:
    """Delete at most so many plans that were made before a moment; return how many."""
    return (await connection.execute(_FORGET, {"before": before, "most": most})).rowcount
