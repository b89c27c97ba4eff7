"""A real IMAP server, pymap, on loopback; its mails are those that a test delivers."""

import asyncio
import logging
import ssl
from argparse import Namespace
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from proxyprotocol.reader import ProxyProtocolReader
from proxyprotocol.version import ProxyProtocolVersion
from pymap.backend.dict import Config, DictBackend, Session
from pymap.imap import IMAPServer
from pymap.parsing.message import AppendMessage
from pymap.parsing.specials.flag import Flag

USER = "ada@example.com"


class Box:
    """The mailbox of one user."""

    def __init__(self, backend: DictBackend, place: str) -> None:
        self._backend = backend
        self.place = place

    async def deliver(self, mail: bytes, folder: str = "INBOX", *flags: str, day: int = 2) -> None:
        """Put a mail into a folder, which is made where it is not there; it came on that day of March 2026."""
        async with self._backend.login.demo_user_identity.new_session() as session:
            assert isinstance(session, Session)
            if folder != "INBOX":
                await session.mailbox_set.add_mailbox(folder)
            box = await session.mailbox_set.get_mailbox(folder)
            marks = frozenset(Flag(flag.encode()) for flag in flags)
            await box.append(AppendMessage(mail, datetime(2026, 3, day, tzinfo=UTC), marks), recent=False)


@asynccontextmanager
async def mailbox(password: str, tls: ssl.SSLContext | None = None, *, at_once: bool = False) -> AsyncIterator[Box]:
    """Serves while it is entered; with `tls` by STARTTLS, or from the first byte."""
    logging.getLogger("pymap").setLevel(logging.CRITICAL)
    args = Namespace(
        host="127.0.0.1", port=0, debug=False, cert=None, key=None, tls=tls is not None and not at_once,
        proxy_protocol=None, passlib_cfg=None, demo_data=False, demo_user=USER, demo_password=password,
        inherited_sockets=None,
    )  # fmt: skip
    overrides = {"ssl_context": tls} if tls else {}
    backend, config = await DictBackend.init(args, **overrides)
    assert isinstance(config, Config)
    config.apply_context()
    reader = ProxyProtocolReader(ProxyProtocolVersion.get("noop"))
    serve = reader.get_callback(IMAPServer(backend.login, config))
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls if at_once else None)
    try:
        yield Box(backend, f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
    finally:
        server.close()
