"""A refusal of the broker as the error with which an execution ends."""

from hardpoint_executor.jail.interface import BrokerDenied
from hardpoint_kit.errors import ActionFailed


def failure(denied: BrokerDenied, place: str = "") -> ActionFailed:
    """The error: `message` and `fix` for the caller; `author`, `path` and `patch` of the metadata for the author."""
    error = ActionFailed(denied.message, reason=str(denied.code), fix=denied.fix, place=place)
    error.metadata = dict(denied.facts)
    return error
