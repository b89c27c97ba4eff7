# expect[output_limit]: a log line that is a nest of lists
import json
import os
import time


def frame(body):
    """Write a frame whose body is these bytes or this object."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    os.write(3, len(body).to_bytes(4, "big") + body)


def run(x):
    frame(b'{"log":{"level":"info","message":' + b"[" * 500_000 + b"]" * 500_000 + b"}}")
    time.sleep(60)
