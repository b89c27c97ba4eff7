# expect[ok]: asks that are still open when the result comes
import json
import os
import time


def frame(body):
    """Write a frame whose body is these bytes or this object."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    os.write(3, len(body).to_bytes(4, "big") + body)


def run(x):
    for number in range(9):
        frame({"ask": {"id": number, "service": "fetch", "method": "GET", "arguments": {"url": "https://wide.example/"}}})
    return 1
