# expect[ok]: numbers that another reader reads as others: 2^53 + 1, -0, 1e308
import json
import os
import time


def frame(body):
    """Write a frame whose body is these bytes or this object."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    os.write(3, len(body).to_bytes(4, "big") + body)


def run(x):
    frame(b'{"result":{"value":[9007199254740993,-0,-0.0,1e308,5e-324,' + b"9" * 308 + b"]}}")
    time.sleep(60)
