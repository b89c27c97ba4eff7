"""The door of one execution: every effect that a capability has passes here, in one fixed order of checks.

Known service, permission, budget (counted before the attempt), the service's own rules, one deadline for the whole
call, size of the answer, secrets in it, usage. Each is a span and a reading of the meter, a refusal is a line of the
security log.
"""

import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.trace import Status, StatusCode

from hardpoint_executor import security
from hardpoint_executor.broker.ai import Ai
from hardpoint_executor.broker.calendar import METHODS as CALENDAR_METHODS
from hardpoint_executor.broker.calendar import Calendar
from hardpoint_executor.broker.context import Context
from hardpoint_executor.broker.databases import Databases
from hardpoint_executor.broker.db import Database
from hardpoint_executor.broker.declared import Declared
from hardpoint_executor.broker.denial import BrokerDenied, CalleeFailed, DenialCode, Quoting
from hardpoint_executor.broker.effects import Effects
from hardpoint_executor.broker.fetch import FetchRequest, FetchResponse
from hardpoint_executor.broker.fetcher import Fetcher
from hardpoint_executor.broker.files import PERMISSION, Files
from hardpoint_executor.broker.http import HttpClient, Owner
from hardpoint_executor.broker.limits import BrokerLimits, Usage
from hardpoint_executor.broker.mail import Mail
from hardpoint_executor.broker.means import Means
from hardpoint_executor.broker.outlet import Outlet
from hardpoint_executor.broker.policy import FetchPolicy
from hardpoint_executor.broker.scrub import Watched
from hardpoint_executor.broker.secrets import Secrets
from hardpoint_executor.broker.sockets import Sockets
from hardpoint_executor.broker.stored import WRITE, StoredFiles
from hardpoint_executor.broker.stored import Door as FilesDoor
from hardpoint_executor.broker.tape import Tape
from hardpoint_executor.domain import UNKNOWN, Known, Lent
from hardpoint_executor.writes import Writes
from hardpoint_manifest.authority import Authority

tracer = trace.get_tracer(__name__)
meter = metrics.get_meter(__name__)
duration = meter.create_histogram(
    "hardpoint.broker.duration", "s", "How long an effect of a capability took, denied or done"
)
io = meter.create_counter("hardpoint.broker.io", "By", "Bytes of bodies that the broker sent and received")

Call = Callable[[str, Mapping[str, Any]], Awaitable[Any]]
"""Calls an action of another capability by name, with an input; raises BrokerDenied."""

_METHODS = frozenset(
    {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "write", "read", "list", "size", "delete", "get", "open", "save"}
    | {"query", "execute", "insert", "update", "chat", "embed", "send", "search", "fetch", "run"}
    | {"receive", "close", "user", "conversation", "files"}
    | CALENDAR_METHODS.keys()
)
"""What may stand in a span or a reading: a jail may call its methods anything."""

_PLANNABLE = frozenset({"fetch", "file", "context", "db", "ai", "email", "calendar", "call"})
"""The services that say what they are about to write; no other is to be had while a plan is made or kept to."""


class Broker:
    """Acts for one execution of one capability, with that execution's permissions, hosts, secrets and limits.

    `context` is whose call it is, `known` what the calling agent knows, `settings` are its plain values, `call` calls
    other capabilities. With a `tape`, effects go there.
    """

    def __init__(
        self,
        owner: Owner,
        authority: Authority,
        secrets: Secrets,
        http: HttpClient,
        limits: BrokerLimits | None = None,
        *,
        watched: Iterable[Watched] = (),
        declared: Declared | None = None,
        context: Mapping[str, str] | None = None,
        stored: FilesDoor,
        lent: Lent | None = None,
        known: Known | None = None,
        settings: Mapping[str, Any] | None = None,
        databases: Databases,
        idempotency_key: str = "",
        call: Call | None = None,
        writes: Writes | None = None,
        tape: Tape | None = None,
    ) -> None:
        self.secrets = secrets
        self.usage = Usage()
        self.limits = limits or BrokerLimits()
        self.idempotency_key = idempotency_key
        self.outlet = Outlet(watched)
        self.effects = Effects(writes or Writes(), context or {}, secrets, self.outlet)
        self._who = {"org": owner.org, "capability": owner.capability, **(context or {})}
        self._policy = FetchPolicy(authority.permissions, authority.hosts, declared or Declared())
        self._files = Files(self.limits)
        self.stored = StoredFiles(stored, lent or Lent(), self.limits, self.outlet, self._files, self.effects, tape)
        self._fetcher = Fetcher(
            owner, self._policy, secrets, self.outlet, self._files, http, self.limits, self.usage, self.effects, tape
        )
        means = Means(
            owner,
            self._policy,
            settings or {},
            secrets,
            self.outlet,
            self.limits,
            self.usage,
            time.monotonic() + self.limits.wall_seconds,
            self.effects,
            idempotency_key,
            dict(context or {}),
            tape,
        )
        self._context = Context(means, known or UNKNOWN)
        self._sockets = Sockets(means, http)
        self._means = means
        self._services: dict[str, Callable[[str, Mapping[str, Any]], Awaitable[Any]]] = {
            "fetch": self._fetch,
            "file": self._file,
            "context": self._ask_context,
            "db": Database(means, databases).ask,
            "ai": Ai(means, http).ask,
            "email": Mail(means, http, self.stored).ask,
            "websocket": self._sockets.ask,
            "calendar": Calendar(means, http).ask,
        }
        if call is not None:
            self._services["call"] = self._calling(call)

    async def ask(self, service: str, method: str, arguments: Mapping[str, Any]) -> Any:
        """Answer a request of jailed code with a JSON value; raises BrokerDenied."""
        answer = self._services.get(service)
        with self._effect(service if answer else "unknown", method):
            if answer is None:
                raise BrokerDenied(
                    DenialCode.SERVICE_UNKNOWN,
                    f"there is no service {service[:40]!r}",
                    f"use one of {', '.join(self._services)}",
                )
            if not self.effects.watching:
                return await answer(method, arguments)
            if service not in _PLANNABLE:
                raise BrokerDenied(
                    DenialCode.ANSWER_NOT_KNOWN,
                    f"{service} cannot be planned: it does not say beforehand what it writes",
                    "call it without a plan, and not as a dry run",
                )
            if _only_reads(service, method):
                return await answer(method, arguments)
            async with self.effects.writes.in_turn():
                return await answer(method, arguments)

    async def fetch(self, request: FetchRequest) -> FetchResponse:
        """Make one HTTP request, and follow its redirects; raises BrokerDenied."""
        with self._effect("fetch", request.method):
            self._fetcher.admit(request.method)
            return await self._fetcher.fetch(request)

    def close(self) -> None:
        """End what is open: the execution is over."""
        self._sockets.close()

    async def _fetch(self, method: str, arguments: Mapping[str, Any]) -> Any:
        self._fetcher.admit(method)
        return (await self._fetcher.fetch(FetchRequest.from_arguments(method, arguments))).to_json()

    async def _file(self, method: str, arguments: Mapping[str, Any]) -> Any:
        stored = StoredFiles.permission(method, arguments)
        if stored:
            self._policy.permission(stored, "a stored file")
        if stored and not (stored == WRITE and self.effects.dry_run):
            self.usage.permissions.add(stored)
        if not stored or "into" in arguments or "from_file" in arguments:
            self._use(PERMISSION, "a temporary file")
        self._operate()
        if stored == WRITE:
            self.usage.begin_write()
        return await self.stored.ask(method, arguments) if stored else self._files.ask(method, arguments)

    def _use(self, permission: str, what: str) -> None:
        self._policy.permission(permission, what)
        self.usage.permissions.add(permission)

    def _calling(self, call: Call) -> Callable[[str, Mapping[str, Any]], Awaitable[Any]]:
        """The service `call`: actions of other capabilities, each with a broker of its own."""

        async def run(method: str, arguments: Mapping[str, Any]) -> Any:
            action, value = arguments.get("action"), arguments.get("input")
            if method != "run" or not isinstance(action, str) or not isinstance(value, dict):
                raise BrokerDenied(
                    DenialCode.INVALID_ARGUMENT,
                    "a call needs the name of an action and its input, an object",
                    'call("ocr.extract", {"input": ...})',
                )
            self._operate()
            return await call(action, value)

        return run

    async def _ask_context(self, method: str, _arguments: Mapping[str, Any]) -> Any:
        self._operate()
        part = self._context.ask(method)

        async def known() -> Any:
            return part

        return await self._means.outside("context", method, {}, known)

    def _operate(self) -> None:
        if self.usage.operations >= self.limits.operations:
            raise BrokerDenied(
                DenialCode.BUDGET,
                f"the execution has made all of its {self.limits.operations} operations on files and context",
                "read and write more at once",
                budget="broker_operations",
                limit=str(self.limits.operations),
            )
        self.usage.operations += 1

    @contextmanager
    def _effect(self, service: str, method: str) -> Iterator[None]:
        """Watch one effect: its span, its reading, and the line of the security log when it is refused."""
        attributes = {
            "hardpoint.broker.service": service,
            "hardpoint.broker.method": next((name for name in (method, method.upper()) if name in _METHODS), "_OTHER"),
        }
        started = time.perf_counter()
        sent, received = self.usage.bytes_sent, self.usage.bytes_received
        with tracer.start_as_current_span(
            f"broker {service}", attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield
            except BrokerDenied as denied:
                attributes["error.type"] = str(denied.code)
                span.set_attribute("error.type", str(denied.code))
                span.set_status(Status(StatusCode.ERROR))
                if not isinstance(denied, Quoting | CalleeFailed):
                    security.denied(self._who, denied, self.outlet.named)
                raise
            finally:
                duration.record(time.perf_counter() - started, attributes)
                io.add(self.usage.bytes_sent - sent, {"network.io.direction": "transmit"})
                io.add(self.usage.bytes_received - received, {"network.io.direction": "receive"})


def _only_reads(service: str, method: str) -> bool:
    """Whether an ask can change nothing, so that it needs no place in the order of a plan."""
    match service:
        case "fetch":
            return not FetchRequest(method, "").is_write
        case "file":
            return method != "save"
        case _:
            return service in ("context", "ai")
