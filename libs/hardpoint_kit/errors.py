"""Owns the exception family that both sides of a call share; `rpc.status` carries it over the wire.

Every error says what is wrong (`message`, `reason`), where (`place`, `violations`) and what to do next (`fix`).
`reason` is the name of a value of `hardpoint.errors.v1.ErrorReason`; callers switch on it and never on prose.
"""

from collections.abc import Mapping
from typing import ClassVar, Self

import grpc


class HardpointError(Exception):
    """An error with a status code, a reason to switch on and words for people."""

    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.UNKNOWN
    default_reason: ClassVar[str] = "INTERNAL"
    quotes: ClassVar[bool] = False
    """Whether its words may repeat what somebody sent: they are for the caller then, and for no log."""

    message: str
    reason: str
    fix: str
    place: str
    metadata: dict[str, str]
    violations: dict[str, str]
    retry_after: float | None
    from_peer: bool
    from_transport: bool

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        fix: str = "",
        place: str = "",
        retry_after: float | None = None,
        **metadata: object,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.fix = fix
        self.place = place
        self.retry_after = retry_after
        self.metadata = {key: str(value) for key, value in metadata.items()}
        self.violations = {}
        self.from_peer = False
        self.from_transport = False

    @property
    def loggable(self) -> str:
        """Its message where that can stand in a log, else nothing."""
        return "" if self.quotes else self.message

    @classmethod
    def received(
        cls,
        message: str,
        *,
        reason: str,
        fix: str,
        place: str,
        retry_after: float | None,
        metadata: Mapping[str, str],
        violations: Mapping[str, str],
    ) -> Self:
        """Rebuild an error that a peer raised, whatever the constructor of its class asks for."""
        error = cls.__new__(cls, message)
        HardpointError.__init__(error, message, reason=reason, fix=fix, place=place, retry_after=retry_after)
        error.metadata = dict(metadata)
        error.violations = dict(violations)
        error.from_peer = True
        return error


class InvalidArgument(HardpointError):
    """The request itself is wrong; `violations` says which field by path, when that is known."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    default_reason = "INVALID_ARGUMENT"
    quotes = True

    def __init__(
        self,
        message_or_violations: str | Mapping[str, str],
        *,
        reason: str = "INVALID_ARGUMENT",
        fix: str = "",
        place: str = "",
        **metadata: object,
    ) -> None:
        violations = {} if isinstance(message_or_violations, str) else dict(message_or_violations)
        message = (
            message_or_violations
            if isinstance(message_or_violations, str)
            else "; ".join(f"{path}: {text}" for path, text in violations.items())
        )
        super().__init__(message, reason=reason, fix=fix, place=place or next(iter(violations), ""))
        self.metadata = {key: str(value) for key, value in metadata.items()}
        self.violations = violations


class NotFound(HardpointError):
    """The resource does not exist, or the caller may not know that it does."""

    code = grpc.StatusCode.NOT_FOUND
    default_reason = "NOT_FOUND"

    def __init__(
        self, kind: str, name: object, *, message: str = "", reason: str = "", fix: str = "", **metadata: object
    ) -> None:
        super().__init__(message or f'{kind} "{name}" not found', reason=reason, fix=fix)
        self.metadata = {key: str(value) for key, value in {"resource": name, **metadata}.items()}


class AlreadyExists(HardpointError):
    """A resource of that name is already there."""

    code = grpc.StatusCode.ALREADY_EXISTS
    default_reason = "ALREADY_EXISTS"


class Conflict(HardpointError):
    """The resource is in a state that forbids this."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    default_reason = "WRONG_STATE"


class ActionFailed(HardpointError):
    """An action ran and failed; `reason` says how."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    default_reason = "USER_ERROR"
    quotes = True


class StaleEtag(HardpointError):
    """The resource changed since the caller read it."""

    code = grpc.StatusCode.ABORTED
    default_reason = "STALE_ETAG"


class PermissionDenied(HardpointError):
    """The caller is known and may not do this."""

    code = grpc.StatusCode.PERMISSION_DENIED
    default_reason = "PERMISSION_DENIED"


class Unauthenticated(HardpointError):
    """The caller is not known: no token, or one that does not verify."""

    code = grpc.StatusCode.UNAUTHENTICATED
    default_reason = "UNAUTHENTICATED"


class ResourceExhausted(HardpointError):
    """A limit or a budget is used up."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    default_reason = "RESOURCE_EXHAUSTED"


class OutOfRange(HardpointError):
    """What was sent goes past an end: more bytes than announced or allowed."""

    code = grpc.StatusCode.OUT_OF_RANGE
    default_reason = "INVALID_ARGUMENT"


class Unimplemented(HardpointError):
    """The peer does not know the method."""

    code = grpc.StatusCode.UNIMPLEMENTED
    default_reason = "UNIMPLEMENTED"


class Unavailable(HardpointError):
    """Something needed cannot be reached now; the same call may work later."""

    code = grpc.StatusCode.UNAVAILABLE
    default_reason = "UNAVAILABLE"


class DeadlineExceeded(HardpointError):
    """The time allowed for the call ran out."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED
    default_reason = "DEADLINE_EXCEEDED"


class Cancelled(HardpointError):
    """The caller, or whoever asked it, gave up."""

    code = grpc.StatusCode.CANCELLED
    default_reason = "CANCELLED"


class Internal(HardpointError):
    """A bug of ours; the trace id in the metadata finds the log line."""

    code = grpc.StatusCode.INTERNAL
    default_reason = "INTERNAL"
