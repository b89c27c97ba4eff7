# expect[protocol]: die in the middle of a frame
import json
import os
import time


def frame(body):
    """Write a frame whose body is these bytes or this object."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    os.write(3, len(body).to_bytes(4, "big") + body)


def run(x):
    os.write(3, (1000).to_bytes(4, "big") + b'{"result":{"val')
    os._exit(0)
