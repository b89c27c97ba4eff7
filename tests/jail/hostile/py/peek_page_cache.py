# expect[ok_denied]: see which shared pages a neighbour has touched: mincore, preadv2
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
    said = [call(27, 0, 4096, 0), call(327, 0, 0, 1, 0, 0, 8), call(451, 0, 0, 0, 0), call(187, 0, 0, 4096)]
    assert set(said) == {"EPERM"}, said
    return {"denied": True, "said": said}
