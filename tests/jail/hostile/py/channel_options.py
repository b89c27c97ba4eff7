# expect[ok_denied]: larger buffers, passed credentials, peeks and names on the channel
import json
import os
import time


def frame(body):
    """Write a frame whose body is these bytes or this object."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    os.write(3, len(body).to_bytes(4, "big") + body)


import socket


def run(x):
    channel, said = socket.socket(fileno=3), []
    for attempt in (
        lambda: channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 30),
        lambda: channel.setsockopt(socket.SOL_SOCKET, 16, 1),
        lambda: channel.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, b"\x00\x00\x00\x00")]),
        lambda: channel.recvmsg(1, 100),
        lambda: channel.bind("\0hp-canary"),
        lambda: channel.connect("\0hp-canary"),
        lambda: channel.listen(),
        lambda: channel.getpeername(),
        lambda: channel.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT),
    ):
        try:
            attempt()
            said.append("OK")
        except OSError as error:
            said.append(error.errno)
    channel.detach()
    assert "OK" not in said, said
    return {"denied": True, "said": said}
