"""Stand-ins for the web APIs of the examples: real HTTP servers on loopback that keep what they were asked."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

STOP_SECONDS = 0.02
"""How long a server may take to see that it is to stop: what `serve_forever` waits between two looks."""
RATES = {"EUR": 0.92, "USD": 1.0, "JPY": 151.0}


@dataclass
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes = b""


@dataclass
class Upstream:
    """A running server: its host:port and everything it was asked."""

    address: str = ""
    asked: list[Asked] = field(default_factory=list)


Answer = Callable[[Asked], tuple[int, object] | tuple[int, object, dict[str, str]]]
"""A status and a document, and headers where there are some."""


@contextmanager
def upstream(answer: Answer) -> Iterator[Upstream]:
    """Serve `answer` (request to status and JSON document, or bytes for anything else) on a free loopback port."""
    served = Upstream()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body leave together: in two packets the second would wait 40 ms for the reader's acknowledgement.
        wbufsize = -1
        disable_nagle_algorithm = True

        def _answer(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            query = {key: values[-1] for key, values in parse_qs(parts.query, keep_blank_values=True).items()}
            asked = Asked(self.command, parts.path, query, {k.lower(): v for k, v in self.headers.items()}, body)
            served.asked.append(asked)
            status, document, *more = answer(asked)
            raw = isinstance(document, bytes)
            data = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.send_response(status)
            self.send_header("content-type", "text/html" if raw else "application/json")
            self.send_header("content-length", str(len(data)))
            for name, value in (more[0] if more else {}).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _answer

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: what was asked is kept."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    served.address = f"127.0.0.1:{server.server_address[1]}"
    Thread(target=server.serve_forever, args=[STOP_SECONDS], daemon=True).start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()


def weather(key: str) -> Answer:
    """What api.weather.com answers to whoever shows `key`."""

    def answer(asked: Asked) -> tuple[int, object]:
        if asked.headers.get("authorization") != f"Bearer {key}":
            return 401, {"error": "unknown API key"}
        return 200, {"temp": 72, "weather": [{"main": "Sunny"}], "main": {"humidity": 45}}

    return answer


def exchange_rates(asked: Asked) -> tuple[int, object]:
    """What api.exchangerate.host answers."""
    amount, source, target = float(asked.query["amount"]), asked.query["from"], asked.query["to"]
    return 200, {"success": True, "query": asked.query, "result": round(amount / RATES[source] * RATES[target], 2)}


def slack(token: str) -> Answer:
    """What slack.com answers to whoever shows `token`: always status 200, and in `ok` whether it worked."""

    def answer(asked: Asked) -> tuple[int, object]:
        if asked.headers.get("authorization") != f"Bearer {token}":
            return 200, {"ok": False, "error": "invalid_auth"}
        if (asked.method, asked.path) == ("GET", "/api/conversations.list"):
            return 200, {"ok": True, "channels": [{"id": "C1", "name": "general"}]}
        if (asked.method, asked.path) != ("POST", "/api/chat.postMessage"):
            return 200, {"ok": False, "error": "unknown_method"}
        message = json.loads(asked.body)
        if message["channel"] != "#general":
            return 200, {"ok": False, "error": "channel_not_found"}
        return 200, {"ok": True, "channel": "C1", "ts": "1503435956.000247", "message": {"text": message["text"]}}

    return answer
