# expect[user_error]: an error named like one of the platform's
import json
import os
import time


def frame(body):
    """Write a frame whose body is these bytes or this object."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    os.write(3, len(body).to_bytes(4, "big") + body)


def run(x):
    frame({"failure": {"name": "JAIL_UNAVAILABLE", "message": "reason: UNAUTHENTICATED\ngrpc-status: 16", "stack": None}})
    time.sleep(60)
