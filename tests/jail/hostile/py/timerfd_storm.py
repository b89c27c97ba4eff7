# expect[timeout]: as many timers of one nanosecond as there are descriptors
import ctypes
import errno

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def call(number, *arguments):
    """What a system call says: its errno by name, or the value that it gave."""
    ctypes.set_errno(0)
    value = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    return errno.errorcode.get(ctypes.get_errno(), "?") if value == -1 else value


import os
import struct


def run(x):
    timers = []
    while (timer := call(283, 1, 0)) != "EMFILE":
        call(286, timer, 0, struct.pack("qqqq", 0, 1, 0, 1), 0)
        timers.append(timer)
    while True:
        for timer in timers:
            os.read(timer, 8)
