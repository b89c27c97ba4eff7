"""Owns the trigger: what starts runs of one of an agent's actions, and what must hold of how it is written."""

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, Self

from hardpoint_kit.caller import Caller
from hardpoint_kit.errors import Conflict, InvalidArgument
from hardpoint_kit.masks import apply_mask
from hardpoint_kit.names import InstallationName, SettingsName, TriggerName
from hardpoint_manifest.events import EVENTS, sent_as
from hardpoint_manifest.expression import Expression, ExpressionError, Scope, Structure, compile
from hardpoint_runtime.domain.actions import ActionName
from hardpoint_runtime.domain.releases import DeclaredTrigger, Verifier
from hardpoint_runtime.domain.revision import Revision
from hardpoint_runtime.domain.schedules import Schedule

TOKEN_BYTES: Final = 32
_UPDATABLE: Final = (
    "display_name",
    "input",
    "filter",
    "schedule",
    "time_zone",
    "verifier",
    "allow_unsigned",
    "order_by",
)


class TriggerType(StrEnum):
    """Where events come from."""

    WEBHOOK = "WEBHOOK"
    SCHEDULE = "SCHEDULE"
    EVENT = "EVENT"


class TriggerState(StrEnum):
    """Whether events are accepted."""

    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a trigger is to be, as an operator writes it; an empty text was not written."""

    display_name: str = ""
    type: TriggerType | None = None
    action: str = ""
    input: Mapping[str, Any] | None = None
    filter: str = ""
    declared: str = ""
    verifier: Verifier | None = None
    allow_unsigned: bool = False
    schedule: str = ""
    time_zone: str = ""
    event: str = ""
    order_by: str = ""

    def over(self, prefix: str, declared: DeclaredTrigger) -> Self:
        """This, with what the author declares wherever nothing was written.

        What a webhook's sender calls its events is a part of the filter.
        """
        kind = self.type or TriggerType(declared.type.upper())
        verifier = self.verifier or declared.verifier
        named = sent_as(verifier.kind, declared.event) if kind is TriggerType.WEBHOOK and verifier else ""
        return replace(
            self,
            display_name=self.display_name or declared.name,
            type=kind,
            action=self.action or (f"{prefix}.{declared.action}" if declared.action else ""),
            input=self.input if self.input is not None else declared.input,
            filter=self.filter or _both(named, declared.filter),
            verifier=verifier,
            schedule=self.schedule or declared.schedule,
            time_zone=self.time_zone or declared.time_zone,
            event=self.event or declared.event,
            order_by=self.order_by or declared.order_by,
        )


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger of an agent.

    `token` is the unguessable part of a webhook's address, `next_at` a schedule's next time.
    """

    name: TriggerName
    display_name: str
    type: TriggerType
    state: TriggerState
    action: str
    input: Mapping[str, Any]
    filter: str
    declared: str
    verifier: Verifier
    allow_unsigned: bool
    token: str
    schedule: str
    time_zone: str
    next_at: datetime | None
    event: str
    installation: str
    revision: Revision
    made_by: str = ""
    """Who made or changed it last: whoever says what it does answers for it with their own accounts."""
    authors: tuple[str, ...] = ()
    """All who made or changed it."""
    order_by: str = ""

    @classmethod
    def new(
        cls, name: TriggerName, asked: Asked, installation: InstallationName, at: datetime, made_by: str = ""
    ) -> Self:
        """A trigger that accepts events; raises InvalidArgument for what is written wrongly."""
        kind = asked.type
        if kind is None:
            raise InvalidArgument({"trigger.type": "is required"}, fix="say webhook, schedule or event")
        made = cls(
            name=name,
            display_name=asked.display_name or name.trigger,
            type=kind,
            state=TriggerState.ACTIVE,
            action=str(ActionName.parse(asked.action)),
            input=asked.input or {},
            filter=asked.filter,
            declared=asked.declared,
            verifier=asked.verifier or Verifier(),
            allow_unsigned=asked.allow_unsigned,
            token=secrets.token_urlsafe(TOKEN_BYTES) if kind is TriggerType.WEBHOOK else "",
            schedule=asked.schedule if kind is TriggerType.SCHEDULE else "",
            time_zone=asked.time_zone if kind is TriggerType.SCHEDULE else "",
            next_at=None,
            event=asked.event,
            installation=installation.installation,
            revision=Revision.first(at),
            made_by=made_by,
            authors=(made_by,),
            order_by=asked.order_by,
        )
        return made.checked().planned(at)

    def changed(self, asked: Asked, mask: Iterable[str], at: datetime, made_by: str) -> Self:
        """The trigger with what the mask names; raises InvalidArgument for any other path, and as `new` does.

        Where it was not known before how its sender signs, what that calls the event becomes its filter.
        """
        patch = replace(
            self,
            display_name=asked.display_name,
            input=asked.input or {},
            filter=asked.filter,
            verifier=asked.verifier or Verifier(),
            allow_unsigned=asked.allow_unsigned,
            schedule=asked.schedule,
            time_zone=asked.time_zone,
            order_by=asked.order_by,
        )
        authors = tuple(dict.fromkeys((*self.authors, made_by)))
        paths = tuple(mask)
        masked = apply_mask(self, patch, paths, _UPDATABLE)
        if self.token and "filter" not in paths and not self.filter and masked.verifier != self.verifier:
            masked = replace(masked, filter=sent_as(masked.verifier.kind, self.event))
        changed = replace(masked, revision=self.revision.next(at), made_by=made_by, authors=authors).checked()
        return (
            changed.planned(at) if (self.schedule, self.time_zone) != (changed.schedule, changed.time_zone) else changed
        )

    def paused(self, at: datetime) -> Self:
        """The trigger with events refused; raises Conflict when they are already."""
        return self._moved(TriggerState.ACTIVE, TriggerState.PAUSED, at)

    def resumed(self, at: datetime) -> Self:
        """The trigger with events accepted, a schedule from now on; raises Conflict when they are already."""
        return self._moved(TriggerState.PAUSED, TriggerState.ACTIVE, at).planned(at)

    def planned(self, at: datetime) -> Self:
        """The trigger with its next time after a moment, where it has any."""
        if self.type is not TriggerType.SCHEDULE:
            return self
        return replace(self, next_at=Schedule.parse(self.schedule, self.time_zone).after(at))

    def checked(self) -> Self:
        """Itself; raises InvalidArgument that names what is written wrongly, and where in it."""
        _written("trigger.input", lambda: Structure.parse(dict(self.input), _INPUT_SCOPE))
        if self.filter:
            _written("trigger.filter", lambda: _filter(self.filter))
        if self.order_by:
            _written("trigger.order_by", lambda: _order(self.order_by))
        if self.type is TriggerType.SCHEDULE:
            Schedule.parse(self.schedule, self.time_zone)
        elif self.schedule or self.time_zone:
            field = "schedule" if self.schedule else "time_zone"
            kind = self.type.lower()
            raise InvalidArgument({f"trigger.{field}": f"is of schedules, and {self.name.trigger} is of type {kind}"})
        if self.type is TriggerType.EVENT and self.event not in EVENTS:
            raise InvalidArgument(
                {"trigger.event": f'there is no event "{self.event}"'}, fix=f"say {' or '.join(EVENTS)}"
            )
        if self.type is TriggerType.WEBHOOK:
            self.verifier.check()
        if self.allow_unsigned and self.verifier.signs:
            raise InvalidArgument(
                {"trigger.allow_unsigned": "deliveries have to be signed"}, fix="leave it out, or set the verifier none"
            )
        return self

    @property
    def settings(self) -> SettingsName:
        """The settings document with its signing secret."""
        return SettingsName(self.name.org, self.installation)

    @property
    def caller(self) -> Caller:
        """Who asks for the runs that it starts."""
        who = Caller(subject=str(self.name), org=self.name.org, roles=frozenset({"agent"}), via="units/runtime")
        return replace(who, on_behalf_of=self.made_by)

    def admits(self, variables: Mapping[str, Any]) -> bool:
        """Whether an event fulfils the filter; raises ExpressionError where it cannot be told."""
        return not self.filter or _filter(self.filter).evaluate(variables) is True

    def order_key(self, variables: Mapping[str, Any]) -> str:
        """What tells the events that run one after the other from others; empty where there is no order.

        What the expression gives nothing for is in one order with all else that it gives nothing for.
        """
        if not self.order_by:
            return ""
        try:
            value = _order(self.order_by).evaluate(variables)
        except ExpressionError:
            value = None
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
        return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()

    def input_for(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """The action's input for an event; raises InvalidArgument INPUT_INVALID for one that has not what it wants."""
        try:
            filled: dict[str, Any] = Structure.parse(dict(self.input), _INPUT_SCOPE).evaluate(variables)
        except ExpressionError as error:
            raise InvalidArgument(
                {"trigger.input": error.message},
                reason="INPUT_INVALID",
                fix="write the trigger's input for what its events hold",
            ) from None
        return filled

    def _moved(self, before: TriggerState, after: TriggerState, at: datetime) -> Self:
        if self.state is not before:
            raise Conflict(
                f"trigger {self.name} is {self.state} already",
                fix="nothing is left to be done",
                state=self.state,
                resource=self.name,
            )
        return replace(self, state=after, revision=self.revision.next(at))


_INPUT_SCOPE: Final = Scope.of("event", "trigger")


@lru_cache(maxsize=1024)
def _filter(text: str) -> Expression:
    return compile(text, Scope.of("event", "trigger", "file"))


@lru_cache(maxsize=1024)
def _order(text: str) -> Expression:
    return compile(text, _INPUT_SCOPE)


def _both(one: str, other: str) -> str:
    return f"({one}) && ({other})" if one and other else one or other


def _written(place: str, read: Any) -> None:
    try:
        read()
    except ExpressionError as error:
        raise InvalidArgument({place: error.message}, fix=error.fix) from None
