"""What the services of the broker say before they write: which effect it is, in words that hold no secret.

The same effect has the same words in a dry run and in the call that follows it: what differs from run to run by itself
(handles of secrets, the run's name, the key of its attempts) stands there as what it is, and not with its value.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from hardpoint_executor.broker.denial import BrokerDenied
from hardpoint_executor.broker.outlet import Outlet
from hardpoint_executor.broker.secrets import Secrets
from hardpoint_executor.writes import DRY, NotPlanned, Writes
from hardpoint_kit.errors import ActionFailed

SHOWN_BYTES: Final = 1000
"""What is longer is told by its digest alone."""


class Effects:
    """The writes of one execution, for the services that make them; `who` is as its code may know it."""

    def __init__(self, writes: Writes, who: Mapping[str, str], secrets: Secrets, outlet: Outlet) -> None:
        self.writes = writes
        self.org = who.get("org", "")
        self._who = who.get("release", ""), who.get("action", "")
        run, key = who.get("run", ""), who.get("idempotency_key", "")
        own = (key, key.removeprefix(DRY)), (run, "{run}"), (run.rpartition("/")[2], "{run}")
        self._own = [(text, name) for text, name in own if text not in ("", name)]
        self._secrets = secrets
        self._outlet = outlet

    @property
    def watching(self) -> bool:
        """Whether a plan is made or kept to."""
        return self.writes.ledger is not None

    @property
    def dry_run(self) -> bool:
        """Whether nothing is written."""
        return self.writes.dry_run

    async def admit(self, service: str, operation: str, target: str, arguments: Mapping[str, Any]) -> bool:
        """Whether to do a write that has passed every check; False when it is planned instead.

        Raises BrokerDenied EFFECT_NOT_PLANNED, EFFECT_PLAN_LIMIT.
        """
        if not self.watching:
            return True
        try:
            target, arguments = await self._outlet.output(self._plain([target, arguments]))
            return self.writes.admit(self._who, (service, operation, target), arguments)
        except NotPlanned as refused:
            raise BrokerDenied(refused.reason, refused.message, refused.fix, **refused.facts) from None
        except ActionFailed as held:
            raise BrokerDenied(held.reason, held.message, held.fix, **held.metadata) from None

    async def answered(self, asked: Any, perform: Callable[[], Awaitable[Any]]) -> Any:
        """What a model answers; what is held to a plan hears what was said in the dry run, when it asks the same."""
        return await self.writes.answered(self._plain(asked), perform)

    def body(self, data: str | bytes | None) -> dict[str, Any] | None:
        """How a body stands in a plan: its digest and size, and the text itself where it is short."""
        if data is None:
            return None
        content = self._plain(data).encode(errors="replace") if isinstance(data, str) else data
        told = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        if len(content) > SHOWN_BYTES:
            return told
        try:
            return {**told, "text": content.decode()}
        except UnicodeDecodeError:
            return told

    def _plain(self, value: Any) -> Any:
        if isinstance(value, str):
            text = self._secrets.named(value.encode(errors="replace").decode())
            for own, name in self._own:
                text = text.replace(own, name)
            return text
        if isinstance(value, Mapping):
            return {self._plain(name): self._plain(part) for name, part in value.items()}
        return [self._plain(part) for part in value] if isinstance(value, list) else value
