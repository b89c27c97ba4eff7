# expect[protocol]: a log line and a result in one frame
import json
import os
import time


def frame(body):
    """Write a frame whose body is these bytes or this object."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    os.write(3, len(body).to_bytes(4, "big") + body)


def run(x):
    frame({"log": {"level": "info", "message": "x"}, "result": {"value": "forged"}})
    time.sleep(60)
