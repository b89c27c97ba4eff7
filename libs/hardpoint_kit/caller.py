"""Owns who asks: the Caller that every use case takes first, and where the verified one is kept during a call."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

from hardpoint_kit.errors import PermissionDenied

ANY_ORG = "*"
SERVICE_ROLE = "service"
DELEGATE_ROLE = "delegate"
"""Of a program that people talk to: it may say whom of its org a call is for. It allows nothing else, and no other
role allows this: not even an admin is somebody else."""
DOOR_ROLE = "door"
"""Of the unit that strangers reach: it may hand deliveries over, and nothing else."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, verified.

    `org` is the tenant, `request_id` the request's own (empty when it has none), `via` the unit of ours that asks on
    the subject's behalf (empty when the subject itself asks). `on_behalf_of` is the person whom it is for, where that
    is somebody else.
    """

    subject: str
    org: str
    roles: frozenset[str]
    request_id: str = ""
    via: str = ""
    on_behalf_of: str = ""

    @property
    def user(self) -> str:
        """The subject whose accounts may be used."""
        return self.on_behalf_of or self.subject

    def acting_for(self, subject: str) -> "Caller":
        """The caller with whom it acts for; raises PermissionDenied NOT_A_DELEGATE for who may not say that."""
        if not subject or subject == self.subject:
            return self
        if not self.is_service and DELEGATE_ROLE not in self.roles:
            raise PermissionDenied(
                f"{self.subject} may not act for anybody else",
                reason="NOT_A_DELEGATE",
                fix=f"leave on_behalf_of out, or have your org's issuer give the program the role {DELEGATE_ROLE}",
                roles=",".join(sorted(self.roles)),
            )
        return replace(self, on_behalf_of=subject)

    @property
    def is_service(self) -> bool:
        """Whether a unit of ours asks, for itself or for somebody."""
        return SERVICE_ROLE in self.roles


NOBODY = Caller(subject="", org="", roles=frozenset())


def SYSTEM(org: str = ANY_ORG) -> Caller:
    """Build the caller of a unit's own work in one org, or in all of them."""
    return Caller(subject="system", org=org, roles=frozenset({SERVICE_ROLE}))


_current: ContextVar[Caller | None] = ContextVar("hardpoint_caller", default=None)


def caller(_context: object) -> Caller:
    """Return the caller of the RPC being served; NOBODY when its rule needs no token."""
    return _current.get() or NOBODY


def current_caller() -> Caller | None:
    """Return the caller this task works for, None outside any call."""
    return _current.get()


def serve(who: Caller) -> None:
    """Make `who` the caller of the current task until it ends; each RPC is served in a task of its own."""
    _current.set(who)


@contextmanager
def acting_as(who: Caller) -> Iterator[None]:
    """Work as `who` inside the block, so that calls to peers are made on that caller's behalf."""
    token = _current.set(who)
    try:
        yield
    finally:
        _current.reset(token)
