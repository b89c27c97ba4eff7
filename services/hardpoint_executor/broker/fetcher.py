"""Makes the requests of one execution: each hop admitted, filled with secrets, sent, and its answer scrubbed."""

import asyncio
import time
from dataclasses import replace
from typing import Any
from urllib.parse import urljoin

from hardpoint_executor.broker.denial import BrokerDenied, DenialCode
from hardpoint_executor.broker.effects import Effects
from hardpoint_executor.broker.fetch import DRY_RUN, FetchRequest, FetchResponse
from hardpoint_executor.broker.files import PERMISSION, Files
from hardpoint_executor.broker.http import Answer, HttpClient, Owner
from hardpoint_executor.broker.limits import BrokerLimits, Usage
from hardpoint_executor.broker.means import spend_call
from hardpoint_executor.broker.outlet import Outlet
from hardpoint_executor.broker.policy import FetchPolicy, Target, check_headers
from hardpoint_executor.broker.scrub import Unfit
from hardpoint_executor.broker.secrets import Secrets
from hardpoint_executor.broker.tape import Tape
from hardpoint_executor.limits import whole
from hardpoint_manifest.authority import http_permission

MAX_REDIRECTS = whole("fetch.redirects")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_KEEP_METHOD = frozenset({307, 308})
_CREDENTIALS = frozenset({"authorization", "cookie"})


class Fetcher:
    """The service `fetch` of one execution."""

    def __init__(
        self,
        owner: Owner,
        policy: FetchPolicy,
        secrets: Secrets,
        outlet: Outlet,
        files: Files,
        http: HttpClient,
        limits: BrokerLimits,
        usage: Usage,
        effects: Effects,
        tape: Tape | None = None,
    ) -> None:
        self._owner = owner
        self._policy = policy
        self._secrets = secrets
        self._outlet = outlet
        self._files = files
        self._http = http
        self._limits = limits
        self._usage = usage
        self._effects = effects
        self._tape = tape
        self._ends = time.monotonic() + limits.wall_seconds

    def admit(self, method: str) -> None:
        """Check the method's permission and spend a call; raises BrokerDenied."""
        self._policy.method(method)
        spend_call(self._limits, self._usage)

    async def fetch(self, request: FetchRequest) -> FetchResponse:
        """Make an admitted request, and follow its redirects; raises BrokerDenied."""
        if request.into or request.body_file:
            self._policy.permission(PERMISSION, "a temporary file")
            self._usage.permissions.add(PERMISSION)
        started = time.monotonic()
        seconds = min(self._limits.call_seconds, self._ends - started, request.timeout_seconds or float("inf"))
        try:
            async with asyncio.timeout(seconds):
                target = self._policy.target(filled_url(self._policy, self._secrets, request.url))
                if self._tape is None:
                    return self._kept(request, await self._follow(request, target))
                return self._kept(request, await self._taped(self._tape, request, target))
        except TimeoutError:
            raise BrokerDenied(
                DenialCode.UPSTREAM_TIMEOUT,
                f"the answer was not complete within {max(seconds, 0):.3g} s",
                "ask for less, or try again later",
            ) from None
        finally:
            self._usage.milliseconds += (time.monotonic() - started) * 1000

    async def _taped(self, tape: Tape, request: FetchRequest, target: Target) -> FetchResponse:
        """The answer by way of a tape; what is checked before a request leaves is checked here too."""
        self._ready(request, target)
        self._usage.permissions.add(http_permission(request.method))
        self._usage.hosts.add(target.rule)
        content = self._files.content(request.body_file) if request.body_file else None

        async def followed() -> dict[str, Any]:
            return (await self._follow(request, target)).recorded()

        before = self._usage.calls
        answer = await tape.effect("fetch", request.method.upper(), request.recorded(content), followed)
        response = FetchResponse.from_recorded(answer)
        self._usage.calls = max(self._usage.calls, before + response.redirects)
        return response

    async def _follow(self, request: FetchRequest, target: Target) -> FetchResponse:
        url = request.url
        for hops_left in range(MAX_REDIRECTS, -1, -1):
            answer = await self._send(request, target, url)
            if answer is None:
                return FetchResponse(202, {DRY_RUN: "1"}, b"", placeholder=True)
            location = answer.headers.get("location")
            if answer.status not in _REDIRECTS or location is None:
                response = await self._response(target, answer)
                return replace(response, redirects=MAX_REDIRECTS - hops_left)
            if hops_left:
                request, target = await self._redirected(request, target, answer.status, location)
                url = target.url
        raise BrokerDenied(
            DenialCode.TOO_MANY_REDIRECTS,
            f"host {target.host} is the end of more than {MAX_REDIRECTS} redirects",
            "use the URL that the redirects lead to",
            host=target.rule,
        )

    def _ready(self, request: FetchRequest, target: Target) -> tuple[dict[str, str], bytes | None]:
        """Headers and body as they are sent, secrets filled in; raises BrokerDenied for what may not be."""
        headers = {name: self._secrets.fill(value, target).strip() for name, value in request.headers.items()}
        check_headers(headers)
        return headers, self._filled_body(request, target)

    async def _send(self, request: FetchRequest, target: Target, url: str) -> Answer | None:
        """The answer, None for a write that is only planned; `url` is the target's without the values of secrets."""
        headers, body = self._ready(request, target)
        limit = self._files.room(request.into) if request.into else self._limits.response_bytes
        if request.is_write and not await self._admitted(request, target, url):
            return None
        self._usage.permissions.add(http_permission(request.method))
        self._usage.hosts.add(target.rule)
        self._usage.bytes_sent += len(body or b"")
        begun = self._usage.begin_write if request.is_write else None
        answer = await self._http.send(self._owner, request.method.upper(), target, headers, body, limit, begun=begun)
        self._usage.bytes_received += answer.received
        return answer

    async def _admitted(self, request: FetchRequest, target: Target, url: str) -> bool:
        """Whether a write is to be made that nothing else speaks against; raises BrokerDenied."""
        if not self._effects.watching:
            return True
        if self._effects.dry_run:
            await self._http.dialler.check(target.host, target.port)
        path, _, query = self._policy.target(self._secrets.named(url)).path.partition("?")
        body = self._files.content(request.body_file) if request.body_file else request.body
        arguments = {
            "query": query,
            "headers": {name.lower(): value.strip() for name, value in request.headers.items()},
            "body": self._effects.body(body),
        }
        return await self._effects.admit("fetch", request.method.upper(), f"{target.rule}{path}", arguments)

    async def _response(self, target: Target, answer: Answer) -> FetchResponse:
        try:
            headers, body = await self._scrubbed(answer)
        except Unfit as unfit:
            raise BrokerDenied(
                DenialCode.ANSWER_HOLDS_SECRET,
                f"the answer of host {target.host} holds the secret {unfit.key} in an encoding, and is withheld",
                "ask the host for an answer that does not repeat the request",
                host=target.rule,
                secret=unfit.key,
            ) from None
        return FetchResponse(answer.status, headers, body)

    def _kept(self, request: FetchRequest, response: FetchResponse) -> FetchResponse:
        """The answer, with its body in the temporary file that it was asked into."""
        if not request.into:
            return response
        self._files.keep(request.into, response.body)
        return replace(response, body=b"", file=self._files.described(request.into))

    async def _scrubbed(self, answer: Answer) -> tuple[dict[str, str], bytes]:
        """The headers, as one text, so that none holds what another continues, and the body; raises Unfit."""
        lines = "\n".join(f"{name}\t{value}" for name, value in answer.headers.items()).encode()
        if await self._outlet.is_clean(b"%b\n%b" % (lines, answer.body)):
            return dict(answer.headers), answer.body
        scrubbed = await self._outlet.answer(lines)
        pairs = (line.partition("\t") for line in scrubbed.decode(errors="replace").split("\n"))
        return {name: value for name, _, value in pairs}, await self._outlet.answer(answer.body)

    async def _redirected(
        self, request: FetchRequest, origin: Target, status: int, location: str
    ) -> tuple[FetchRequest, Target]:
        if status not in _KEEP_METHOD and request.method.upper() not in ("GET", "HEAD"):
            headers = {
                name: value for name, value in request.headers.items() if not name.lower().startswith("content-")
            }
            request = replace(request, method="GET", body=None, body_file="", headers=headers)
        try:
            self.admit(request.method)
            target = self._policy.target(urljoin(origin.url, location))
        except BrokerDenied as denied:
            if denied.code == DenialCode.BUDGET:
                raise
            if not await self._harmless(location):
                raise _repeats_secret(origin) from None
            raise BrokerDenied(
                DenialCode.REDIRECT_REFUSED,
                f"host {origin.host} redirects, and {denied.message}",
                denied.fix,
                **{**denied.facts, "redirected_by": origin.rule, "because": denied.code},
            ) from None
        except ValueError:
            raise BrokerDenied(
                DenialCode.REDIRECT_REFUSED, f"host {origin.host} redirects to what is not a URL", host=origin.rule
            ) from None
        if origin.keeps_credentials(target):
            return request, target
        if not await self._harmless(location):
            raise _repeats_secret(origin)
        if request.body and self._secrets.has_handle(request.body):
            raise BrokerDenied(
                DenialCode.REDIRECT_REFUSED,
                f"a redirect would carry a secret from host {origin.host} to host {target.host}",
                "send the request to the host that the redirect leads to",
                host=target.rule,
                redirected_by=origin.rule,
            )
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in _CREDENTIALS and not self._secrets.has_handle(value)
        }
        return replace(request, headers=headers), target

    async def _harmless(self, location: str) -> bool:
        """Whether the place of a redirect holds no secret, in any spelling."""
        carried = location.encode()
        try:
            return await self._outlet.answer(carried) is carried
        except Unfit:
            return False

    def _filled_body(self, request: FetchRequest, target: Target) -> bytes | None:
        if request.body_file:
            return self._files.content(request.body_file)
        if request.body is None:
            return None
        body = self._secrets.fill_body(request.body, request.content_type, target).encode(errors="replace")
        if len(body) > self._limits.request_bytes:
            raise BrokerDenied(
                DenialCode.REQUEST_TOO_LARGE,
                f"the request's body is larger than {self._limits.request_bytes} bytes",
                "send less, in several calls, or from a temporary file",
                limit=str(self._limits.request_bytes),
            )
        return body


def filled_url(policy: FetchPolicy, secrets: Secrets, url: str) -> str:
    """The URL with the secrets of its query; raises BrokerDenied for one that stands elsewhere, or is for others."""
    place, mark, query = url.partition("?")
    if secrets.has_handle(place):
        raise BrokerDenied(
            DenialCode.SECRET_MISPLACED,
            "a secret stands in the host or the path of a URL",
            "send it in a header, in the query or in the body",
        )
    if not secrets.has_handle(query):
        return url
    return place + mark + secrets.fill_query(query, policy.target(place))


def _repeats_secret(origin: Target) -> BrokerDenied:
    """The refusal of a redirect to an address with a secret in it, which may be the host: so that one is not named."""
    return BrokerDenied(
        DenialCode.REDIRECT_REFUSED,
        f"host {origin.host} redirects to an address with a secret in it",
        "nothing was sent there; tell the host's owner that it repeats what it is sent",
        host=origin.rule,
    )
