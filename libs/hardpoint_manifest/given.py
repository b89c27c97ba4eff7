"""What becomes of the value that a step is given: the input of an action, the end of a wait; in runs and examples."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hardpoint_manifest.expression import ExpressionError


def as_input(value: Any) -> dict[str, Any]:
    """The input of an action that a step calls; a value that is no object is its `input`."""
    if isinstance(value, dict):
        return value
    return {} if value is None else {"input": value}


def until(value: Any, now: datetime) -> datetime:
    """When a wait is over: so many seconds from now, or at a time as a text; raises ExpressionError TYPE_MISMATCH."""
    try:
        if isinstance(value, str):
            at = datetime.fromisoformat(value)
            return at if at.tzinfo else at.replace(tzinfo=UTC)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return now + timedelta(seconds=max(value, 0))
    except (ValueError, OverflowError):
        pass
    wrong = "a wait is for a number of seconds, or until a time such as 2030-01-31T08:00:00Z"
    raise ExpressionError("TYPE_MISMATCH", wrong)
