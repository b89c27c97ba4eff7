"""Owns how much may wait, of an org and of what it runs in order, and how much is written of what starts nothing."""

from typing import Final

import structlog

from hardpoint_runtime.domain.deliveries import Delivery, DeliveryState
from hardpoint_runtime.service.rates import Rates
from hardpoint_runtime.store import Transaction

MOST_WAITING: Final = 2000
"""Deliveries of one org that were accepted and have not run yet."""
MOST_IN_ORDER: Final = MOST_WAITING // 2
"""Of them, those that wait for others of their key: a key that stands still leaves room for what has none."""
MOST_OF_KEY: Final = 100
"""And of them those of one key."""
NOTES_PER_MINUTE = 1
"""Of one trigger: what happens in the house and starts nothing, after the first ten."""

_log = structlog.stdlib.get_logger(__name__)


async def crowded(tx: Transaction, delivery: Delivery) -> str:
    """Why there is no room for a delivery that would wait; empty where there is."""
    org = delivery.name.org
    if delivery.order_key:
        if await tx.deliveries.waiting_for_key(delivery, MOST_OF_KEY) >= MOST_OF_KEY:
            return f"{MOST_OF_KEY} deliveries of its key wait already"
        if await tx.deliveries.waiting_in_order(org, MOST_IN_ORDER) >= MOST_IN_ORDER:
            return f"{MOST_IN_ORDER} deliveries of the org wait in order already"
    if await tx.deliveries.waiting(org, MOST_WAITING) >= MOST_WAITING:
        return f"{MOST_WAITING} deliveries of the org wait already"
    return ""


async def bounded(tx: Transaction, delivery: Delivery) -> Delivery:
    """The delivery, refused where there is no room for it."""
    why = await crowded(tx, delivery) if delivery.state is DeliveryState.ACCEPTED else ""
    return delivery.refused("RESOURCE_EXHAUSTED", why) if why else delivery


class Arrivals:
    """Writes what happens in the house, which every process may hear of: each event once to each trigger."""

    def __init__(self) -> None:
        self._notes = Rates(NOTES_PER_MINUTE)

    async def write(self, tx: Transaction, judged: Delivery) -> None:
        """Write a delivery that there is room for; of those that start nothing only as many as people look at."""
        delivery = await bounded(tx, judged)
        if delivery.state is not DeliveryState.ACCEPTED:
            trigger = str(delivery.name.trigger_name)
            log = _log.warning if delivery.state is DeliveryState.REFUSED else _log.debug
            log("an event starts nothing", trigger=trigger, happened=judged.provider_id, reason=delivery.reason)
            if self._notes.take(trigger):
                return
        await tx.deliveries.add_once(delivery)
