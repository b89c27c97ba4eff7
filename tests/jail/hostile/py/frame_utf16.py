# expect[protocol]: a result in another encoding
import json
import os
import time


def frame(body):
    """Write a frame whose body is these bytes or this object."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    os.write(3, len(body).to_bytes(4, "big") + body)


def run(x):
    frame('{"result":{"value":"forged"}}'.encode("utf-16"))
    time.sleep(60)
