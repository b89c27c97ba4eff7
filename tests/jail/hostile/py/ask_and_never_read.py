# expect[timeout]: asks whose long answers nobody reads
import json
import os
import time


def frame(body):
    """Write a frame whose body is these bytes or this object."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    os.write(3, len(body).to_bytes(4, "big") + body)


def run(x):
    for number in range(10):
        frame({"ask": {"id": number, "service": "fetch", "method": "GET", "arguments": {"url": "https://wide.example/"}}})
    time.sleep(60)
