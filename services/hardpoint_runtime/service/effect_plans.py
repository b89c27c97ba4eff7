"""Owns the keeping of effect plans, and what they are made of at the moment of a call."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

from hardpoint_kit.caller import Caller
from hardpoint_kit.names import SettingsName
from hardpoint_runtime.domain.callees import Callee, Callees
from hardpoint_runtime.domain.calls import Call
from hardpoint_runtime.domain.effects import EffectPlan, digest_of
from hardpoint_runtime.peers import Config
from hardpoint_runtime.store import Store


class EffectPlans:
    """Plans by digest. They are kept for as long as the contents of runs are."""

    def __init__(self, store: Store, config: Config) -> None:
        self._store = store
        self._config = config

    async def basis(self, call: Call, value: Mapping[str, Any], user: str) -> Mapping[str, str]:
        """What a plan of this call is made of now, with a person's accounts; raises Unavailable without config."""
        callees = [*_callees(call.callees)]
        settings = {call.settings, *(callee.installed.settings for callee in callees)} - {None}
        named = sorted((name for name in settings if name is not None), key=str)
        releases = [call.release, *(callee.installed.release for callee in callees)]
        revisions = await asyncio.gather(*map(self._revision, named))
        return {
            "agent": str(call.agent or ""),
            "user": user if any(release.oauth2 for release in releases) else "",
            "action": str(call.name),
            "release": f"{call.release.name} {call.release.digest}",
            "input": digest_of(dict(value)),
            "context": digest_of([call.known.user, call.known.conversation, list(call.known.files)]),
            "settings": digest_of(revisions),
            "callees": digest_of(sorted({f"{one.installed.name} {one.installed.release.name}" for one in callees})),
        }

    async def keep(self, caller: Caller, plan: EffectPlan) -> None:
        """Keep a plan, so that a call can be held to it."""
        async with self._store.transaction(caller) as tx:
            await tx.effect_plans.put(caller.org, plan)

    async def held_to(self, caller: Caller, digest: str, basis: Mapping[str, str]) -> EffectPlan:
        """The plan of this digest, for a call that is made of the same.

        Raises NotFound PLAN_UNKNOWN, Conflict PLAN_STALE, PLAN_INCOMPLETE.
        """
        async with self._store.transaction(caller) as tx:
            plan = await tx.effect_plans.get(caller.org, digest)
        plan.check(basis)
        return plan

    async def _revision(self, settings: SettingsName) -> list[str]:
        return [str(settings), await self._config.revision(settings)]


def _callees(callees: Callees) -> Iterator[Callee]:
    for callee in callees:
        if isinstance(callee, Callee):
            yield callee
            yield from _callees(callee.callees)
