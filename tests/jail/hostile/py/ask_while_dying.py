# expect[ok budget]: a result in the middle of asks whose answers are long, all of which come back at once
import json
import os


def frame(value):
    body = json.dumps(value).encode()
    return len(body).to_bytes(4, "big") + body


def run(x):
    ask = [frame({"ask": {"id": n, "service": "fetch", "method": "GET", "arguments": {"url": "https://wide.example/"}}}) for n in range(9)]
    os.write(3, b"".join(ask))
    return {"denied": False}
