"""The service `email`: one mail through the organisation's SMTP server; `mailbox.py` is what it reads.

The library that speaks SMTP is given a socket behind which our dialler and our bounds are (`relay.py`). All recipients
are accepted or nobody gets the mail. Where the execution has an idempotency key the Message-ID is made of it, so that
mail servers that know the first one may drop a second.
"""

import asyncio
import hashlib
import re
import ssl
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email import policy
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, localtime
from typing import Any, Final

import aiosmtplib

from hardpoint_executor.broker.denial import BrokerDenied, DenialCode, Quoting
from hardpoint_executor.broker.dial import unnamed
from hardpoint_executor.broker.files import data_of
from hardpoint_executor.broker.http import HttpClient
from hardpoint_executor.broker.mail_server import SMTP, Server
from hardpoint_executor.broker.mailbox import Mailbox
from hardpoint_executor.broker.means import Means, invalid, text_of
from hardpoint_executor.broker.relay import Relay
from hardpoint_executor.broker.stored import READ, StoredFiles

URL: Final = "SMTP_URL"
FROM: Final = "EMAIL_FROM"
PERMISSION: Final = "integration.email"
MOST_ATTACHMENTS: Final = 20
_SOCKET: Final = "smtp"
_ANSWERED: Final = 256 * 1024
"""Bytes that a server may say in all."""
_POLICY: Final = policy.SMTP.clone(cte_type="7bit")
_ADDRESS: Final = re.compile(r"(?:(?P<name>[^<>]*)<(?P<one>[^<>]+)>|(?P<other>[^<>]+))")
_SPEC: Final = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*"
    r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
)
_TYPE: Final = re.compile(r"(?!message/|multipart/)[a-z0-9][a-z0-9.+-]*/[a-z0-9][a-z0-9.+-]*")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")

_ENCODED: Final = re.compile(r"=\?[^?]*\?[bq]\?", re.IGNORECASE)
"""Where an encoded word begins (RFC 2047): the library would decode it, breaks and all, before it writes the header."""


class Mail:
    """The service `email` of one execution."""

    def __init__(self, means: Means, http: HttpClient, stored: StoredFiles) -> None:
        self._means = means
        self._dialler = http.dialler
        self._tls = http.tls
        self._stored = stored
        self._mailbox = Mailbox(means, http)
        self._sent = 0

    async def ask(self, method: str, arguments: Mapping[str, Any]) -> Any:
        """Answer with a JSON value; raises BrokerDenied."""
        if method != "send":
            return await self._mailbox.ask(method, arguments)
        means = self._means
        means.permit(PERMISSION, "a mail")
        sender = _address(means.setting(FROM, "a mail"), FROM)
        message, recipients = self._written(arguments, sender)
        means.spend_call()
        room = means.limits.mail_bytes
        for attachment in _list(arguments, "attachments", MOST_ATTACHMENTS):
            room -= await self._attach(message, attachment, room)
        message["Message-ID"] = self._message_id(sender)
        data = await asyncio.to_thread(message.as_bytes, policy=_POLICY)
        if len(data) > means.limits.mail_bytes:
            raise _too_large(means.limits.mail_bytes)

        async def sent() -> dict[str, str]:
            server = Server.of(means, URL, SMTP, "a mail")
            if await self._admitted(server, arguments, message, recipients):
                means.usage.permissions.add(PERMISSION)
                await self._send(server, sender.addr_spec, recipients, data)
            return {"message_id": message["Message-ID"]}

        return await means.outside("email", "send", arguments, sent)

    async def _admitted(
        self, server: Server, arguments: Mapping[str, Any], message: EmailMessage, recipients: list[str]
    ) -> bool:
        """Whether a mail is to be sent that nothing here speaks against; raises BrokerDenied."""
        effects = self._means.effects
        if not effects.watching:
            return True
        if effects.dry_run:
            with self._denials():
                await self._dialler.check(server.host, server.port)
        headers = {name.lower(): str(message[name] or "") for name in ("From", "To", "Cc", "Reply-To", "Subject")}
        told = {
            **headers,
            "recipients": recipients,
            "body": effects.body(text_of(arguments, "body")),
            "html": effects.body(text_of(arguments, "html", "")),
            "attachments": [
                {
                    "name": part.get_filename(),
                    "type": part.get_content_type(),
                    "content": effects.body(_bytes_of(part)),
                }
                for part in message.iter_attachments()
            ],
        }
        return await effects.admit("email", "send", ", ".join(recipients), told)

    def _written(self, arguments: Mapping[str, Any], sender: Address) -> tuple[EmailMessage, list[str]]:
        most = self._means.limits.recipients
        to, cc, bcc = (
            [_address(one, place) for one in _list(arguments, place, most, alone=True)] for place in ("to", "cc", "bcc")
        )
        recipients = list(dict.fromkeys(address.addr_spec for address in (*to, *cc, *bcc)))
        if not to:
            raise invalid("the mail is for nobody", 'pass to: "ada@example.com", or a list of addresses')
        if len(recipients) > most:
            raise invalid(f"the mail has {len(recipients)} recipients, {most} are allowed", "send several mails")
        message = EmailMessage(policy=_POLICY)
        message["From"], message["To"], message["Date"] = sender, to, format_datetime(localtime())
        if cc:
            message["Cc"] = cc
        if reply_to := text_of(arguments, "reply_to", ""):
            message["Reply-To"] = _address(reply_to, "reply_to")
        message["Subject"] = _line(text_of(arguments, "subject"), "subject")
        try:
            message.set_content(text_of(arguments, "body"))
            if html := text_of(arguments, "html", ""):
                message.add_alternative(html, subtype="html")
        except UnicodeEncodeError:
            raise invalid("the mail holds a character that no text may have", "remove lone surrogates") from None
        return message, recipients

    async def _attach(self, message: EmailMessage, attachment: Any, room: int) -> int:
        """Attach what has at most `room` bytes; how many it has."""
        if not isinstance(attachment, Mapping):
            raise invalid("an attachment is not an object", "use {name, data, type} or the handle of a stored file")
        name = _line(text_of(attachment, "name"), "the name of an attachment")
        kind = text_of(attachment, "type", "").partition(";")[0].strip().lower() or "application/octet-stream"
        if not _TYPE.fullmatch(kind):
            raise invalid("an attachment has a type that none may have", "use one such as application/pdf")
        if "data" in attachment:
            data = data_of({"data": attachment["data"], "encoding": "base64"})
        else:
            self._means.permit(READ, "a stored file")
            self._means.usage.permissions.add(READ)
            data = await self._stored.content(attachment, room)
        if len(data) > room:
            raise _too_large(self._means.limits.mail_bytes)
        main, _, sub = kind.partition("/")
        message.add_attachment(data, maintype=main, subtype=sub, filename=name)
        return len(data)

    def _message_id(self, sender: Address) -> str:
        key, owner = self._means.idempotency_key, self._means.owner
        self._sent += 1
        if not key:
            return f"<{uuid.uuid4().hex}@{sender.domain}>"
        made = hashlib.sha256("\n".join((owner.org, owner.capability, key, str(self._sent))).encode()).hexdigest()
        return f"<{made[:40]}@{sender.domain}>"

    async def _send(self, server: Server, sender: str, recipients: list[str], data: bytes) -> None:
        means = self._means
        again = "look before you repeat it: it may have been sent"
        async with means.within(means.limits.mail_seconds, f"the mail server of {URL}", again):
            with self._denials():
                relay = Relay(await self._dialler.connect(server.host, server.port))
                relay.allow(_ANSWERED)
                try:
                    async with relay.socket(_SOCKET) as folder:
                        client = self._client(server, f"{folder}/{_SOCKET}")
                        await client.connect()
                    await self._deliver(client, sender, recipients, data)
                    client.close()
                finally:
                    means.usage.bytes_sent += relay.sent
                    means.usage.bytes_received += relay.received
                    relay.close()

    def _client(self, server: Server, path: str) -> aiosmtplib.SMTP:
        plain = self._dialler.is_alias(server.host)
        return aiosmtplib.SMTP(
            hostname=server.host,
            socket_path=path,
            use_tls=server.tls and not plain,
            start_tls=not server.tls and not plain,
            tls_context=self._tls,
            username=server.user or None,
            password=server.password or None,
            local_hostname="hardpoint.invalid",
            timeout=None,
        )

    async def _deliver(self, client: aiosmtplib.SMTP, sender: str, recipients: list[str], data: bytes) -> None:
        await client.mail(sender)
        for number, recipient in enumerate(recipients, 1):
            try:
                await client.rcpt(recipient)
            except aiosmtplib.SMTPRecipientRefused as refused:
                # Nobody got the mail, those that were accepted neither: it has not been said yet.
                later = 400 <= refused.code < 500
                raise Quoting(
                    DenialCode.RECIPIENT_DEFERRED if later else DenialCode.RECIPIENT_REFUSED,
                    f"the mail server {'does not take the mail for' if later else 'refused'} recipient {number} of "
                    f"{len(recipients)}{' now' if later else ''}, so nobody got the mail: {self._said(refused)}",
                    "send it again in some minutes" if later else "correct the address, or leave it out",
                    status=str(refused.code),
                ) from None
        self._means.usage.begin_write()
        await client.data(data)

    def _said(self, error: aiosmtplib.SMTPResponseException) -> str:
        return self._means.outlet.said(f"{error.code} {error.message}")

    @contextmanager
    def _denials(self) -> Iterator[None]:
        """What goes wrong, as denials that name no host; the server's own words are scrubbed and kept out of logs."""
        try:
            yield
        except Quoting:
            raise
        except BrokerDenied as denied:
            raise unnamed(denied, "the mail server", URL) from None
        except aiosmtplib.SMTPAuthenticationError as error:
            raise BrokerDenied(
                DenialCode.LOGIN_REFUSED,
                f"the mail server of {URL} refused the login",
                f"look at user and password of {URL}",
                setting=URL,
                status=str(error.code),
            ) from None
        except aiosmtplib.SMTPResponseException as error:
            raise Quoting(
                DenialCode.MAIL_REFUSED,
                f"the mail server refused the mail: {self._said(error)}",
                f"look at {FROM}, and at what the server accepts",
                status=str(error.code),
            ) from None
        except (aiosmtplib.SMTPException, ssl.SSLError, OSError, ValueError):
            raise BrokerDenied(
                DenialCode.UPSTREAM_UNREACHABLE,
                f"the mail server of {URL} hung up, does not speak SMTP with TLS, or has no certificate to be trusted",
                f"look at {URL}: smtp:// begins in the clear and turns to TLS, smtps:// begins with it",
                setting=URL,
            ) from None


def _too_large(most: int) -> BrokerDenied:
    return BrokerDenied(
        DenialCode.REQUEST_TOO_LARGE,
        f"the mail is larger than {most} bytes",
        "attach less, or send where it can be fetched",
        limit=str(most),
    )


def _bytes_of(part: EmailMessage) -> bytes:
    content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""


def _list(arguments: Mapping[str, Any], name: str, most: int, *, alone: bool = False) -> list[Any]:
    """A list of an argument, where one text may stand for a list of it."""
    value = arguments.get(name)
    if value is None:
        return []
    if alone and isinstance(value, str):
        return [value]
    if not isinstance(value, list) or len(value) > most:
        raise invalid(f"{name} is not a list of at most {most}", f"pass fewer in {name}")
    return value


def _address(text: Any, place: str) -> Address:
    """`ada@example.com` or `Ada <ada@example.com>`: one address, of letters that every mail server knows."""
    match = _ADDRESS.fullmatch(_line(text, place).strip()) if isinstance(text, str) else None
    spec = (match["one"] or match["other"] or "").strip() if match else ""
    if match is None or len(spec) > 254 or not _SPEC.fullmatch(spec):
        raise invalid(f"{place} holds what is not one mail address", 'use "ada@example.com" or "Ada <ada@example.com>"')
    try:
        return Address((match["name"] or "").strip().strip('"'), addr_spec=spec)
    except (HeaderParseError, ValueError):
        raise invalid(f"{place} holds an address that cannot be written", 'use "ada@example.com"') from None


def _line(text: str, place: str) -> str:
    """A text for a header: a line break in it would begin another."""
    if _CONTROL.search(text) or len(text) > 1000:
        raise invalid(f"{place} holds a line break or is too long", "use one line of at most 1000 characters")
    if _ENCODED.search(text):
        raise invalid(f"{place} holds a word that is encoded for mail", "pass the text itself, in any letters")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise invalid(f"{place} holds a character that no text may have", "remove lone surrogates") from None
    return text
