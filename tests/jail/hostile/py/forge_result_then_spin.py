# expect[ok]: write a result past the SDK and go on running
import json
import os


def run(x):
    b = json.dumps({"result": {"value": "forged"}}).encode()
    os.write(3, len(b).to_bytes(4, "big") + b)
    while True:
        pass
