# expect[ok]: a flood of asks behind the result
import json
import os
import time


def frame(body):
    """Write a frame whose body is these bytes or this object."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    os.write(3, len(body).to_bytes(4, "big") + body)


def run(x):
    frame({"result": {"value": 1}})
    for number in range(10_000):
        frame({"ask": {"id": number, "service": "fetch", "method": "GET", "arguments": {"url": "https://wide.example/"}}})
