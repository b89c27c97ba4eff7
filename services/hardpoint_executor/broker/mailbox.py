"""The part of the service `email` that reads: the organisation's mailbox by IMAP, looked at and never changed.

A mail comes into the jail as the bytes that it is: what strangers wrote is taken apart there, not here. One mail is
held for as long as the execution goes on, so that a large one crosses in several answers.
"""

import asyncio
import base64
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import date
from functools import partial
from itertools import islice
from typing import Any, Final

from hardpoint_executor.broker.denial import BrokerDenied, DenialCode, Quoting
from hardpoint_executor.broker.dial import unnamed
from hardpoint_executor.broker.files import MOST_READ, count_of
from hardpoint_executor.broker.http import HttpClient
from hardpoint_executor.broker.imap import Answer, Imap, ImapError, Refused, TooLarge, Value, folder_name
from hardpoint_executor.broker.mail_server import IMAP, Server
from hardpoint_executor.broker.means import Means, invalid, no_method, text_of
from hardpoint_executor.broker.scrub import Unfit

URL: Final = "IMAP_URL"
PERMISSION: Final = "integration.email"
MOST_FOUND: Final = 50
MOST_SEARCHED: Final = 5000
"""The newest mails of a folder, which are all that is looked at."""
_OVERHEAD: Final = 256 * 1024
"""Bytes that a server may say besides the mails."""
_HEADER_BYTES: Final = 8192
_HEADER: Final = f"BODY.PEEK[HEADER.FIELDS (DATE FROM TO CC SUBJECT MESSAGE-ID)]<0.{_HEADER_BYTES}>"
_MESSAGE: Final = re.compile(r"([1-9]\d{0,9})\.([1-9]\d{0,9})")
_NUMBER: Final = re.compile(r"\b\d{1,10}\b")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Mailbox:
    """Reading for one execution."""

    def __init__(self, means: Means, http: HttpClient) -> None:
        self._means = means
        self._dialler = http.dialler
        self._tls = http.tls
        self._held: tuple[tuple[str, str], bytes] | None = None
        self._turn = asyncio.Lock()
        """Mails come one after the other: each may be large, and looking through it takes several times its size."""

    async def ask(self, method: str, arguments: Mapping[str, Any]) -> Any:
        """Answer with a JSON value; raises BrokerDenied."""
        does = {"search": self._search, "fetch": self._fetch}.get(method)
        if does is None:
            raise no_method("email", method, "send, search or fetch")
        self._means.permit(PERMISSION, "a mailbox")
        return await self._means.outside("email", method, arguments, partial(does, arguments))

    async def _search(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The newest mails that fit: `{messages: [{message, size, seen, header}], more}`."""
        folder, wanted = _folder(arguments), _criteria(arguments)
        limit = arguments.get("limit", 20)
        if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= MOST_FOUND:
            raise invalid("limit is not a number of mails", f"use 1 to {MOST_FOUND}")
        async with self._opened(folder, MOST_FOUND * _HEADER_BYTES + _OVERHEAD) as (imap, validity, count):
            if not count:
                return {"messages": [], "more": False}
            newest = f"{max(1, count - MOST_SEARCHED + 1)}:{count}"
            charset = [] if all(one.text.isascii() for one in wanted if isinstance(one, Value)) else ["CHARSET UTF-8"]
            said = await imap.ask("SEARCH", *charset, newest, *wanted)
            numbers = islice(_NUMBER.finditer(_after(said, "SEARCH")), MOST_SEARCHED)
            fitting = sorted((int(number[0]) for number in numbers), reverse=True)
            found = []
            if fitting:
                asked = ",".join(map(str, fitting[:limit]))
                found = await imap.ask("FETCH", asked, f"(UID RFC822.SIZE FLAGS {_HEADER})")
        messages = {
            int(uid): {
                "message": f"{validity}.{uid}",
                "size": int(_number(one, "RFC822.SIZE") or 0),
                "seen": "\\Seen" in one.text,
                "header": (await self._clean(one.literals[0])).decode(errors="replace"),
            }
            for one in found
            if (uid := _number(one, "UID")) and one.literals
        }
        return {"messages": [messages[uid] for uid in sorted(messages, reverse=True)], "more": len(fitting) > limit}

    async def _fetch(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """A part of a mail: `{data, size}`, its bytes from `offset` on in base64, and how many it has."""
        folder, message = _folder(arguments), text_of(arguments, "message")
        named = _MESSAGE.fullmatch(message)
        if named is None:
            raise invalid("message names no mail", "pass `message` as a search gave it")
        offset = count_of(arguments, "offset", 0)
        key = (folder, message)
        async with self._means.within(
            self._means.limits.mail_seconds, f"the mail server of {URL}", "fetch fewer at once"
        ):
            await self._turn.acquire()
        try:
            if self._held is None or self._held[0] != key:
                self._held = None
                self._held = (key, await self._clean(await self._whole(folder, named[1], named[2])))
            content = self._held[1]
        finally:
            self._turn.release()
        part = content[offset : offset + MOST_READ]
        return {"data": base64.b64encode(part).decode(), "size": len(content)}

    async def _whole(self, folder: str, validity: str, uid: str) -> bytes:
        async with self._opened(folder, self._means.limits.mail_bytes + _OVERHEAD) as (imap, known, _):
            answers = await imap.ask("UID FETCH", uid, "(UID BODY.PEEK[])") if known == validity else []
        for answer in answers:
            if _number(answer, "UID") == uid and answer.literals:
                return answer.literals[0]
        raise BrokerDenied(
            DenialCode.MAIL_NOT_FOUND, "there is no such mail in the folder any more", "search for it again"
        )

    @asynccontextmanager
    async def _opened(self, folder: str, most: int) -> AsyncIterator[tuple[Imap, str, int]]:
        """A folder: its connection, the number that its mails' numbers are good for, and how many mails it has."""
        means = self._means
        means.permit(PERMISSION, "a mailbox")
        server = Server.of(means, URL, IMAP, "a mailbox")
        means.spend_call(PERMISSION)
        async with means.within(means.limits.mail_seconds, f"the mail server of {URL}", "ask for less, or try later"):
            try:
                imap = Imap(await self._dialler.connect(server.host, server.port), most)
            except BrokerDenied as denied:
                raise unnamed(denied, "the mail server", URL) from None
            try:
                await self._logged_in(imap, server)
                try:
                    answers = await imap.ask("EXAMINE", folder_name(folder))
                except Refused:
                    message = "the mailbox has no such folder, or it cannot be looked at"
                    raise BrokerDenied(DenialCode.MAIL_NOT_FOUND, message, "INBOX is the first one") from None
                text = "\n".join(answer.text for answer in answers)
                validity = re.search(r"\[UIDVALIDITY (\d{1,10})\]", text, re.IGNORECASE)
                count = re.search(r"^\* (\d{1,10}) EXISTS", text, re.IGNORECASE | re.MULTILINE)
                if validity is None or count is None:
                    raise ImapError
                yield imap, validity[1], int(count[1])
            except Refused as refused:
                said = means.outlet.said(str(refused))
                raise Quoting(
                    DenialCode.UPSTREAM_ERROR, f"the mail server refused to look: {said}", "ask for something else"
                ) from None
            except TooLarge:
                size = str(means.limits.mail_bytes)
                message = f"the mail, or what the mail server says of mails, is larger than {size} bytes"
                raise BrokerDenied(DenialCode.RESPONSE_TOO_LARGE, message, "look for fewer mails", limit=size) from None
            except (ImapError, ssl.SSLError, OSError, ValueError):
                raise BrokerDenied(
                    DenialCode.UPSTREAM_UNREACHABLE,
                    f"the mail server of {URL} hung up, speaks no IMAP with TLS, or has no certificate to be trusted",
                    f"look at {URL}: imap:// begins in the clear and turns to TLS, imaps:// begins with it",
                    setting=URL,
                ) from None
            finally:
                means.usage.bytes_sent += imap.sent
                means.usage.bytes_received += imap.received
                imap.close()

    async def _logged_in(self, imap: Imap, server: Server) -> None:
        plain = self._dialler.is_alias(server.host)
        if server.tls and not plain:
            await imap.start_tls(self._tls, server.host)
        await imap.greeted()
        if not server.tls and not plain:
            await imap.ask("STARTTLS")
            imap.nothing_waits()
            await imap.start_tls(self._tls, server.host)
        try:
            await imap.ask("LOGIN", Value(server.user), Value(server.password))
        except Refused:
            raise BrokerDenied(
                DenialCode.LOGIN_REFUSED,
                f"the mail server of {URL} refused the login",
                f"look at user and password of {URL}; some providers want a password made for this use",
                setting=URL,
            ) from None

    async def _clean(self, data: bytes) -> bytes:
        try:
            return await self._means.outlet.answer(data)
        except Unfit as unfit:
            raise BrokerDenied(
                DenialCode.ANSWER_HOLDS_SECRET,
                f"the mail holds the secret {unfit.key} in an encoding, and is withheld",
                "read it with a mail program, and change the secret",
                secret=unfit.key,
            ) from None


def _folder(arguments: Mapping[str, Any]) -> str:
    return _line(text_of(arguments, "folder", "INBOX"), "folder")


def _criteria(arguments: Mapping[str, Any]) -> list[str | Value]:
    """What a search looks for, all of it; ALL where nothing is said."""
    wanted: list[str | Value] = []
    for name in ("from", "to", "subject", "text"):
        if text := _line(text_of(arguments, name, ""), name):
            wanted += [name.upper(), Value(text)]
    for name in ("since", "before"):
        if day := text_of(arguments, name, ""):
            try:
                when = date.fromisoformat(day)
            except ValueError:
                raise invalid(f"{name} is no day", "write 2026-03-28") from None
            wanted += [name.upper(), f"{when.day}-{_MONTHS[when.month - 1]}-{when.year:04}"]
    if arguments.get("unseen") is True:
        wanted.append("UNSEEN")
    return wanted or ["ALL"]


def _line(text: str, place: str) -> str:
    """A text for a command: a line break in it would begin another."""
    if _CONTROL.search(text) or len(text) > 200:
        raise invalid(f"{place} holds a line break or is too long", "use one line of at most 200 characters")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise invalid(f"{place} holds a character that no text may have", "remove lone surrogates") from None
    return text


def _after(answers: list[Answer], word: str) -> str:
    start = f"* {word}"
    return " ".join(one.text[len(start) :] for one in answers if one.text.upper().startswith(start))


def _number(answer: Answer, name: str) -> str | None:
    found = re.search(rf"\b{re.escape(name)} (\d{{1,10}})\b", answer.text)
    return found[1] if found else None
