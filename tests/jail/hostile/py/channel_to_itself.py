# expect[protocol timeout]: another channel in the place of the one that leads out, whose other end is its own
import os
import socket


def run(x):
    mine, other = socket.socketpair()
    os.dup2(other.fileno(), 3)
    return {"told": "nobody"}
