# expect[protocol]: an id between two others
import json
import os
import time


def frame(body):
    """Write a frame whose body is these bytes or this object."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    os.write(3, len(body).to_bytes(4, "big") + body)


def run(x):
    frame({"ask": {"id": 1.5, "service": "fetch", "method": "GET", "arguments": {}}})
    time.sleep(60)
