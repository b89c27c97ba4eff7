# expect[user_error]: a stack with lines that no file has
import json
import os
import time


def frame(body):
    """Write a frame whose body is these bytes or this object."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    os.write(3, len(body).to_bytes(4, "big") + body)


def run(x):
    places = [{"function": "f" * 999, "file": "/etc/shadow", "line": line, "column": -line} for line in (10**300, -(10**300), 2**63, -1)]
    frame({"failure": {"name": "Error", "message": "m" * 9999, "stack": places * 60}})
    time.sleep(60)
