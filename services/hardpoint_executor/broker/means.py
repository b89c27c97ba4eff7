"""What an effect has at hand: permissions, settings, secrets, limits and the clock of one execution."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from hardpoint_executor.broker.denial import BrokerDenied, DenialCode
from hardpoint_executor.broker.effects import Effects
from hardpoint_executor.broker.http import Owner
from hardpoint_executor.broker.limits import BrokerLimits, Usage
from hardpoint_executor.broker.outlet import Outlet
from hardpoint_executor.broker.policy import FetchPolicy
from hardpoint_executor.broker.secrets import Secrets
from hardpoint_executor.broker.tape import Perform, Tape


@dataclass(frozen=True, slots=True)
class Means:
    """Of one execution; `ends` is in seconds of `time.monotonic`."""

    owner: Owner
    policy: FetchPolicy
    settings: Mapping[str, Any]
    secrets: Secrets
    outlet: Outlet
    limits: BrokerLimits
    usage: Usage
    ends: float
    effects: Effects
    idempotency_key: str = ""
    """The same for every attempt of this execution."""
    context: dict[str, Any] = field(default_factory=dict)
    """What the capability may know of its call."""
    tape: Tape | None = None

    async def outside(self, service: str, method: str, arguments: Mapping[str, Any], perform: Perform) -> Any:
        """The answer to an effect that all checks have let pass: the one place where it leaves, or goes to the tape."""
        if self.tape is None:
            return await perform()
        return await self.tape.effect(service, method, arguments, perform)

    def permit(self, permission: str, what: str) -> None:
        """Refuse `what` unless its permission is granted."""
        self.policy.permission(permission, what)

    def spend_call(self, *permissions: str) -> None:
        """Count one call to the network, and the permissions that it acts upon; raises BrokerDenied BUDGET."""
        spend_call(self.limits, self.usage)
        self.usage.permissions.update(permissions)

    def setting(self, key: str, what: str) -> str:
        """A setting that `what` needs; raises BrokerDenied SETTING_MISSING."""
        value = self.settings.get(key)
        if not isinstance(value, str) or not value.strip():
            raise _missing(key, what, "setting")
        return value.strip()

    def secret(self, key: str, what: str) -> str:
        """The value of a secret that `what` needs; raises BrokerDenied SETTING_MISSING."""
        value = self.secrets.value(key)
        if not value:
            raise _missing(key, what, "secret")
        return value

    @asynccontextmanager
    async def within(self, seconds: float, what: str, fix: str) -> AsyncIterator[float]:
        """The seconds that an effect may take; beyond them it ends as UPSTREAM_TIMEOUT."""
        started = time.monotonic()
        left = max(min(seconds, self.ends - started), 0.0)
        try:
            async with asyncio.timeout(left):
                yield left
        except TimeoutError:
            raise BrokerDenied(
                DenialCode.UPSTREAM_TIMEOUT, f"{what} did not answer within {left:.3g} s", fix, limit=f"{left:.3g} s"
            ) from None
        finally:
            self.usage.milliseconds += (time.monotonic() - started) * 1000


def spend_call(limits: BrokerLimits, usage: Usage) -> None:
    """Count one call to the network before it is made; raises BrokerDenied BUDGET."""
    if usage.calls >= limits.calls:
        raise BrokerDenied(
            DenialCode.BUDGET,
            f"the execution has made all of its {limits.calls} calls; redirects count",
            "make fewer calls, or split the work into several actions",
            budget="broker_calls",
            limit=str(limits.calls),
        )
    usage.calls += 1


def text_of(arguments: Mapping[str, Any], name: str, default: str | None = None) -> str:
    """An argument that is text; raises BrokerDenied INVALID_ARGUMENT."""
    value = arguments.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise invalid(f"{name} is not a text", f"pass {name} as a text")
    return value


def invalid(message: str, fix: str) -> BrokerDenied:
    """The refusal of arguments that mean nothing."""
    return BrokerDenied(DenialCode.INVALID_ARGUMENT, message, fix)


def no_method(service: str, method: str, methods: str) -> BrokerDenied:
    """The refusal of a method that a service does not have."""
    return BrokerDenied(DenialCode.SERVICE_UNKNOWN, f"{service} has no method {method[:40]!r}", f"use {methods}")


def _missing(key: str, what: str, kind: str) -> BrokerDenied:
    return BrokerDenied(
        DenialCode.SETTING_MISSING, f"{what} needs the {kind} {key}, which has no value", f"set {key}", setting=key
    )
