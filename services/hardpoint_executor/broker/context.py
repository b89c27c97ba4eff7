"""The service `context` of one execution: whose call it is, and what the calling agent knows, part by part.

Whose call it is needs no permission. A part that was not given is nothing; one that is not granted is a refusal that
says so, whether it was given or not.
"""

from functools import cached_property
from typing import Any, Final

from hardpoint_executor.broker.means import Means, no_method
from hardpoint_executor.domain import Known

_PERMISSIONS: Final = {part: f"context.{part}" for part in ("user", "conversation", "files")}


class Context:
    """Answers what is known; `means.context` is whose call it is."""

    def __init__(self, means: Means, known: Known) -> None:
        self._means = means
        self._parts: dict[str, Any] = {
            "user": known.user,
            "conversation": known.conversation,
            "files": [dict(handle) for handle in known.files],
        }

    def ask(self, method: str) -> Any:
        """Answer with a JSON value; raises BrokerDenied."""
        if method == "get":
            granted = self._means.policy.permissions
            parts = {part: value for part, value in self._parts.items() if value and _PERMISSIONS[part] in granted}
            self._means.usage.permissions.update(map(_PERMISSIONS.__getitem__, parts))
            return {**self._means.context, **self._moment, **parts}
        if method not in self._parts:
            raise no_method("context", method, "get, user, conversation or files")
        self._means.permit(_PERMISSIONS[method], f"context.{method}()")
        self._means.usage.permissions.add(_PERMISSIONS[method])
        return self._parts[method]

    @cached_property
    def _moment(self) -> dict[str, str]:
        # Few ask, and who asks twice hears the same.
        return self._means.effects.writes.moment(self._means.idempotency_key)
