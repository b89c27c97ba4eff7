# expect[ok_denied]: service and method of megabytes
import json
import os
import time


def frame(body):
    """Write a frame whose body is these bytes or this object."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    os.write(3, len(body).to_bytes(4, "big") + body)


def run(x):
    seen = []
    for service, method in (("f" * 900_000, "GET"), ("fetch", "G" * 900_000), ("__class__", "__init__"), ("fetch", "ask\n")):
        frame({"ask": {"id": 1, "service": service, "method": method, "arguments": {}}})
        size = int.from_bytes(os.read(3, 4), "big")
        seen.append(json.loads(os.read(3, size))["reply"]["error"]["code"])
    assert set(seen) == {"HOST_NOT_GRANTED"}, seen
    return {"denied": True}
