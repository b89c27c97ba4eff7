"""Makes a request again when it did not arrive or was not taken, and only where it cannot happen twice by that."""

import asyncio
import random
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Self

from hardpoint_executor.broker.broker import Broker
from hardpoint_executor.broker.denial import BrokerDenied, DenialCode
from hardpoint_executor.broker.fetch import FetchRequest, FetchResponse
from hardpoint_manifest.model import REPEATABLE, HttpCall

MOST_WAIT = 10.0
"""Seconds that are waited for an upstream; who asks for more is told to the caller instead."""
FIRST_WAIT = 0.1
LONGEST = 99_999.0
"""Seconds that are believed, a day and something."""
_NOT_NOW = frozenset({429, 502, 503, 504})
_ASKING = frozenset({429, 503})
_LOST = frozenset({DenialCode.UPSTREAM_UNREACHABLE, DenialCode.UPSTREAM_TIMEOUT, DenialCode.UPSTREAM_ERROR})


@dataclass(frozen=True, slots=True)
class Repeats:
    """How often a call may be made again, and the header in which the upstream takes the key of a call."""

    most: int
    key_header: str

    @classmethod
    def of(cls, call: HttpCall) -> Self:
        """What a call allows: nothing for a method that does something anew each time, unless it has a key."""
        safe = call.method in REPEATABLE or bool(call.idempotency_header)
        return cls(call.retry if safe else 0, call.idempotency_header)

    def keyed(self, request: FetchRequest, key: str) -> FetchRequest:
        """The request with a key, the same for all attempts of its effect: one of its own when it is given none."""
        if not self.key_header:
            return request
        others = {name: value for name, value in request.headers.items() if name.lower() != self.key_header.lower()}
        return replace(request, headers={**others, self.key_header: key or uuid.uuid4().hex})

    async def fetch(self, broker: Broker, request: FetchRequest, ends: float, key: str) -> FetchResponse:
        """The last answer, before `ends` on the monotonic clock; raises BrokerDenied as the last attempt does.

        `key` names the request's effect, where its upstream takes one.
        """
        request = self.keyed(request, key)
        once = broker.effects.watching and request.is_write  # a plan has each effect once
        most = 0 if once else self.most
        for attempt in range(most + 1):
            wait = FIRST_WAIT * 2**attempt * random.uniform(0.5, 1)  # noqa: S311 - spreads callers, guards nothing
            try:
                response = await broker.fetch(request)
            except BrokerDenied as denied:
                if denied.code not in _LOST or attempt >= most or not self._again(broker, wait, ends):
                    raise
            else:
                if response.status in _ASKING:
                    asked = retry_after(response.headers)
                    wait = wait if asked is None else asked
                if response.status not in _NOT_NOW or attempt >= most or not self._again(broker, wait, ends):
                    return response
            await asyncio.sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    def _again(self, broker: Broker, wait: float, ends: float) -> bool:
        """Whether there is a call left for another attempt, and the time to wait."""
        room = broker.usage.calls < broker.limits.calls
        return room and wait <= MOST_WAIT and time.monotonic() + wait < ends


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds that an upstream asks to wait, as a number or as a date; None when it says nothing readable.

    More than LONGEST is that: no number that an upstream may write is too long to be read.
    """
    said = headers.get("retry-after", "").strip()
    if said.isascii() and said.isdigit():
        return float(said) if len(said.lstrip("0")) <= 5 else LONGEST
    try:
        date = parsedate_to_datetime(said)
        seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    return min(max(0.0, seconds), LONGEST)
