# expect[ok_denied]: kernel memory in pipes and sockets instead of its own
import os
import socket


def run(x):
    held = kept = 0
    ends = []
    try:
        while True:
            ends.append(pair := socket.socketpair())
            pair[0].setblocking(False)
            try:
                while True:
                    held += pair[0].send(b"x" * 65536)
            except BlockingIOError:
                kept += 1
    except OSError as error:
        said = error.errno
    assert held < 32 << 20, held
    return {"denied": True, "said": said, "held": held}
