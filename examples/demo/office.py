"""What an organisation has of its own, for the invoice: a database, a model and a mail server, all on loopback.

The database lives on the embedded server, which is joined here and so outlives a Hardpoint that is killed.
"""

import asyncio
import email
import json
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import policy
from pathlib import Path
from typing import Any

import psycopg
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword
from sqlalchemy import make_url

from demo.upstreams import Asked, upstream
from hardpointd.postgres import EmbeddedPostgres, ensure_database

MODEL, MAIL, DATABASE = "models.acme.example", "mail.acme.example", "ledger.acme.example"
MODEL_KEY = "demo-model-5b21"
MAIL_KEY = "demo-mail-e07d"
TABLE = "CREATE TABLE invoices (number text, amount numeric, vendor text, date date)"
READ = {
    "number": r"Invoice No\. ([\w-]+)",
    "amount": r"Total: ([\d.]+) EUR",
    "vendor": r"Vendor: ([\w ]+)",
    "date": r"Date: ([\d-]+)",
}


@dataclass
class Post:
    """The mail server: what arrived from those who know the password."""

    kept: list[Envelope] = field(default_factory=list)

    async def handle_MAIL(self, _server: Any, session: Any, envelope: Any, address: str, _options: Any) -> str:
        if not session.authenticated:
            return "530 log in first"
        envelope.mail_from = address
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Envelope) -> str:
        self.kept.append(envelope)
        return "250 OK"

    def authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        known = data.password == MAIL_KEY.encode()
        return AuthResult(success=known, handled=known)

    def mails(self) -> list[str]:
        """To whom each mail went, and its subject."""
        read = [email.message_from_bytes(kept.original_content or b"", policy=policy.default) for kept in self.kept]
        return [f"to {message['To']}: {message['Subject']}" for message in read]


@dataclass
class Office:
    """The running servers, and a look into the database from outside of Hardpoint."""

    ledger: psycopg.AsyncConnection[Any]
    database_url: str
    post: Post
    aliases: dict[str, str]

    async def rows(self) -> list[str]:
        """What was stored."""
        found = await self.ledger.execute("SELECT number, vendor, amount, date FROM invoices")
        return [", ".join(map(str, row)) for row in await found.fetchall()]

    async def is_waited_for(self) -> bool:
        """Whether somebody waits for a lock on the table."""
        waiting = "SELECT FROM pg_locks WHERE NOT granted AND relation = 'invoices'::regclass"
        return (await self.ledger.execute(waiting)).rowcount > 0


@asynccontextmanager
async def office(state: Path) -> AsyncIterator[Office]:
    """Serve while it is entered; the aliases say where each of the organisation's hosts really is."""
    async with EmbeddedPostgres(state) as postgres, _mail_server() as (post, mail_address):
        inside = make_url(await ensure_database(postgres, "ledger")).set(drivername="postgresql")
        place = inside.render_as_string(hide_password=False)
        aliases = {DATABASE: f"{inside.host}:{inside.port}", MAIL: mail_address}
        with upstream(model) as model_api:
            async with await psycopg.AsyncConnection.connect(place, autocommit=True) as ledger:
                await ledger.execute(TABLE)
                url = inside.set(host=DATABASE, port=5432).render_as_string(hide_password=False)
                yield Office(ledger, url, post, {MODEL: model_api.address, **aliases})


def model(asked: Asked) -> tuple[int, object]:
    """What stands in for a model: speaks as OpenAI does, and reads an invoice with four regular expressions."""
    if asked.headers.get("authorization") != f"Bearer {MODEL_KEY}":
        return 401, {"error": {"message": "unknown API key"}}
    text = json.loads(asked.body)["messages"][-1]["content"]
    found = {name: match[1] for name, pattern in READ.items() if (match := re.search(pattern, text))}
    said = json.dumps({**found, "amount": float(found["amount"])} if "amount" in found else found)
    return 200, {"choices": [{"message": {"role": "assistant", "content": said}}], "usage": {"total_tokens": len(text)}}


@asynccontextmanager
async def _mail_server() -> AsyncIterator[tuple[Post, str]]:
    loop, post = asyncio.get_running_loop(), Post()
    made: list[SMTP] = []
    logging.getLogger("mail.log").setLevel(logging.ERROR)

    def protocol() -> SMTP:
        made.append(SMTP(post, loop=loop, hostname=MAIL, authenticator=post.authenticate, auth_require_tls=False))
        return made[-1]

    listener = await loop.create_server(protocol, "127.0.0.1", 0)
    try:
        yield post, f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    finally:
        listener.close()
        for one in made:
            if one.transport is not None:
                one.transport.abort()
