# expect[ok_denied]: memory at address 0 and beyond the end of the address space
import ctypes
import errno

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def call(number, *arguments):
    """What a system call says: its errno by name, or the value that it gave."""
    ctypes.set_errno(0)
    value = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    return errno.errorcode.get(ctypes.get_errno(), "?") if value == -1 else value


def run(x):
    libc.mmap.restype = ctypes.c_void_p
    failed = ctypes.c_void_p(-1).value
    places = [0, 0x7FFFFFFFF000, 0xFFFFFFFFFF600000, 0xFFFF800000000000]
    said = [libc.mmap(ctypes.c_void_p(place), 4096, 7, 0x32, -1, 0) == failed for place in places]
    assert all(said), said
    return {"denied": True}
