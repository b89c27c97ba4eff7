"""Owns the delivery: what came to a trigger, how it is read, and what becomes of it."""

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Self
from urllib.parse import parse_qsl

from hardpoint_kit.caller import Caller
from hardpoint_kit.documents import read_json, too_many
from hardpoint_kit.errors import (
    Conflict,
    DeadlineExceeded,
    HardpointError,
    InvalidArgument,
    ResourceExhausted,
    Unavailable,
)
from hardpoint_kit.names import DeliveryName, RunName, TriggerName
from hardpoint_manifest import uploads
from hardpoint_manifest.events import UPLOADED
from hardpoint_manifest.expression import ExpressionError
from hardpoint_runtime.domain.children import MOST_DESCENDANTS
from hardpoint_runtime.domain.releases import Verifier
from hardpoint_runtime.domain.runs import Run, RunState
from hardpoint_runtime.domain.triggers import Trigger

MOST_ATTEMPTS: Final = 6
FIRST_PAUSE: Final = timedelta(seconds=2)
PAUSE_FACTOR: Final = 4
"""Six attempts over some forty minutes."""
MOST_FIELDS: Final = 1000
MOST_DEPTH: Final = 8
ALIKE_FOR: Final = timedelta(minutes=15)
"""How long signed bytes that come again are the same delivery: longer than a time among them can be good, which is from
five minutes before it to five minutes after it, by clocks that differ a little."""

_PROVIDER_ID = re.compile(r"[!-~]{1,200}")
_SIGNATURES = ("signature", "hmac", "token", "secret", "authorization", "cookie")
_PASSING = frozenset({"TIMEOUT", "UPSTREAM_TIMEOUT", "UPSTREAM_UNREACHABLE", "RECIPIENT_DEFERRED"})


class DeliveryState(StrEnum):
    """What became of it; the contract says what each means."""

    ACCEPTED = "ACCEPTED"
    RUNNING = "RUNNING"
    DELIVERED = "DELIVERED"
    FILTERED = "FILTERED"
    DUPLICATE = "DUPLICATE"
    REFUSED = "REFUSED"
    DEAD = "DEAD"


@dataclass(frozen=True, slots=True)
class Proof:
    """What config says of a delivery: the `reason` for which it does not prove who sent it, empty when it does.

    Then also the `digest` of the bytes that are signed, and whether it is `timed`: a time is among them.
    """

    reason: str = ""
    digest: str = ""
    timed: bool = False


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event that came to a trigger. `body` and `headers` are gone where there is nothing to run again."""

    name: DeliveryName
    state: DeliveryState
    received_at: datetime
    due_at: datetime
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    provider_id: str = ""
    reason: str = ""
    message: str = ""
    run: str = ""
    attempts: int = 0
    original: str = ""
    release: str = ""
    size: int = 0
    replayed_by: str = ""
    """Who had the event run again."""
    order_key: str = ""
    """Those of one trigger with the same run one after the other."""
    depth: int = 0
    """How many runs started each other by events before it."""
    root: str = ""
    """The id of the run that began the tree of runs whose event it is."""
    digest: str = ""
    """Of the bytes that are signed, where another delivery of the same is known by it."""

    @classmethod
    def of(cls, trigger: TriggerName, body: bytes, headers: Mapping[str, str], at: datetime, **more: Any) -> Self:
        """A delivery that is accepted; `headers` are kept but for what proves who sent it."""
        kept = {name: value for name, value in headers.items() if not any(word in name for word in _SIGNATURES)}
        state = DeliveryState.ACCEPTED
        return cls(new_delivery_name(trigger, at), state, at, at, body=body, headers=kept, size=len(body), **more)

    def named(self, known_as: str, proof: Proof, verifier: Verifier) -> Self:
        """The delivery under the name that its sender has for it, and what else it is known by when it comes again.

        A name that is not signed can say that a delivery came before, and that it is new only where no time is signed:
        then what has the same bytes as another one may be new all the same.
        """
        told_apart = known_as and (verifier.signs_id or not proof.timed)
        return replace(self, provider_id=known_as, digest="" if told_apart else proof.digest)

    def refused(self, reason: str, message: str) -> Self:
        """The delivery, not taken, and nothing of it kept."""
        empty = replace(self, state=DeliveryState.REFUSED, reason=reason, message=message)
        return replace(empty, body=b"", headers={}, provider_id="", digest="")

    def judged(self, trigger: Trigger, variables: Mapping[str, Any]) -> Self:
        """The delivery as the trigger's filter has it, in its order."""
        try:
            return self.ordered(trigger, variables) if trigger.admits(variables) else self.filtered()
        except ExpressionError as error:
            return self.filtered(error.reason, error.message)

    def ordered(self, trigger: Trigger, variables: Mapping[str, Any]) -> Self:
        """The delivery in the order that the trigger says."""
        return replace(self, order_key=trigger.order_key(variables))

    def bounded(self, full: bool) -> Self:
        """The delivery, refused where runs have started each other by events too often before it, or too many."""
        if self.depth > MOST_DEPTH:
            return self.refused("EVENT_DEPTH", f"{MOST_DEPTH} runs started each other by events before this")
        if full:
            begun = f"run {self.root} and those that it began have begun {MOST_DESCENDANTS} runs"
            return self.refused("EVENT_LIMIT", begun)
        return self

    def filtered(self, reason: str = "", message: str = "") -> Self:
        """The delivery that starts nothing."""
        return replace(self, state=DeliveryState.FILTERED, reason=reason, message=message)

    def duplicate(self, original: str) -> Self:
        """The delivery of what came before."""
        return replace(self, state=DeliveryState.DUPLICATE, body=b"", headers={}, original=original)

    def replayed(self, release: str, by: str, at: datetime) -> Self:
        """A new delivery of the same event; raises Conflict DELIVERY_NOT_KEPT."""
        if not self.body or self.state in (DeliveryState.REFUSED, DeliveryState.DUPLICATE):
            raise Conflict(
                f"{self.name} was {self.state.lower()}: there is no event to run again",
                reason="DELIVERY_NOT_KEPT",
                fix=f"replay {self.original}" if self.original else "have it sent again",
                resource=self.name,
            )
        fresh = type(self).of(self.name.trigger_name, self.body, self.headers, at, original=str(self.name))
        fresh = replace(fresh, release=release, provider_id=self.provider_id, replayed_by=by)
        return replace(fresh, order_key=self.order_key, depth=self.depth, root=self.root)

    def delivered(self, run: RunName) -> Self:
        """The delivery whose run is there."""
        return replace(self, state=DeliveryState.DELIVERED, run=str(run), reason="", message="")

    def failed(self, error: HardpointError, repeatable: bool, at: datetime) -> Self:
        """The delivery after an attempt that failed: due again, or dead.

        What never began is tried again while the cause may pass; what ran, only when doing it twice does no harm.
        """
        ran = "run" in error.metadata
        passing = isinstance(error, Unavailable | ResourceExhausted | DeadlineExceeded) or error.reason in _PASSING
        run = error.metadata.get("run", self.run if ran else "")
        ended = replace(self, run=run, reason=error.reason, message=error.message[:500].replace("\0", "\ufffd"))
        if self.attempts >= MOST_ATTEMPTS or not passing or (ran and not repeatable):
            return replace(ended, state=DeliveryState.DEAD)
        pause = max(FIRST_PAUSE * PAUSE_FACTOR ** (self.attempts - 1), timedelta(seconds=error.retry_after or 0))
        return replace(ended, state=DeliveryState.ACCEPTED, due_at=at + pause)

    def taken_up(self, recorded: Run | None, repeatable: bool, at: datetime) -> Self:
        """The delivery whose process died while it had it: as its run was recorded, else tried again where no harm is.

        Where doing it twice may do harm, a person decides.
        """
        if recorded is not None and recorded.state is RunState.SUCCEEDED:
            return self.delivered(recorded.name)
        if recorded is not None:
            ended = replace(self, reason=recorded.failure.reason, message=recorded.failure.message)
            return replace(ended, state=DeliveryState.DEAD)
        if not self.run or (repeatable and self.attempts < MOST_ATTEMPTS):
            return replace(self, state=DeliveryState.ACCEPTED, due_at=at, run="")
        message = "the process ended while the action ran: it may have taken effect; look, then replay it or not"
        return replace(self, state=DeliveryState.DEAD, reason="OUTCOME_UNKNOWN", message=message)

    def caller(self, trigger: Trigger) -> Caller:
        """Who asks for its run: the trigger, for who made it; what somebody else chose to run is for them alone."""
        return replace(trigger.caller, on_behalf_of=self.replayed_by) if self.release else trigger.caller

    @property
    def key(self) -> str:
        """The same for every attempt: what the action does twice under it, it does once."""
        by = self.provider_id if self.provider_id and not self.original else self.name.delivery
        return f"{self.name.agent}/{self.name.trigger}/{by}"

    def variables(self, trigger: Trigger) -> dict[str, Any]:
        """What filter and input are about; raises InvalidArgument EVENT_UNREADABLE."""
        event = read_event(self.headers.get("content-type", ""), self.body)
        about = {
            "id": trigger.name.trigger,
            "type": trigger.type.lower(),
            "time": self.received_at.isoformat().replace("+00:00", "Z"),
            "delivery": self.name.delivery,
            "headers": dict(self.headers),
        }
        handle = event.get("file") if trigger.event == UPLOADED and isinstance(event, Mapping) else None
        return {"event": event, "trigger": about, **({"file": uploads.seen(handle)} if handle else {})}


def new_delivery_name(trigger: TriggerName, at: datetime) -> DeliveryName:
    """A name that no other delivery has; names sort as deliveries came, to the millisecond."""
    delivery = f"{int(at.timestamp() * 1000):012x}-{secrets.token_hex(6)}"
    return DeliveryName(trigger.org, trigger.agent, trigger.trigger, delivery)


def provider_id(verifier: Verifier, headers: Mapping[str, str], event: Any) -> str:
    """What the sender calls a delivery, by which it is known when it comes again; empty where it has no such name."""
    given: Any
    match verifier.kind:
        case "slack":
            given = event.get("event_id") if isinstance(event, Mapping) else None
        case "github":
            given = headers.get("x-github-delivery")
        case "standard-webhooks":
            given = headers.get("webhook-id")
        case "hmac":
            given = headers.get(verifier.id_header)
        case _:
            given = None
    if not isinstance(given, str) or not given:
        return ""
    return given if _PROVIDER_ID.fullmatch(given) else f"sha256:{hashlib.sha256(given.encode()).hexdigest()}"


def read_event(content_type: str, body: bytes) -> Any:
    """The event in a body: JSON, a form as an object of texts, else `{"text": ...}`.

    Raises InvalidArgument EVENT_UNREADABLE for what is not what it says, or more than an action could take.
    """
    kind = content_type.partition(";")[0].strip().lower()
    try:
        text = body.decode()
        if kind == "application/x-www-form-urlencoded":
            return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS))
        if kind and kind != "application/json" and not kind.endswith("+json"):
            return {"text": text}
        event = read_json(text)
    except ValueError:
        raise _unreadable(kind) from None
    if too_many(event):
        raise _unreadable(kind)
    return event


def _unreadable(kind: str) -> InvalidArgument:
    return InvalidArgument(
        {"body": f"is no {kind or 'application/json'} that can be read"},
        reason="EVENT_UNREADABLE",
        fix="send JSON of at most 30 levels and 50,000 values, in UTF-8",
    )
