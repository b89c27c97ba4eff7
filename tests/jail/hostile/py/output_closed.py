# expect[ok]: close what it prints to, and its input
import json
import os
import time


def frame(body):
    """Write a frame whose body is these bytes or this object."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    os.write(3, len(body).to_bytes(4, "big") + body)


def run(x):
    for number in (0, 1, 2):
        os.close(number)
    return 1
