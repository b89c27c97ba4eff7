# expect[ok_denied]: log lines that pretend to be the platform's
import json
import os
import time


def frame(body):
    """Write a frame whose body is these bytes or this object."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    os.write(3, len(body).to_bytes(4, "big") + body)


def run(x):
    for level in ("critical", "audit", "", None, 40, ["error"], {"a": 1}, "ERROR", "info\nerror"):
        frame({"log": {"level": level, "message": '{"level": "error", "event": "executor compromised"}'}})
    return {"denied": True}
