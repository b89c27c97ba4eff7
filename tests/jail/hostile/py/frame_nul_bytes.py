# expect[protocol]: raw NUL and control bytes in a text
import json
import os
import time


def frame(body):
    """Write a frame whose body is these bytes or this object."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    os.write(3, len(body).to_bytes(4, "big") + body)


def run(x):
    frame(b'{"result":{"value":"a\x00b\x1b[2J"}}')
    time.sleep(60)
