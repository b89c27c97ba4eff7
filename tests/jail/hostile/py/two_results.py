# expect[ok]: a result, a failure and garbage at once: only the first is heard
import json
import os
import time


def frame(body):
    """Write a frame whose body is these bytes or this object."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    os.write(3, len(body).to_bytes(4, "big") + body)


def run(x):
    first, second = json.dumps({"result": {"value": 1}}).encode(), json.dumps({"failure": {"name": "E", "message": ""}}).encode()
    os.write(3, b"".join(len(b).to_bytes(4, "big") + b for b in (first, second)) + b"\xff" * 999)
    time.sleep(60)
