"""Why the broker refuses: a fixed list of codes, each the name of a `hardpoint.errors.v1.ErrorReason`."""

from enum import StrEnum

from hardpoint_executor.jail.interface import BrokerDenied

__all__ = ["BrokerDenied", "DenialCode"]


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
    TOO_MANY_REDIRECTS = "TOO_MANY_REDIRECTS"
    UPSTREAM_TIMEOUT = "UPSTREAM_TIMEOUT"
    UPSTREAM_UNREACHABLE = "UPSTREAM_UNREACHABLE"
    UPSTREAM_ERROR = "UPSTREAM_ERROR"
