# expect[ok_denied]: wake a neighbour through a page of the interpreter that both map
import ctypes
import errno

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def call(number, *arguments):
    """What a system call says: its errno by name, or the value that it gave."""
    ctypes.set_errno(0)
    value = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    return errno.errorcode.get(ctypes.get_errno(), "?") if value == -1 else value


import mmap
import os

FUTEX_WAKE, FUTEX_CMP_REQUEUE_PI = 1, 12


def run(x):
    file = os.open("/etc/passwd", os.O_RDONLY)
    page = mmap.mmap(file, 0, mmap.MAP_SHARED, mmap.PROT_READ)
    libc.mmap.restype = ctypes.c_void_p
    place = libc.mmap(None, 4096, 1, 1, file, 0)
    woken = [call(202, ctypes.c_void_p(place + at), FUTEX_WAKE, 2**31 - 1, 0, 0, 0) for at in range(0, len(page) & ~3, 4)]
    assert not any(isinstance(said, int) and said > 0 for said in woken), woken
    return {"denied": True, "tried": len(woken)}
