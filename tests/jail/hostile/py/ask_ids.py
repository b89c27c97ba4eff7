# expect[ok_denied]: asks with one id, with no id that a number is, with the largest
import json
import os
import time


def frame(body):
    """Write a frame whose body is these bytes or this object."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    os.write(3, len(body).to_bytes(4, "big") + body)


def run(x):
    for number in (7, 7, -1, 0, True, 10**300, -(2**63), 2**64):
        frame({"ask": {"id": number, "service": "fetch", "method": "GET", "arguments": {"url": "https://wide.example/x"}}})
    seen = []
    for _ in range(8):
        size = int.from_bytes(os.read(3, 4), "big")
        seen.append(json.loads(os.read(3, size))["reply"]["error"]["code"])
    assert seen == ["HOST_NOT_GRANTED"] * 8, seen
    return {"denied": True}
