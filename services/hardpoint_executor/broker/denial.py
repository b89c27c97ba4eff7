"""Why the broker refuses: a fixed list of codes, each the name of a `hardpoint.errors.v1.ErrorReason`."""

from enum import StrEnum

from hardpoint_executor.jail.interface import BrokerDenied
from hardpoint_kit.errors import HardpointError

__all__ = ["BrokerDenied", "CalleeFailed", "DenialCode"]


class CalleeFailed(BrokerDenied):
    """What was called did not give a result: no refusal of the broker's own, although its caller gets it like one."""

    @classmethod
    def of(cls, error: HardpointError, callee: str) -> "CalleeFailed":
        """The error as its caller gets it: the code is its reason."""
        failed = cls(error.reason, error.message, error.fix)
        of_its_document = {"path", "patch", "author"}
        failed.facts = {name: fact for name, fact in error.metadata.items() if name not in of_its_document}
        failed.facts["callee"] = callee
        return failed


class DenialCode(StrEnum):
    """Every way in which the broker says no, or in which the upstream did not answer."""

    SERVICE_UNKNOWN = "SERVICE_UNKNOWN"
    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    PERMISSION_NOT_GRANTED = "PERMISSION_NOT_GRANTED"
    METHOD_REFUSED = "METHOD_REFUSED"
    BUDGET = "BUDGET"
    URL_REFUSED = "URL_REFUSED"
    USERINFO_REFUSED = "USERINFO_REFUSED"
    HOST_NOT_A_NAME = "HOST_NOT_A_NAME"
    HOST_NOT_GRANTED = "HOST_NOT_GRANTED"
    ADDRESS_NOT_PUBLIC = "ADDRESS_NOT_PUBLIC"
    HEADER_REFUSED = "HEADER_REFUSED"
    SECRET_MISPLACED = "SECRET_MISPLACED"  # noqa: S105 - the name of a code
    REQUEST_TOO_LARGE = "REQUEST_TOO_LARGE"
    RESPONSE_TOO_LARGE = "RESPONSE_TOO_LARGE"
    REDIRECT_REFUSED = "REDIRECT_REFUSED"
    SECRET_NOT_FOR_HOST = "SECRET_NOT_FOR_HOST"  # noqa: S105 - the name of a code
    ANSWER_HOLDS_SECRET = "ANSWER_HOLDS_SECRET"  # noqa: S105 - the name of a code
    FILE_NOT_FOUND = "FILE_NOT_FOUND"
    FILE_LIMIT = "FILE_LIMIT"
    FILE_NOT_GIVEN = "FILE_NOT_GIVEN"
    FILE_EXPIRED = "FILE_EXPIRED"
    FILE_NAME_INVALID = "FILE_NAME_INVALID"
    FILE_SAVE_LIMIT = "FILE_SAVE_LIMIT"
    FILE_QUOTA = "FILE_QUOTA"
    FILES_UNAVAILABLE = "FILES_UNAVAILABLE"
    OUTPUT_HOLDS_SECRET = "OUTPUT_HOLDS_SECRET"  # noqa: S105 - the name of a code
    TOO_MANY_REDIRECTS = "TOO_MANY_REDIRECTS"
    UPSTREAM_TIMEOUT = "UPSTREAM_TIMEOUT"
    UPSTREAM_UNREACHABLE = "UPSTREAM_UNREACHABLE"
    UPSTREAM_ERROR = "UPSTREAM_ERROR"
    WEBSOCKET_CLOSED = "WEBSOCKET_CLOSED"
    NOT_JSON = "NOT_JSON"
    SETTING_MISSING = "SETTING_MISSING"
    SETTING_INVALID = "SETTING_INVALID"
    TABLE_NOT_ALLOWED = "TABLE_NOT_ALLOWED"
    STATEMENT_REFUSED = "STATEMENT_REFUSED"
    STATEMENT_FAILED = "STATEMENT_FAILED"
    TOO_MANY_ROWS = "TOO_MANY_ROWS"
    EFFECTS_TABLE_MISSING = "EFFECTS_TABLE_MISSING"
    LOGIN_REFUSED = "LOGIN_REFUSED"
    RECIPIENT_REFUSED = "RECIPIENT_REFUSED"
    RECIPIENT_DEFERRED = "RECIPIENT_DEFERRED"
    MAIL_REFUSED = "MAIL_REFUSED"
    MAIL_NOT_FOUND = "MAIL_NOT_FOUND"
    EVENT_CHANGED = "EVENT_CHANGED"
    EVENT_NOT_FOUND = "EVENT_NOT_FOUND"
    ANSWER_NOT_KNOWN = "ANSWER_NOT_KNOWN"
    REPLAY_DIVERGED = "REPLAY_DIVERGED"


class Quoting(BrokerDenied):
    """A refusal in words that may quote data, of a statement or of a service's answer: no log repeats them."""
