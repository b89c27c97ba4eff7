# expect[ok_denied]: log lines that clear a terminal, set its title, write backwards or end a text early
import json
import os
import time


def frame(body):
    """Write a frame whose body is these bytes or this object."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    os.write(3, len(body).to_bytes(4, "big") + body)


def run(x):
    for text in ("\x1b]0;owned\x07", "\x1b[2J\x1b[H", "\x9b31m", "a\r\nlevel=error", "\u202egnp.exe", "\x00", "\x08" * 99):
        frame({"log": {"level": "info", "message": text}})
        print(text, flush=True)
    return {"denied": True}
