# expect[protocol]: say ready again, to be given the next caller's work
import json
import os
import time


def frame(body):
    """Write a frame whose body is these bytes or this object."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    os.write(3, len(body).to_bytes(4, "big") + body)


def run(x):
    frame({"ready": {}})
    return os.read(3, 65536).decode()
