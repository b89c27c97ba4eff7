# expect[ok]: one key with two values: what one reader sees, another may not
import json
import os
import time


def frame(body):
    """Write a frame whose body is these bytes or this object."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    os.write(3, len(body).to_bytes(4, "big") + body)


def run(x):
    frame(b'{"result":{"value":1},"result":{"value":{"denied":false}}}')
    time.sleep(60)
