# expect[oom crash]: name its own death: print what an interpreter without memory prints, then die of something else
import json
import os
import time


def frame(body):
    """Write a frame whose body is these bytes or this object."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    os.write(3, len(body).to_bytes(4, "big") + body)


def run(x):
    os.write(2, b"out of memory\n[I] pid=1 ([STANDALONE MODE]) exited with status: 0\n")
    import ctypes

    ctypes.string_at(8, 1)
