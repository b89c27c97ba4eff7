"""One request to one host over kept connections: no cookies, no proxies, no redirects, every byte counted.

Connections are shared by the executions of one capability of one org, never more widely. No client of a library stands
above them: it would only bring what is refused here: cookies, redirects, proxies of the environment, lines with URLs.
"""

import asyncio
import ssl
import time
import zlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
import structlog
from opentelemetry import metrics, trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from hardpoint_executor.broker.connections import Connections, Origin
from hardpoint_executor.broker.denial import BrokerDenied, DenialCode
from hardpoint_executor.broker.dial import GuardedDialler, unreachable
from hardpoint_executor.broker.policy import Target
from hardpoint_executor.limits import whole
from hardpoint_kit.carrier import carrier
from hardpoint_kit.dial import Alias, Resolve, Resolver
from hardpoint_kit.http1 import Head, NotHttp

log = structlog.get_logger(__name__)
tracer = trace.get_tracer(__name__)
duration = metrics.get_meter(__name__).create_histogram(
    "http.client.request.duration",
    "s",
    "Duration of HTTP client requests, from the lookup of the name to the last byte",
)

MOST_OWNERS = 128

MAX_ANSWER_HEADERS = whole("fetch.answer_headers")
MAX_ANSWER_HEADER_BYTES = whole("fetch.answer_header_kib")

_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose connections they are."""

    org: str
    capability: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; header names are in small letters, `received` counts bytes of the body as they travelled."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    received: int


class HttpClient:
    """Sends requests whose target the policy has admitted. Waits have no deadline here: the caller sets one."""

    def __init__(self, aliases: Mapping[str, Alias] | None = None, resolve: Resolve | None = None) -> None:
        self._aliases = dict(aliases or {})
        self._resolver = Resolver()
        self.dialler = GuardedDialler(resolve or self._resolver, self._aliases)
        self.tls = httpx.create_ssl_context(trust_env=False)
        self._owned: OrderedDict[Owner, Connections] = OrderedDict()
        for host, alias in self._aliases.items():
            log.warning("host alias: requests go to loopback over plain http", host=host, place=str(alias))

    async def send(
        self,
        owner: Owner,
        method: str,
        target: Target,
        headers: Mapping[str, str],
        body: bytes | None,
        response_bytes: int,
        *,
        named: bool = True,
        begun: Callable[[], None] | None = None,
    ) -> Answer:
        """Send one request and read at most `response_bytes` of its answer; raises BrokerDenied.

        Unless `named`, no trace and no reading says where it goes. `begun` is told before the first byte leaves.
        """
        attributes: dict[str, str | int] = {"http.request.method": method, "url.scheme": target.scheme}
        if named:
            attributes |= {"server.address": target.host, "server.port": target.port}
        started = time.perf_counter()
        with tracer.start_as_current_span(
            method, kind=SpanKind.CLIENT, attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                with _denials(target.host):
                    answer = await self._exchange(owner, method, target, headers, body, response_bytes, begun)
                attributes["http.response.status_code"] = answer.status
                span.set_attribute("http.response.status_code", answer.status)
                if answer.status >= 400:
                    attributes["error.type"] = str(answer.status)
                return answer
            except BrokerDenied as denied:
                attributes["error.type"] = str(denied.code)
                raise
            except asyncio.CancelledError:
                attributes["error.type"] = str(DenialCode.UPSTREAM_TIMEOUT)
                raise
            finally:
                if "error.type" in attributes:
                    span.set_attribute("error.type", attributes["error.type"])
                    span.set_status(Status(StatusCode.ERROR))
                duration.record(time.perf_counter() - started, attributes)

    async def close(self) -> None:
        """Close every connection that is not in use."""
        while self._owned:
            self._owned.popitem()[1].close()
        self._resolver.close()

    async def _exchange(
        self,
        owner: Owner,
        method: str,
        target: Target,
        headers: Mapping[str, str],
        body: bytes | None,
        response_bytes: int,
        begun: Callable[[], None] | None,
    ) -> Answer:
        origin = Origin(target.host, target.port, target.scheme == "https" and target.host not in self._aliases)
        async with self._connections(owner).to(origin) as connection:
            if begun is not None:
                begun()
            head = await connection.ask(method, target.path, _sent(method, target, headers, body), body)
            return await _read(head, connection.chunks(), method == "HEAD", target.host, response_bytes)

    def _connections(self, owner: Owner) -> Connections:
        """Those of an owner; beyond the bound, the ones that were idle longest are closed, and none in use."""
        connections = self._owned.get(owner)
        if connections is None:
            connections = self._owned[owner] = Connections(self.dialler, self.tls)
            idle = [other for other, owned in self._owned.items() if other != owner and not owned.users]
            for other in idle[: max(0, len(self._owned) - MOST_OWNERS)]:
                self._owned.pop(other).close()
        self._owned.move_to_end(owner)
        return connections


def _sent(method: str, target: Target, headers: Mapping[str, str], body: bytes | None) -> dict[str, str]:
    sent = {"user-agent": "Hardpoint"} | {name.lower(): value for name, value in headers.items()}
    sent |= {"host": target.authority, "accept-encoding": "identity"}
    if body is not None or method in _WITH_BODY:
        sent["content-length"] = str(len(body or b""))
    return sent | carrier(trace.get_current_span())


async def _read(head: Head, chunks: AsyncIterator[bytes], bodiless: bool, host: str, limit: int) -> Answer:
    raw = head.headers
    if len(raw) > MAX_ANSWER_HEADERS or sum(len(name) + len(value) for name, value in raw) > MAX_ANSWER_HEADER_BYTES:
        raise BrokerDenied(
            DenialCode.RESPONSE_TOO_LARGE, f"host {host} answered with too many headers", "ask for something smaller"
        )
    headers = _joined(raw)
    body = _BoundedBody(host, headers.get("content-encoding", "identity").strip().lower(), limit)
    announced = headers.get("content-length", "")
    if not bodiless and announced.isdecimal() and int(announced) > limit:
        raise body.too_large()
    async for chunk in chunks:
        body.feed(chunk)
    if not bodiless:
        body.end()
    return Answer(head.status, headers, bytes(body.data), body.received)


def _joined(raw: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by lower-case name; a repeated one is one list, as HTTP has it."""
    headers: dict[str, str] = {}
    for name, value in raw:
        key, text = name.decode("ascii").lower(), _text(value)
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


@dataclass(slots=True)
class _BoundedBody:
    """The body so far, decompressed no further than the limit: a megabyte of zlib may hold a gigabyte."""

    host: str
    encoding: str
    limit: int
    received: int = 0
    data: bytearray = field(default_factory=bytearray)
    _inflate: "zlib._Decompress | None" = None

    def __post_init__(self) -> None:
        if self.encoding in ("gzip", "x-gzip", "deflate"):
            self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)
        elif self.encoding not in ("", "identity"):
            raise BrokerDenied(
                DenialCode.UPSTREAM_ERROR,
                f"host {self.host} answered in an encoding that was not asked for",
                "ask the host for an answer that is not compressed",
            )

    def feed(self, chunk: bytes) -> None:
        self.received += len(chunk)
        room = self.limit - len(self.data)
        if self._inflate is None:
            self.data += chunk
        else:
            try:
                self.data += self._inflate.decompress(chunk, room + 1)
            except zlib.error:
                raise _not_http(self.host) from None
            if self._inflate.unused_data:
                raise _not_http(self.host)
        if len(self.data) > self.limit or self.received > self.limit:
            raise self.too_large()

    def end(self) -> None:
        """Refuse a compressed body that was cut off."""
        if self._inflate is not None and self.received and not self._inflate.eof:
            raise _not_http(self.host)

    def too_large(self) -> BrokerDenied:
        return BrokerDenied(
            DenialCode.RESPONSE_TOO_LARGE,
            f"the answer of host {self.host} is larger than {self.limit} bytes",
            "ask for less, e.g. page by page",
        )


@contextmanager
def _denials(host: str) -> Iterator[None]:
    """Errors of the HTTP libraries become denials; their texts, which may quote a request, stay behind."""
    try:
        yield
    except NotHttp:
        raise _not_http(host) from None
    except OSError as error:
        raise _unreachable(host, error) from None


def _unreachable(host: str, error: OSError) -> BrokerDenied:
    if isinstance(error, ssl.SSLError):
        return BrokerDenied(
            DenialCode.UPSTREAM_UNREACHABLE,
            f"host {host} has no certificate that can be trusted",
            "the host's owner has to renew or correct it",
        )
    return unreachable(host)


def _not_http(host: str) -> BrokerDenied:
    return BrokerDenied(
        DenialCode.UPSTREAM_ERROR, f"host {host} gave an answer that is not HTTP", "the host's owner has to correct it"
    )
