# expect[user_error ok ok_denied]: the same memory again and again: mremap, MAP_GROWSDOWN, huge pages, locked pages
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


def run(x):
    libc.mmap.restype = libc.mremap.restype = ctypes.c_void_p
    failed = ctypes.c_void_p(-1).value
    huge = libc.mmap(None, 1 << 30, 3, 0x22 | 0x40000, -1, 0)
    locked = libc.mmap(None, 8 << 20, 3, 0x22 | 0x2000, -1, 0)
    shared = libc.mmap(None, 4096, 3, 0x21, -1, 0)
    copies = 0
    while copies < 100_000 and libc.mremap(ctypes.c_void_p(shared), 0, 1 << 20, 1) != failed:
        copies += 1
    assert huge == failed and copies < 1000, (huge, copies)
    return {"denied": locked == failed, "copies": copies}
