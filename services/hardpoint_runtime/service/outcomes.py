"""Owns what follows from an attempt of a step that did not end well: again, a person's look, or failure."""

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum

from hardpoint_kit.errors import (
    ActionFailed,
    DeadlineExceeded,
    HardpointError,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)
from hardpoint_manifest.expression import ExpressionError
from hardpoint_manifest.plan import Retry
from hardpoint_runtime.domain.runs import Failure

_UNKNOWN = frozenset({"UNAVAILABLE", "TIMEOUT", "MEMORY", "CRASH", "UPSTREAM_TIMEOUT", "UPSTREAM_UNREACHABLE"})
"""Nobody knows whether it had its effect: the executor was lost, the jail or the connection ended, or the time did."""
_NO_WORD = frozenset({"", "502", "504"})
"""An answer that is none, or a gateway's that has none."""
_FOR_GOOD = frozenset(
    {
        "VIOLATION",
        "BUDGET",
        "OUTPUT_LIMIT",
        "OUTPUT_HOLDS_SECRET",
        "TYPE_MISMATCH",
        "MAPPING_MISSING",
        "PROTOCOL",
        "NOT_JSON",
        "EXPRESSION_FAILED",
        "RECIPIENT_REFUSED",
    }
)
_REFUSED_FOR_NOW = frozenset({"408", "425", "429"})
_AWAY = frozenset({"UPSTREAM_UNREACHABLE", "UPSTREAM_TIMEOUT", "LOGIN_REFUSED", "MAIL_REFUSED", "RECIPIENT_DEFERRED"})
"""The other side did not take it, and may when somebody has looked after it."""
MOST_LOSSES = 20
"""Attempts beyond the author's that are made since the executor was lost or busy."""
FIRST_LOSS_SECONDS = 0.5
LONGEST_LOSS_SECONDS = 30.0
LONGEST_ASKED_SECONDS = 3600.0


class Next(StrEnum):
    """What to do about a step whose attempt did not end well."""

    AGAIN = "AGAIN"
    DOUBT = "DOUBT"
    FAIL = "FAIL"


def did_not_happen(facts: Mapping[str, str]) -> bool:
    """Whether the executor vouches for it that nothing has left that may change something."""
    return facts.get("happened") == "no"


def after(
    error: HardpointError,
    *,
    began: bool,
    repeatable: bool,
    attempts: int,
    retry: Retry,
    reads: bool = False,
) -> Next:
    """What follows from the error of the latest of `attempts`, when the author allows so many.

    What did not begin since nobody could run it is begun again, whatever it is. What can be repeated is, when that may
    help, and what certainly did not happen too: a write that the other side did not take once it was to be repeated is
    left to a person. So is anything else that may have happened, or was to be repeated and must not be, whether its
    step says so or its workflow for all of them.
    """
    undone = did_not_happen(error.metadata)
    if not began:
        busy = isinstance(error, Unavailable | ResourceExhausted | DeadlineExceeded | Unauthenticated)
        return Next.AGAIN if busy and attempts < retry.attempts + MOST_LOSSES else Next.FAIL
    if error.reason == "UNAVAILABLE" and repeatable:
        return Next.AGAIN if attempts < retry.attempts + MOST_LOSSES else Next.FAIL
    if undone and not reads and error.reason in _AWAY and retry.attempts > 1:
        return Next.AGAIN if attempts < retry.attempts else Next.DOUBT
    if _unknown(error) and not (repeatable or undone):
        return Next.DOUBT
    if _for_good(error) or attempts >= retry.attempts:
        return Next.FAIL
    return Next.AGAIN if repeatable or undone else Next.DOUBT


def _unknown(error: HardpointError) -> bool:
    if error.reason == "UPSTREAM_ERROR":
        return error.metadata.get("status", "") in _NO_WORD
    return error.reason in _UNKNOWN


def _for_good(error: HardpointError) -> bool:
    if isinstance(error, PermissionDenied | InvalidArgument | NotFound) or error.reason in _FOR_GOOD:
        return True
    status = error.metadata.get("status", "")
    return status.startswith("4") and status not in _REFUSED_FOR_NOW


def doubt(failure: Failure) -> str:
    """The reason with which a step waits for a person, or ends when that person says so."""
    return failure.reason if did_not_happen(failure.facts) else "MAY_HAVE_HAPPENED"


def pause_seconds(lost: bool, attempts: int, seconds: float, backoff: float, asked: float | None = None) -> float:
    """How long to wait after so many attempts: as the author says, or ever longer for an executor that is away.

    No shorter than an upstream `asked`, up to an hour.
    """
    if lost:
        longer: float = FIRST_LOSS_SECONDS * 2.0 ** min(attempts - 1, 10)
        return min(LONGEST_LOSS_SECONDS, longer)
    after_all: float = seconds * backoff ** (attempts - 1)
    return max(after_all, min(asked or 0.0, LONGEST_ASKED_SECONDS))


def failure_of(error: Exception, place: str) -> Failure:
    """An error of a step as it is recorded, with the place of the step in the plan."""
    if isinstance(error, HardpointError):
        failure = Failure.of(error)
        return replace(failure, place=place if not failure.place else f"{place}: {failure.place}")
    reason, fix = (error.reason, error.fix) if isinstance(error, ExpressionError) else ("INTERNAL", "")
    return replace(Failure.of(ActionFailed(str(error)[:2000], reason=reason, fix=fix)), place=place)
