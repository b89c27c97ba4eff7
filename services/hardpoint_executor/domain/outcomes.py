"""How an execution ended, and which reason of an error means what."""

from enum import StrEnum

from hardpoint_kit.errors import HardpointError


class Outcome(StrEnum):
    """How an execution ended, decided outside the jail."""

    OK = "ok"
    USER_ERROR = "user_error"
    TIMEOUT = "timeout"
    OOM = "oom"
    CRASH = "crash"
    VIOLATION = "violation"
    PROTOCOL = "protocol"
    OUTPUT_LIMIT = "output_limit"
    BUDGET = "budget"
    CANCELLED = "cancelled"
    DENIED = "denied"


_OUTCOMES = {
    "TIMEOUT": Outcome.TIMEOUT,
    "UPSTREAM_TIMEOUT": Outcome.TIMEOUT,
    "MEMORY": Outcome.OOM,
    "CRASH": Outcome.CRASH,
    "VIOLATION": Outcome.VIOLATION,
    "PROTOCOL": Outcome.PROTOCOL,
    "OUTPUT_LIMIT": Outcome.OUTPUT_LIMIT,
    "BUDGET": Outcome.BUDGET,
    "CANCELLED": Outcome.CANCELLED,
    "GRANT_MISSING": Outcome.DENIED,
    "HOST_NOT_GRANTED": Outcome.DENIED,
    "PERMISSION_NOT_GRANTED": Outcome.DENIED,
    "URL_REFUSED": Outcome.DENIED,
    "USERINFO_REFUSED": Outcome.DENIED,
    "HOST_NOT_A_NAME": Outcome.DENIED,
    "ADDRESS_NOT_PUBLIC": Outcome.DENIED,
    "HEADER_REFUSED": Outcome.DENIED,
    "METHOD_REFUSED": Outcome.DENIED,
    "REDIRECT_REFUSED": Outcome.DENIED,
    "TOO_MANY_REDIRECTS": Outcome.DENIED,
    "REQUEST_TOO_LARGE": Outcome.DENIED,
    "RESPONSE_TOO_LARGE": Outcome.DENIED,
    "SERVICE_UNKNOWN": Outcome.DENIED,
    "SECRET_MISPLACED": Outcome.DENIED,
    "SECRET_NOT_FOR_HOST": Outcome.DENIED,
    "ANSWER_HOLDS_SECRET": Outcome.DENIED,
    "OUTPUT_HOLDS_SECRET": Outcome.DENIED,
    "FILE_LIMIT": Outcome.DENIED,
    "FILE_NOT_GIVEN": Outcome.DENIED,
    "FILE_SAVE_LIMIT": Outcome.DENIED,
    "FILE_QUOTA": Outcome.DENIED,
    "TABLE_NOT_ALLOWED": Outcome.DENIED,
    "STATEMENT_REFUSED": Outcome.DENIED,
    "TOO_MANY_ROWS": Outcome.DENIED,
    "EFFECTS_TABLE_MISSING": Outcome.DENIED,
    "CALLEE_NOT_DECLARED": Outcome.DENIED,
    "CALLEE_NOT_INSTALLED": Outcome.DENIED,
    "CALLEE_DISABLED": Outcome.DENIED,
    "CALLEE_UNKNOWN": Outcome.DENIED,
    "CALLEE_AMBIGUOUS": Outcome.DENIED,
    "CALLEE_CYCLE": Outcome.DENIED,
    "CALLEE_LIMIT": Outcome.DENIED,
    "CALLEE_WORKFLOW": Outcome.DENIED,
    "EFFECT_NOT_PLANNED": Outcome.DENIED,
    "EFFECT_PLAN_LIMIT": Outcome.DENIED,
    "ANSWER_NOT_KNOWN": Outcome.DENIED,
}


def outcome_of(error: HardpointError) -> Outcome:
    """Tell from an error's reason how the execution ended."""
    return _OUTCOMES.get(error.reason, Outcome.USER_ERROR)
