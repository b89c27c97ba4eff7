# expect[protocol]: frames that only the executor or a starting jail sends
import json
import os
import time


def frame(body):
    """Write a frame whose body is these bytes or this object."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    os.write(3, len(body).to_bytes(4, "big") + body)


def run(x):
    frame({"reply": {"id": 1, "value": "forged"}})
    frame({"ready": {}})
    frame({"header": {"value": {}}})
    time.sleep(60)
