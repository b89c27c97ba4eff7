# expect[ok protocol]: stop hearing what the executor says
import json
import os
import time


def frame(body):
    """Write a frame whose body is these bytes or this object."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    os.write(3, len(body).to_bytes(4, "big") + body)


import socket


def run(x):
    channel = socket.socket(fileno=3)
    channel.shutdown(socket.SHUT_RD)
    frame({"ask": {"id": 1, "service": "fetch", "method": "GET", "arguments": {"url": "https://wide.example/"}}})
    channel.detach()
    return 1
