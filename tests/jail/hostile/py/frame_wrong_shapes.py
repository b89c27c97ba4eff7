# expect[protocol]: an ask whose parts are of other kinds
import json
import os
import time


def frame(body):
    """Write a frame whose body is these bytes or this object."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    os.write(3, len(body).to_bytes(4, "big") + body)


def run(x):
    frame({"ask": {"id": {"$ne": 0}, "service": ["fetch"], "method": None, "arguments": "x"}})
    time.sleep(60)
