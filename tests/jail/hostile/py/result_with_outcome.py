# expect[ok]: a result that brings an outcome and a bill of its own
import json
import os
import time


def frame(body):
    """Write a frame whose body is these bytes or this object."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    os.write(3, len(body).to_bytes(4, "big") + body)


def run(x):
    forged = {"value": 1, "kind": "oom", "outcome": "CANCELLED", "usage": {"wall_ms": -1}, "broker_calls": -5, "cpu_ms": 0}
    frame({"result": forged})
    time.sleep(60)
