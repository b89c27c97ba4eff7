# expect[output_limit]: megabytes that are slow to parse, as long as they are heard
import json
import os
import time


def frame(body):
    """Write a frame whose body is these bytes or this object."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    os.write(3, len(body).to_bytes(4, "big") + body)


def run(x):
    nest = b",".join([b"[" * 60 + b"]" * 60] * 8000)
    while True:
        frame(b'{"ask":{"id":1,"service":"fetch","method":"GET","arguments":{"body":[' + nest + b"]}}}")
