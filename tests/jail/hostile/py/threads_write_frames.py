# expect[ok protocol budget]: frames of many threads, torn into each other
import json
import os
import time


def frame(body):
    """Write a frame whose body is these bytes or this object."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    os.write(3, len(body).to_bytes(4, "big") + body)


import threading


def run(x):
    def write():
        while True:
            os.write(3, b"\x00\x00\x00\x30")
            time.sleep(0)
            os.write(3, b'{"log":{"level":"info","message":"aaaaaaaaaaaa"}}')

    for _ in range(8):
        threading.Thread(target=write, daemon=True).start()
    time.sleep(0.2)
    return 1
