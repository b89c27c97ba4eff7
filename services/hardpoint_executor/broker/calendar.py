"""The service `calendar`: five requests of CalDAV to what is below the organisation's CALDAV_URL, and to nothing else.

PROPFIND and REPORT are requests of this service alone, so that `fetch` goes on to know the methods that have a
permission. What the server says is XML and iCalendar, which strangers write invitations in: it is read in the jail, not
here. Nothing names the server's host, since the URL is a secret.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Self
from urllib.parse import unquote

from hardpoint_executor.broker.denial import BrokerDenied, DenialCode
from hardpoint_executor.broker.http import Answer, HttpClient
from hardpoint_executor.broker.means import Means, invalid, no_method, text_of
from hardpoint_executor.broker.policy import Target, parse_url, parts_of, service_of
from hardpoint_executor.broker.scrub import Unfit

URL: Final = "CALDAV_URL"
PERMISSION: Final = "integration.calendar"
METHODS: Final = {
    "propfind": frozenset({207}),
    "report": frozenset({207}),
    "get": frozenset({200}),
    "put": frozenset({200, 201, 204}),
    "delete": frozenset({200, 204}),
}
"""What the service does, and the answers by which a server says that it did."""
_READS: Final = frozenset({"propfind", "report", "get"})
_ETAG: Final = re.compile(r'(?:W/)?"[\x21\x23-\x7e]{1,200}"')
_MISLEADING: Final = re.compile(r"[\x00-\x1f\x7f\\?#]|//|(?:^|/)\.{1,2}(?:[/;]|$)")
_DECODED: Final = 3
"""Times that a path is decoded before it is looked at: some servers do it more than once."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where calendars are, `https://user:password@host/home/`, and who asks for them."""

    host: str
    port: int
    home: str
    user: str
    password: str = field(repr=False)

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read a URL; raises ValueError saying what is wrong with it, without repeating it."""
        parts = parts_of(url)
        if parts.scheme != "https":
            raise ValueError("it does not begin with https://")
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        if not user or ":" in user:
            raise ValueError("it names no user, or one with a colon")
        if parts.query or parts.fragment:
            raise ValueError("it has a query or a fragment")
        home = parts.path.rstrip("/") + "/"
        server = service_of(parts, 443)
        try:
            target = parse_url(f"https://{server.authority}{home}")
        except BrokerDenied:
            raise ValueError("its path has a character that none may have") from None
        if _misleads(home):
            raise ValueError("its path leads elsewhere")
        return cls(target.host, target.port, home, user, password)

    def target(self, path: str) -> Target:
        """The place of a path that the server gave, which is the home where it is empty; raises BrokerDenied."""
        path = path or self.home
        below = path.startswith("/") and unquote(path).startswith(unquote(self.home))
        if not below or _misleads(path):
            raise BrokerDenied(
                DenialCode.URL_REFUSED, f"the path is not below that of {URL}", "use a path as the server gives it"
            )
        return parse_url(f"https://{self.host}:{self.port}{path}")

    @property
    def authorization(self) -> str:
        """The header's value: HTTP Basic (RFC 7617)."""
        return f"Basic {base64.b64encode(f'{self.user}:{self.password}'.encode()).decode()}"


class Calendar:
    """The service `calendar` of one execution."""

    def __init__(self, means: Means, http: HttpClient) -> None:
        self._means = means
        self._http = http

    async def ask(self, method: str, arguments: Mapping[str, Any]) -> Any:
        """Answer with `{text, etag}`; raises BrokerDenied."""
        if method not in METHODS:
            raise no_method("calendar", method, ", ".join(METHODS))
        self._means.permit(PERMISSION, "a calendar")
        return await self._means.outside("calendar", method, arguments, partial(self._ask, method, arguments))

    async def _ask(self, method: str, arguments: Mapping[str, Any]) -> dict[str, str]:
        means = self._means
        server = self._server()
        target = server.target(text_of(arguments, "path", ""))
        headers = {"authorization": server.authorization} | _headers(method, arguments)
        body = self._body(method, arguments)
        means.spend_call()
        if method not in _READS and not await self._admitted(server, target, method, headers, body):
            return {"text": "", "etag": ""}
        means.usage.permissions.add(PERMISSION)
        means.usage.bytes_sent += len(body or b"")
        again = "ask for less, or look before you repeat a change: it may have been made"
        async with means.within(means.limits.calendar_seconds, f"the calendar server of {URL}", again):
            answer = await self._sent(method.upper(), target, headers, body)
        means.usage.bytes_received += answer.received
        if answer.status not in METHODS[method]:
            raise _refused(method, answer.status)
        return {"text": await self._clean(answer.body), "etag": await self._clean(_etag(answer))}

    async def _admitted(
        self, server: Server, target: Target, method: str, headers: Mapping[str, str], body: bytes | None
    ) -> bool:
        """Whether a change is to be made that nothing here speaks against; raises BrokerDenied."""
        effects = self._means.effects
        if not effects.watching:
            return True
        if effects.dry_run:
            try:
                await self._http.dialler.check(server.host, server.port)
            except BrokerDenied as denied:
                raise _nameless(denied) from None
        told = {"if_match": headers.get("if-match"), "body": effects.body(body)}
        return await effects.admit("calendar", method.upper(), f"{URL}: {target.path}", told)

    async def _sent(self, method: str, target: Target, headers: Mapping[str, str], body: bytes | None) -> Answer:
        means = self._means
        begun = None if method.lower() in _READS else means.usage.begin_write
        try:
            return await self._http.send(
                means.owner, method, target, headers, body, means.limits.response_bytes, named=False, begun=begun
            )
        except BrokerDenied as denied:
            raise _nameless(denied) from None

    async def _clean(self, data: bytes) -> str:
        try:
            return (await self._means.outlet.answer(data)).decode(errors="replace")
        except Unfit as unfit:
            raise BrokerDenied(
                DenialCode.ANSWER_HOLDS_SECRET,
                f"the answer of the calendar server holds the secret {unfit.key} in an encoding, and is withheld",
                "tell the server's owner that it repeats what it is sent",
                secret=unfit.key,
            ) from None

    def _server(self) -> Server:
        try:
            return Server.parse(self._means.secret(URL, "a calendar"))
        except ValueError as error:
            raise BrokerDenied(
                DenialCode.SETTING_INVALID,
                f"{URL} is not the URL of calendars: {error}",
                f"set {URL} to https://user:password@host/path/, the path where the user's calendars are",
                setting=URL,
            ) from None

    def _body(self, method: str, arguments: Mapping[str, Any]) -> bytes | None:
        if method in ("get", "delete"):
            return None
        try:
            body = text_of(arguments, "body").encode()
        except UnicodeEncodeError:
            raise invalid("the body holds a character that no text may have", "remove lone surrogates") from None
        if len(body) > (most := self._means.limits.request_bytes):
            raise BrokerDenied(
                DenialCode.REQUEST_TOO_LARGE, f"the request is larger than {most} bytes", "send less", limit=str(most)
            )
        return body


def _headers(method: str, arguments: Mapping[str, Any]) -> dict[str, str]:
    """A PUT without an ETag makes something new, or nothing: what is there is changed only by who has seen it."""
    etag = arguments.get("etag")
    if etag is not None and not (isinstance(etag, str) and _ETAG.fullmatch(etag)):
        raise invalid("etag is not one that a server gave", "pass the etag as it came with the event")
    match method:
        case "propfind" | "report":
            depth = arguments.get("depth", 1)
            if depth not in (0, 1) or isinstance(depth, bool):
                raise invalid("depth is neither 0 nor 1", "ask for what is in a collection with 1")
            return {"content-type": "application/xml; charset=utf-8", "depth": str(depth)}
        case "put":
            condition = {"if-match": etag} if etag is not None else {"if-none-match": "*"}
            return {"content-type": "text/calendar; charset=utf-8"} | condition
        case _:
            return {"if-match": etag} if etag is not None else {}


def _misleads(path: str) -> bool:
    """Whether some server would read another path than it seems: dots, empty segments, escapes of escapes.

    What is no UTF-8 may be dots to a server that is not strict about it.
    """
    try:
        for _ in range(_DECODED):
            path = unquote(path, errors="strict")
    except UnicodeDecodeError:
        return True
    return _MISLEADING.search(path) is not None


def _etag(answer: Answer) -> bytes:
    return answer.headers.get("etag", "").encode()


def _refused(method: str, status: int) -> BrokerDenied:
    facts = {"status": str(status)}
    if status == 401:
        fix = f"look at user and password of {URL}; some providers want a password made for this use"
        return BrokerDenied(
            DenialCode.LOGIN_REFUSED, "the calendar server refused the login", fix, setting=URL, **facts
        )
    if status == 412:
        if method == "put":
            message = "the event is there already, or was changed since it was read"
        else:
            message = "the event was changed since it was read"
        return BrokerDenied(DenialCode.EVENT_CHANGED, message, "read it again, and decide anew", **facts)
    if status in (404, 410):
        fix = f"read the calendar again; where it is the whole of them, look at the path of {URL}"
        return BrokerDenied(DenialCode.EVENT_NOT_FOUND, "the calendar server has nothing there", fix, **facts)
    if 300 <= status < 400:
        fix = f"set {URL} to where the calendars themselves are"
        return BrokerDenied(
            DenialCode.REDIRECT_REFUSED, "the calendar server redirects, which is not followed", fix, **facts
        )
    fix = "try again later" if status >= 500 else f"look at what the server allows, and at {URL}"
    message = f"the calendar server answered {status} to {method.upper()}"
    return BrokerDenied(DenialCode.UPSTREAM_ERROR, message, fix, setting=URL, **facts)


def _nameless(denied: BrokerDenied) -> BrokerDenied:
    """The same refusal without the host."""
    why = {
        DenialCode.ADDRESS_NOT_PUBLIC: "names no public address",
        DenialCode.RESPONSE_TOO_LARGE: "answered with more than may come back: ask for a shorter time",
        DenialCode.UPSTREAM_ERROR: "does not answer as HTTP says",
    }
    said = why.get(DenialCode(denied.code), "cannot be reached, or has no certificate to be trusted")
    return BrokerDenied(denied.code, f"the calendar server of {URL} {said}", f"look at {URL}", setting=URL)
