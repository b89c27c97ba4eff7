# expect[ok_denied]: more CPU than others: nice, schedulers, affinity, io priority
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
    said = [call(141, 0, 0, -20), call(140, 0, 0), call(144, 0, 1, b"\x63\0\0\0"), call(203, 0, 8, b"\xff" * 8), call(314, 0, bytes(48), 0), call(251, 1, 0, 0)]
    assert set(said) == {"EPERM"}, said
    return {"denied": True, "said": said}
