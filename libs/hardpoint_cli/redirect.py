"""Owns the loopback port that a provider sends a browser back to: it takes one answer, and says how it ended."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html import escape
from urllib.parse import parse_qsl, urlsplit

LARGEST_HEAD = 16 * 1024
HEAD_SECONDS = 5.0
PAGE_SECONDS = 20.0
"""How long a browser waits to be told how it ended."""

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>body{{font:1.1rem/1.5 system-ui;margin:15vh auto;max-width:32rem;padding:0 1rem}}h1{{font-size:1.6rem}}</style>
<h1>{title}</h1><p>{text}</p></html>"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a person reads in the browser."""

    title: str
    text: str
    status: str = "200 OK"


STRAY = Outcome("Not this one", "This is not the answer that your terminal waits for.", "400 Bad Request")


def answer_of(url: str) -> dict[str, str]:
    """What an address that a browser was sent back to says."""
    return dict(parse_qsl(urlsplit(url).query))


@dataclass
class Redirect:
    """The answer that is waited for, which has this state, and what the browser is told then."""

    path: str
    state: str
    answered: "asyncio.Future[dict[str, str]]" = field(default_factory=asyncio.Future)
    outcome: "asyncio.Future[Outcome]" = field(default_factory=asyncio.Future)

    def tell(self, title: str, text: str) -> None:
        """Say in the browser how it ended."""
        if not self.outcome.done():
            self.outcome.set_result(Outcome(title, text))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request; whoever does not know the state ends nothing."""
        try:
            async with asyncio.timeout(HEAD_SECONDS):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method, target, _ = head.split("\r\n", 1)[0].split(" ", 2)
            told = answer_of(target)
            if method != "GET" or urlsplit(target).path != self.path or told.get("state") != self.state:
                outcome = STRAY
            else:
                if not self.answered.done():
                    self.answered.set_result(told)
                async with asyncio.timeout(PAGE_SECONDS):
                    outcome = await asyncio.shield(self.outcome)
            await _write(writer, outcome)
        except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # a TimeoutError is an OSError
        finally:
            writer.close()


@asynccontextmanager
async def listening(url: str, state: str) -> AsyncIterator[Redirect]:
    """Listen where `url` leads, on this machine alone; raises OSError when the port is taken."""
    parts = urlsplit(url)
    host = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname
    redirect = Redirect(parts.path, state)
    serving: set[asyncio.Task[None]] = set()

    def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(redirect.serve(reader, writer))
        serving.add(task)
        task.add_done_callback(serving.discard)

    server = await asyncio.start_server(serve, host, parts.port, limit=LARGEST_HEAD)
    try:
        yield redirect
    finally:
        server.close()
        redirect.tell("Not connected", "It did not work. Your terminal says why.")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HEAD_SECONDS):
                await asyncio.gather(*serving)


async def _write(writer: asyncio.StreamWriter, outcome: Outcome) -> None:
    page = _PAGE.format(title=escape(outcome.title), text=escape(outcome.text)).encode()
    head = (
        f"HTTP/1.1 {outcome.status}\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {len(page)}\r\n"
        "cache-control: no-store\r\nreferrer-policy: no-referrer\r\nx-content-type-options: nosniff\r\n"
        "content-security-policy: default-src 'none'; style-src 'unsafe-inline'\r\nconnection: close\r\n\r\n"
    )
    writer.write(head.encode() + page)
    await writer.drain()
