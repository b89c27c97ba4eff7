"""A real SMTP server on loopback, which keeps what arrives and refuses what a test names."""

import asyncio
import email
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword


class Post:
    """What arrived, and who logged in; recipients that begin with `nobody` and mails with `forbidden` are refused.

    Who begins with `later` is taken the second time.
    """

    def __init__(self, password: str) -> None:
        self.password = password
        self.kept: list[Envelope] = []
        self.logins: list[tuple[bytes, bytes]] = []
        self.place = ""
        self.deferred: set[str] = set()

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if address.startswith("nobody"):
            return f"550 no such user, said {self.password}"
        if address.startswith("later") and address not in self.deferred:
            self.deferred.add(address)
            return f"450 greylisted, said {self.password}"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:
        if b"forbidden" in (envelope.original_content or b""):
            return "554 policy"
        self.kept.append(envelope)
        return "250 OK"

    def authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append((data.login, data.password))
        known = data.password == self.password.encode()
        return AuthResult(success=known, handled=known)  # a refusal is left for the server to say

    def last(self) -> EmailMessage:
        """The last mail, read again."""
        message = email.message_from_bytes(self.kept[-1].original_content or b"", policy=policy.default)
        assert isinstance(message, EmailMessage)
        return message


@asynccontextmanager
async def mail_server(password: str, tls: ssl.SSLContext | None = None, **options: Any) -> AsyncIterator[Post]:
    """Serves while it is entered; with `tls` it is spoken to under TLS from the first byte."""
    post = Post(password)
    usual = {"authenticator": post.authenticate, "auth_require_tls": False, "auth_required": True}
    loop = asyncio.get_running_loop()
    made: list[SMTP] = []
    logging.getLogger("mail.log").setLevel(logging.ERROR)

    def protocol() -> SMTP:
        made.append(SMTP(post, loop=loop, hostname="mail.test", **usual | options))
        return made[-1]

    listener = await loop.create_server(protocol, "127.0.0.1", 0, ssl=tls)
    port = listener.sockets[0].getsockname()[1]
    post.place = f"127.0.0.1:{port}"
    try:
        yield post
    finally:
        listener.close()
        for one in made:
            if one.transport is not None:
                one.transport.abort()
