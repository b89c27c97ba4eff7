# expect[timeout]: a frame that comes byte by byte
import json
import os
import time


def frame(body):
    """Write a frame whose body is these bytes or this object."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    os.write(3, len(body).to_bytes(4, "big") + body)


def run(x):
    for byte in (1000).to_bytes(4, "big") + b'{"result":{"value":"' + b"a" * 1000:
        os.write(3, bytes([byte]))
        time.sleep(0.1)
