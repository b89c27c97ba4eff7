"""A real CalDAV server, Radicale, on loopback."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, make_server

from radicale import Application, config

USER = "ada"
HOME = f"/{USER}/"


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def calendar_server(folder: Path, password: str) -> Iterator[str]:
    """Where it listens while it is entered: `127.0.0.1:port`; ada may log in, and has no calendar yet."""
    logging.getLogger("radicale").setLevel(logging.CRITICAL)
    users = folder / "users"
    users.write_text(f"{USER}:{password}\n")
    options = config.load()
    options.update(
        {
            "auth": {
                "type": "htpasswd",
                "htpasswd_filename": str(users),
                "htpasswd_encryption": "plain",
                "delay": "0",
            },
            "storage": {"filesystem_folder": str(folder / "calendars"), "_filesystem_fsync": "False"},
        },
        "test",
        privileged=True,
    )
    server = make_server("127.0.0.1", 0, Application(options), handler_class=_Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
