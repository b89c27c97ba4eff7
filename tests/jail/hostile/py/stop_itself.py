# expect[ok]: stop or kill itself, so that somebody waits for it
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
import signal
import threading


def run(x):
    for number in (signal.SIGSTOP, signal.SIGTSTP, signal.SIGKILL, signal.SIGQUIT, signal.SIGTERM):
        call(234, os.getpid(), threading.get_native_id(), number)
    return "still here"
