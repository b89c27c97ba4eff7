"""An action of kind `http`, compiled once per artifact and run any number of times without reading the manifest."""

import asyncio
import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, Self, TypeVar

from hardpoint_executor.broker.broker import Broker
from hardpoint_executor.broker.denial import BrokerDenied, DenialCode
from hardpoint_executor.broker.fetch import FetchRequest
from hardpoint_executor.broker.secrets import Secret
from hardpoint_executor.runners.denied import failure
from hardpoint_executor.runners.http.basic import BasicPlan
from hardpoint_executor.runners.http.pages import PagePlan
from hardpoint_executor.runners.http.repeats import Repeats
from hardpoint_executor.runners.http.request import RequestPlan
from hardpoint_executor.runners.http.response import ResponsePlan
from hardpoint_executor.runners.oversize import OVERSIZE_BYTES, OVERSIZE_FIX
from hardpoint_kit.errors import ActionFailed, InvalidArgument
from hardpoint_manifest.expression import ExpressionError, Scope
from hardpoint_manifest.hosts import host_of
from hardpoint_manifest.model import Action, Manifest

LARGE_BYTES: Final = 1024 * 1024
"""More is read and checked on a thread: nobody else's call waits for that."""
T = TypeVar("T")


class _Planned(Exception):
    """The request was not made, so there is no answer to read."""


@dataclass(frozen=True, slots=True)
class HttpPlan:
    """How one action becomes a request, and how its answer becomes an output."""

    action: Action
    request: RequestPlan
    response: ResponsePlan
    repeats: Repeats
    basic: BasicPlan | None
    pages: PagePlan | None

    @classmethod
    def compile(cls, action: Action, manifest: Manifest) -> Self:
        """Compile every expression of the action; raises InvalidArgument for one that the manifest check refuses."""
        call = action.http
        if call is None:
            raise InvalidArgument(f"action {action.id} makes no HTTP call", place=f"actions.{action.id}")
        try:
            host = str(host_of(call.url))
            return cls(
                action,
                RequestPlan.compile(call, Scope.request(action, manifest.requirements)),
                ResponsePlan.compile(call, host, action),
                Repeats.of(call),
                None if call.basic is None else BasicPlan.compile(call.basic, Scope.settings(manifest.requirements)),
                None if call.pagination is None else PagePlan.compile(call.pagination, Scope.response(action)),
            )
        except ExpressionError as error:
            raise InvalidArgument(
                error.message, reason="MANIFEST_INVALID", place=f"actions.{action.id}", fix=error.fix
            ) from None
        except ValueError as error:
            raise InvalidArgument(str(error), reason="MANIFEST_INVALID", place=f"actions.{action.id}") from None

    def made(self, secrets: Mapping[str, Secret], settings: Mapping[str, Any]) -> dict[str, Secret]:
        """The secrets that the action makes of others, which the broker fills in like all."""
        return {} if self.basic is None else self.basic.made(secrets, settings)

    async def run(
        self, broker: Broker, input: Mapping[str, Any], settings: Mapping[str, Any], output_bytes: int = 1024 * 1024
    ) -> Any:
        """Make the call and give back its output, a JSON value of at most `output_bytes`.

        Raises InvalidArgument for an input that fits in no request, and ActionFailed for everything that goes wrong
        after that; secrets are the broker's, `settings` holds the rest.
        """
        ends = time.monotonic() + broker.limits.wall_seconds
        given = self.action.with_defaults(dict(input))
        request = self.request.render({**settings, **broker.secrets.handles, "input": given})
        request = replace(request, writes=self.action.effect == "write")

        asked = itertools.count()

        async def ask(one: FetchRequest) -> Mapping[str, Any]:
            page = next(asked)
            key = f"{broker.idempotency_key}/{page}" if broker.idempotency_key and page else broker.idempotency_key
            response = await self.repeats.fetch(broker, one, ends, key)
            if response.placeholder:
                raise _Planned
            return await _aside(len(response.body), partial(self.response.read, response, given))

        def room() -> bool:
            return broker.usage.calls < broker.limits.calls

        try:
            if self.pages is None:
                variables = await ask(request)
                whole = variables["data"]
            else:
                variables = await self.pages.collect(ask, request, broker.secrets.has_handle, room)
                whole = {"items": variables["items"], "more": variables["more"]}
        except _Planned:
            if self.pages is None:
                return None
            raise ActionFailed(
                "the answer would say whether there is another page",
                reason="ANSWER_NOT_KNOWN",
                fix="call it without a plan: a list that is asked for by a write cannot be planned to its end",
            ) from None
        except BrokerDenied as denied:
            if denied.code == DenialCode.HEADER_REFUSED:
                raise InvalidArgument(denied.message, reason=denied.code, place="headers", fix=denied.fix) from None
            failed = failure(denied)
            if denied.code == DenialCode.RESPONSE_TOO_LARGE and output_bytes < OVERSIZE_BYTES:
                failed.fix = OVERSIZE_FIX
            raise failed from None
        return await _aside(output_bytes, partial(self.response.output, variables, whole, output_bytes))


async def _aside(size: int, work: Callable[[], T]) -> T:
    return await asyncio.to_thread(work) if size > LARGE_BYTES else work()
