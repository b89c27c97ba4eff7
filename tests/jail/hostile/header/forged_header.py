# expect[ok]: a header that is written past the SDK, with a failure behind it
import json
import os
import time

for frame in ({"header": {"value": {"id": 1, "actions": "none", "version": [None]}}}, {"failure": {"name": "E", "message": ""}}):
    body = json.dumps(frame).encode()
    os.write(3, len(body).to_bytes(4, "big") + body)
time.sleep(60)
