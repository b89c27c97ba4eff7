# expect[protocol]: characters in more bytes than they need
import json
import os
import time


def frame(body):
    """Write a frame whose body is these bytes or this object."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    os.write(3, len(body).to_bytes(4, "big") + body)


def run(x):
    frame(b'{"result":{"value":"\xc0\xaf\xe0\x80\xaf\xf0\x80\x80\xaf"}}')
    time.sleep(60)
