# expect[ok_denied]: progress beyond all measure
import json
import os
import time


def frame(body):
    """Write a frame whose body is these bytes or this object."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    os.write(3, len(body).to_bytes(4, "big") + body)


def run(x):
    for fraction in (-1e308, 1e308, 10**307, -(10**306), 0, -0.0, 2**63):
        frame({"progress": {"fraction": fraction, "message": "\x1b[2Jdone\r\n"}})
    return {"denied": True}
