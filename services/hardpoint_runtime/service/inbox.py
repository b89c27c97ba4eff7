"""Owns what is said to whoever posts to a webhook: nothing is taken that is not proved, nothing that is taken is lost.

What does not prove itself hears no detail; why it was refused stands in the history and in the audit log.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog

from hardpoint_kit.caller import SYSTEM, Caller, acting_as
from hardpoint_kit.clock import Clock
from hardpoint_kit.errors import InvalidArgument
from hardpoint_runtime.domain.deliveries import Delivery, DeliveryState, Proof, provider_id
from hardpoint_runtime.domain.triggers import Trigger, TriggerState
from hardpoint_runtime.peers import Config
from hardpoint_runtime.service.dispatcher import Dispatcher
from hardpoint_runtime.service.rates import Rates
from hardpoint_runtime.service.room import crowded
from hardpoint_runtime.store import Store

REFUSALS_PER_MINUTE = 60
"""Of one trigger that are written down; more are only counted, so that nobody fills the audit log from outside."""
BUSY_SECONDS = 30

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Posted:
    """What came by HTTP to a webhook's address; header names are in small letters."""

    token: str
    headers: Mapping[str, str]
    body: bytes
    at: datetime


@dataclass(frozen=True, slots=True)
class Said:
    """What is answered: a status of HTTP, and `retry_after` in seconds where it is worth trying again."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    retry_after: int = field(default=0, kw_only=True)


class Inbox:
    """Takes deliveries: `per_trigger` and `per_org` are how many may come in a minute."""

    def __init__(
        self, store: Store, config: Config, dispatcher: Dispatcher, clock: Clock, per_trigger: float, per_org: float
    ) -> None:
        self._store = store
        self._clock = clock
        self._config = config
        self._dispatcher = dispatcher
        self._of_triggers = Rates(per_trigger)
        self._of_orgs = Rates(per_org)
        self._refusals = Rates(REFUSALS_PER_MINUTE)

    async def deliver(self, _caller: Caller, posted: Posted) -> Said:
        """Say what to answer; a delivery is on disk when that is success."""
        async with self._store.transaction(SYSTEM()) as tx:
            trigger = await tx.triggers.by_token(posted.token)
        if trigger is None:
            return Said(404)
        # What a trigger's own rate sheds takes nothing from the other triggers of its org.
        if wait := self._of_triggers.take(str(trigger.name)) or self._of_orgs.take(trigger.name.org):
            return Said(429, retry_after=math.ceil(wait))
        at = min(posted.at, self._clock.now())  # the door's clock may be ahead, and what came is due at once
        unsigned = {name: text for name, text in posted.headers.items() if name != trigger.verifier.header}
        delivery = Delivery.of(trigger.name, posted.body, unsigned, at)
        proof = await self._proof(trigger, posted)
        if proof.reason:
            await self._refuse(trigger, delivery, proof.reason)
            return Said(401)
        try:
            variables = delivery.variables(trigger)
        except InvalidArgument as error:
            await self._refuse(trigger, delivery, error.reason, error.message)
            return Said(400)
        return await self._take(trigger, delivery, posted, variables, proof)

    async def _proof(self, trigger: Trigger, posted: Posted) -> Proof:
        if not trigger.verifier.signs:
            return Proof("" if trigger.allow_unsigned else "WEBHOOK_UNVERIFIED")
        with acting_as(trigger.caller):
            return await self._config.verify(trigger.settings, trigger.verifier, posted.headers, posted.body)

    async def _take(
        self, trigger: Trigger, delivery: Delivery, posted: Posted, variables: Mapping[str, Any], proof: Proof
    ) -> Said:
        event, verifier = variables["event"], trigger.verifier
        handshake = _handshake(trigger, posted.headers, event)
        if handshake is not None:
            return handshake
        if trigger.state is TriggerState.PAUSED:
            await self._refuse(trigger, delivery, "TRIGGER_PAUSED")
            return Said(503, retry_after=BUSY_SECONDS)
        known_as = provider_id(verifier, posted.headers, event)
        if verifier.id_header and not known_as:
            await self._refuse(trigger, delivery, "DELIVERY_ID_MISSING", f"{verifier.id_header} is not there")
            return Said(400)
        delivery = delivery.named(known_as, proof, verifier).judged(trigger, variables)
        async with self._store.transaction(trigger.caller) as tx:
            if delivery.state is DeliveryState.ACCEPTED and await crowded(tx, delivery):
                return Said(429, retry_after=BUSY_SECONDS)
            delivery = await tx.deliveries.add(delivery)
        if delivery.state is DeliveryState.ACCEPTED:
            self._dispatcher.wake()
        return Said(200, b"ok")

    async def _refuse(self, trigger: Trigger, delivery: Delivery, reason: str, message: str = "") -> None:
        if self._refusals.take(str(trigger.name)):
            _log.warning("delivery refused, and not written down", trigger=str(trigger.name), reason=reason)
            return
        refused = delivery.refused(reason, message)
        async with self._store.transaction(trigger.caller) as tx:
            await tx.deliveries.add(refused)
            await tx.audit("delivery.refuse", trigger.name, reason=reason, delivery=refused.name.delivery)


def _handshake(trigger: Trigger, headers: Mapping[str, str], event: Any) -> Said | None:
    """The answer to a sender that tries whether somebody listens, which is no event."""
    if trigger.verifier.kind == "slack" and isinstance(event, Mapping) and event.get("type") == "url_verification":
        challenge = event.get("challenge")
        return Said(200, challenge.encode() if isinstance(challenge, str) else b"")
    if trigger.verifier.kind == "github" and headers.get("x-github-event") == "ping":
        return Said(200, b"ok")
    return None
