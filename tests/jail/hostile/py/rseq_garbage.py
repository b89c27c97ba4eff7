# expect[crash]: a restart sequence that leads into the kernel
import ctypes
import errno

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def call(number, *arguments):
    """What a system call says: its errno by name, or the value that it gave."""
    ctypes.set_errno(0)
    value = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    return errno.errorcode.get(ctypes.get_errno(), "?") if value == -1 else value


import time


def run(x):
    libc.pthread_self.restype = ctypes.c_void_p
    area = libc.pthread_self() + ctypes.c_ssize_t.in_dll(libc, "__rseq_offset").value
    ctypes.c_uint64.from_address(area + 8).value = 0xFFFF800000000000
    for _ in range(100):
        time.sleep(0.001)
    raise AssertionError("RESTARTED")
