"""What a fetch may ask for: pure rules over method, URL and headers, applied before any HTTP client sees them.

The parser is our own and strict, and the request is built from what it found, so no second parser can read a URL
differently. Messages name host, method and header; they never repeat a URL, which may hold what is not ours to print.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NoReturn
from urllib.parse import SplitResult, urlsplit

from hardpoint_executor.broker.declared import Declared
from hardpoint_executor.broker.denial import BrokerDenied, DenialCode
from hardpoint_executor.limits import whole
from hardpoint_manifest.authority import HTTP_METHODS, http_permission

PORTS = {"http": 80, "https": 443}

MAX_URL = whole("fetch.url_characters")
MAX_HEADERS = whole("fetch.headers")
MAX_HEADER_BYTES = whole("fetch.header_kib")

# RFC 3986 characters only: no control character, no space, no backslash, nothing outside ASCII.
_URL_TEXT = re.compile(r"(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*")
_URL = re.compile(r"(?P<scheme>[^:/?#]*)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?P<query>\?[^#]*)?(?:#.*)?")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
# Two labels or more; the last begins with a letter, which no spelling of an address does (127.1, 0x7f.1, 2130706433).
_NAME = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r"[\t\x20-\x7e]*")
# The broker writes these, or they steer proxies and cloud metadata services.
_OUR_HEADERS = frozenset(
    {
        "accept-encoding",
        "baggage",
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "metadata",
        "metadata-flavor",
        "te",
        "traceparent",
        "tracestate",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-google-metadata-request",
        # A server that obeys them would do another method than the one that was granted.
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
    }
)
_OUR_HEADER_PREFIXES = ("proxy-", "sec-websocket-", "x-aws-ec2-metadata-", "x-aliyun-ecs-metadata-")


@dataclass(frozen=True, slots=True)
class Target:
    """Where one request goes, and what it asks there; `path` includes the query, which may hold a secret."""

    scheme: str
    host: str
    port: int
    path: str = field(repr=False)

    @property
    def authority(self) -> str:
        """Host, and port where it is not the scheme's own."""
        return self.host if self.port == PORTS[self.scheme] else f"{self.host}:{self.port}"

    @property
    def rule(self) -> str:
        """The narrowest host rule that covers it."""
        return self.host if self.port == 443 else f"{self.host}:{self.port}"

    def within(self, hosts: frozenset[str]) -> bool:
        """Whether one of the host rules covers it."""
        return any(
            f"{name}:{self.port}" in hosts or (self.port == 443 and name in hosts)
            for name in _covering_names(self.host)
        )

    @property
    def url(self) -> str:
        """The URL without its fragment."""
        return f"{self.scheme}://{self.authority}{self.path}"

    def keeps_credentials(self, following: "Target") -> bool:
        """True when a redirect from here stays on the same host, port and scheme, or only upgrades to https."""
        same = (self.scheme, self.host, self.port) == (following.scheme, following.host, following.port)
        upgrade = (self.scheme, self.port, following.scheme, following.port) == ("http", 80, "https", 443)
        return same or (upgrade and self.host == following.host)


@dataclass(frozen=True, slots=True)
class FetchPolicy:
    """Permissions and hosts in force for one execution.

    A host is `name` or `*.name`, which mean port 443 alone, or either with `:port`.
    """

    permissions: frozenset[str]
    hosts: frozenset[str]
    declared: Declared = field(default_factory=Declared)

    def method(self, method: str) -> str:
        """The method in capitals, when its permission is granted."""
        name = method.upper()
        if name not in HTTP_METHODS:
            raise BrokerDenied(
                DenialCode.METHOD_REFUSED,
                f"method {_shown(method)} is not one that a capability can use",
                f"use one of {', '.join(HTTP_METHODS)}",
                method=_shown(method),
            )
        self.permission(http_permission(name), name, method=name)
        return name

    def permission(self, permission: str, what: str, **facts: str) -> None:
        """Refuse `what` unless the permission that it needs is granted."""
        if permission not in self.permissions:
            raise self.declared.no_permission(
                permission, f"{what} needs the permission {permission}, which is not granted", **facts
            )

    def target(self, url: str) -> Target:
        """The place that `url` names, when its host and port are granted."""
        target = parse_url(url)
        if target.within(self.hosts):
            return target
        raise self.declared.no_host(target.rule)


def parse_url(url: str) -> Target:
    """Read an absolute http(s) URL whose host is a DNS name; a fragment is dropped, everything unusual is refused."""
    if len(url) > MAX_URL:
        _refuse_url(f"the URL is longer than {MAX_URL} characters", "send long values in the body")
    if not _URL_TEXT.fullmatch(url):
        _refuse_url("the URL has a character that no URL may have", "percent-encode it")
    match = _URL.fullmatch(url)
    if match is None:
        _refuse_url("the URL is not absolute", "write https://, the host and the path")
    scheme = match["scheme"].lower()
    if scheme not in PORTS:
        _refuse_url(f"scheme {_shown(scheme)} is not http or https", "use https")
    authority = match["authority"]
    if "@" in authority:
        raise BrokerDenied(
            DenialCode.USERINFO_REFUSED, "the URL has user information before its host", "send it in a header"
        )
    name, colon, port = authority.partition(":")
    host = name.lower()
    if len(host) > 253 or not _NAME.fullmatch(host):
        raise BrokerDenied(
            DenialCode.HOST_NOT_A_NAME,
            f"{_shown(authority)} is not a DNS name; addresses are refused in every spelling",
            "use the host's full name, e.g. api.example.com",
        )
    if colon and not (_PORT.fullmatch(port) and int(port) < 65536):
        _refuse_url(f"the port of {host} is not a number from 1 to 65535", "leave the port out, or correct it")
    path = match["path"] or "/"
    return Target(scheme, host, int(port) if colon else PORTS[scheme], path + (match["query"] or ""))


def parts_of(url: str) -> SplitResult:
    """A URL that is a secret, in its parts; raises ValueError in words of our own, since the library's repeat it."""
    try:
        return urlsplit(url.strip())
    except ValueError:
        fix = "in a user or a password percent-encode all but letters and digits of ASCII, such as [ as %5B"
        raise ValueError(f"it cannot be read; {fix}") from None


def service_of(parts: SplitResult, port: int) -> Target:
    """Where a service is whose URL is a secret; `port` where it names none.

    The host is what it is for every request. Raises ValueError saying what is wrong, without repeating any of it.
    """
    try:
        named = parts.port or port
    except ValueError:  # what a password holds may have ended up here
        fix = "in a user or a password write / as %2F, # as %23, @ as %40"
        raise ValueError(f"its port is not a number from 1 to 65535; {fix}") from None
    try:
        return parse_url(f"https://{parts.hostname}:{named}/")
    except BrokerDenied:
        raise ValueError("its host is not a DNS name") from None


def check_headers(headers: Mapping[str, str]) -> None:
    """Refuse header names and values that are malformed, too many or too large, and headers that the broker writes."""
    if len(headers) > MAX_HEADERS:
        _refuse_header(f"there are {len(headers)} headers, {MAX_HEADERS} are allowed", "send fewer headers")
    if sum(len(name) + len(value) for name, value in headers.items()) > MAX_HEADER_BYTES:
        _refuse_header(f"the headers are larger than {MAX_HEADER_BYTES} bytes", "send long values in the body")
    if len({name.lower() for name in headers}) < len(headers):
        _refuse_header("a header appears twice", "send each header once")
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            _refuse_header(f"header name {_shown(name)} is malformed", "use letters, digits and hyphens")
        lower = name.lower()
        if lower in _OUR_HEADERS or lower.startswith(_OUR_HEADER_PREFIXES):
            _refuse_header(f"header {name} is written by the broker alone", f"leave {name} out")
        if not _VALUE.fullmatch(value):
            _refuse_header(
                f"the value of header {name} has a line break or another character that no header may have",
                "remove it, or encode the value",
            )


def _covering_names(host: str) -> Iterator[str]:
    """The host itself and every `*.suffix` of it with two labels or more: no grant covers a whole top-level domain."""
    yield host
    dot = host.find(".")
    while host.find(".", dot + 1) > 0:
        yield f"*{host[dot:]}"
        dot = host.find(".", dot + 1)


def _shown(text: str) -> str:
    """Hostile text, short and escaped, for a message."""
    return ascii(text if len(text) <= 60 else f"{text[:57]}...")


def _refuse_url(message: str, fix: str) -> NoReturn:
    raise BrokerDenied(DenialCode.URL_REFUSED, message, fix)


def _refuse_header(message: str, fix: str) -> NoReturn:
    raise BrokerDenied(DenialCode.HEADER_REFUSED, message, fix)
