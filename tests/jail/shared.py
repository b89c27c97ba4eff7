"""Owns the jails that tests share: those of each tier are started once in a process, when first wanted.

A start builds, fills and tests everything, which costs a second of processor time.
"""

from hardpoint_executor.jail import JailOptions, Jails, PoolOptions, SlotOptions

TIERS = ("single-use", "slots")
_PATIENT = {"queue": 200, "queue_seconds": 60.0}
"""No call is refused."""
_OPTIONS = {
    "single-use": JailOptions(pool=PoolOptions(**_PATIENT), slots=None),
    "slots": JailOptions(pool=PoolOptions(**_PATIENT), slots=SlotOptions(**_PATIENT)),
}


class SharedJails:
    """Jails by tier, for whoever does not break them."""

    def __init__(self) -> None:
        self._started: dict[str, Jails] = {}

    async def of(self, tier: str) -> Jails:
        """Those of a tier, ready."""
        if tier not in self._started:
            self._started[tier] = Jails(_OPTIONS[tier])
            await self._started[tier].start()
        assert self._started[tier].reasons_not_ready() == []
        return self._started[tier]

    async def stop(self) -> None:
        """Leave nothing of them; who wants them next has them started again."""
        while self._started:
            await self._started.popitem()[1].stop()
