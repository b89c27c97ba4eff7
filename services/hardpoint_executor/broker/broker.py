"""The door of one execution: every call a capability makes passes here, in one fixed order of checks.

Known service, permission, call budget (counted before the attempt), the service's own rules, one deadline for the
whole call, size of the answer, usage. The network itself is behind `http.HttpClient`.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urljoin

import structlog

from hardpoint_executor.broker.denial import BrokerDenied, DenialCode
from hardpoint_executor.broker.fetch import FetchRequest, FetchResponse
from hardpoint_executor.broker.http import Answer, HttpClient, Owner
from hardpoint_executor.broker.policy import FetchPolicy, Target, check_headers
from hardpoint_executor.broker.secrets import Secrets
from hardpoint_manifest.authority import Authority

log = structlog.get_logger(__name__)

MAX_REDIRECTS = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_KEEP_METHOD = frozenset({307, 308})
_CREDENTIALS = frozenset({"authorization", "cookie"})


@dataclass(frozen=True, slots=True)
class BrokerLimits:
    """What one execution may spend outside its jail; a redirect is a call of its own."""

    calls: int = 10
    call_seconds: float = 5.0
    wall_seconds: float = 30.0
    """From the moment the broker is made."""
    request_bytes: int = 1024 * 1024
    response_bytes: int = 1024 * 1024


@dataclass(slots=True)
class Usage:
    """What one execution has spent so far; bytes are those of bodies, as they travelled."""

    calls: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    milliseconds: float = 0.0


class Broker:
    """Acts for one execution of one capability, with that execution's permissions, hosts, secrets and limits."""

    def __init__(
        self, owner: Owner, authority: Authority, secrets: Secrets, http: HttpClient, limits: BrokerLimits | None = None
    ) -> None:
        self.secrets = secrets
        self.usage = Usage()
        self._owner = owner
        self._policy = FetchPolicy(authority.permissions, authority.hosts)
        self._limits = limits or BrokerLimits()
        self._http = http
        self._ends = time.monotonic() + self._limits.wall_seconds

    async def ask(self, service: str, method: str, arguments: Mapping[str, Any]) -> Any:
        """Answer a request of jailed code with a JSON value; raises BrokerDenied."""
        try:
            if service != "fetch":
                raise BrokerDenied(DenialCode.SERVICE_UNKNOWN, f"there is no service {service[:40]!r}", 'use "fetch"')
            self._admit(method)
            response = await self._timed(FetchRequest.from_arguments(method, arguments))
            return response.to_json()
        except BrokerDenied as denied:
            self._log(denied)
            raise

    async def fetch(self, request: FetchRequest) -> FetchResponse:
        """Make one HTTP request, and follow its redirects; raises BrokerDenied."""
        try:
            self._admit(request.method)
            return await self._timed(request)
        except BrokerDenied as denied:
            self._log(denied)
            raise

    def _admit(self, method: str) -> None:
        self._policy.method(method)
        if self.usage.calls >= self._limits.calls:
            raise BrokerDenied(
                DenialCode.BUDGET,
                f"the execution has made all of its {self._limits.calls} calls; redirects count",
                "make fewer calls, or split the work into several actions",
            )
        self.usage.calls += 1

    async def _timed(self, request: FetchRequest) -> FetchResponse:
        started = time.monotonic()
        seconds = min(self._limits.call_seconds, self._ends - started, request.timeout_seconds or float("inf"))
        try:
            async with asyncio.timeout(seconds):
                return await self._follow(request)
        except TimeoutError:
            raise BrokerDenied(
                DenialCode.UPSTREAM_TIMEOUT,
                f"the answer was not complete within {max(seconds, 0):.3g} s",
                "ask for less, or try again later",
            ) from None
        finally:
            self.usage.milliseconds += (time.monotonic() - started) * 1000

    async def _follow(self, request: FetchRequest) -> FetchResponse:
        target = self._policy.target(self._filled_url(request.url))
        for hops_left in range(MAX_REDIRECTS, -1, -1):
            answer = await self._send(request, target)
            location = answer.headers.get("location")
            if answer.status not in _REDIRECTS or location is None:
                return FetchResponse(answer.status, self._scrubbed(answer.headers), self.secrets.scrub(answer.body))
            if hops_left:
                request, target = self._redirected(request, target, answer.status, location)
        raise BrokerDenied(
            DenialCode.TOO_MANY_REDIRECTS,
            f"host {target.host} is the end of more than {MAX_REDIRECTS} redirects",
            "use the URL that the redirects lead to",
        )

    async def _send(self, request: FetchRequest, target: Target) -> Answer:
        headers = {name: self.secrets.fill(value).strip() for name, value in request.headers.items()}
        check_headers(headers)
        body = self._filled_body(request)
        self.usage.bytes_sent += len(body or b"")
        answer = await self._http.send(
            self._owner, request.method.upper(), target, headers, body, self._limits.response_bytes
        )
        self.usage.bytes_received += answer.received
        return answer

    def _redirected(
        self, request: FetchRequest, origin: Target, status: int, location: str
    ) -> tuple[FetchRequest, Target]:
        method, body, headers = request.method.upper(), request.body, dict(request.headers)
        if status not in _KEEP_METHOD and method not in ("GET", "HEAD"):
            method, body = "GET", None
            headers = {name: value for name, value in headers.items() if not name.lower().startswith("content-")}
        try:
            self._admit(method)
            target = self._policy.target(urljoin(origin.url, location))
        except BrokerDenied as denied:
            if denied.code == DenialCode.BUDGET:
                raise
            raise BrokerDenied(
                DenialCode.REDIRECT_REFUSED, f"host {origin.host} redirects, and {denied.message}", denied.fix
            ) from None
        except ValueError:
            raise BrokerDenied(
                DenialCode.REDIRECT_REFUSED, f"host {origin.host} redirects to what is not a URL"
            ) from None
        if not origin.keeps_credentials(target):
            carried = location.encode()
            if (body and self.secrets.has_handle(body)) or self.secrets.scrub(carried) != carried:
                raise BrokerDenied(
                    DenialCode.REDIRECT_REFUSED,
                    f"a redirect would carry a secret from host {origin.host} to host {target.host}",
                    "send the request to the host that the redirect leads to",
                )
            headers = {
                name: value
                for name, value in headers.items()
                if name.lower() not in _CREDENTIALS and not self.secrets.has_handle(value)
            }
        return replace(request, method=method, body=body, headers=headers), target

    def _filled_url(self, url: str) -> str:
        place, mark, query = url.partition("?")
        if self.secrets.has_handle(place):
            raise BrokerDenied(
                DenialCode.SECRET_MISPLACED,
                "a secret stands in the host or the path of a URL",
                "send it in a header, in the query or in the body",
            )
        return place + mark + self.secrets.fill_query(query)

    def _filled_body(self, request: FetchRequest) -> bytes | None:
        if request.body is None:
            return None
        body = self.secrets.fill_body(request.body, request.content_type).encode(errors="replace")
        if len(body) > self._limits.request_bytes:
            raise BrokerDenied(
                DenialCode.REQUEST_TOO_LARGE,
                f"the request's body is larger than {self._limits.request_bytes} bytes",
                "send less, or in several calls",
            )
        return body

    def _scrubbed(self, headers: Mapping[str, str]) -> dict[str, str]:
        return {name: self.secrets.scrub(value.encode()).decode() for name, value in headers.items()}

    def _log(self, denied: BrokerDenied) -> None:
        log.warning(
            f"call of {self._owner.capability} denied: {denied.message}",
            code=str(denied.code),
            org=self._owner.org,
            capability=self._owner.capability,
        )
