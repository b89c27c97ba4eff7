# expect[ok_denied violation]: calls by their x32 numbers, which a filter by number may not know
import ctypes
import errno

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def call(number, *arguments):
    """What a system call says: its errno by name, or the value that it gave."""
    ctypes.set_errno(0)
    value = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    return errno.errorcode.get(ctypes.get_errno(), "?") if value == -1 else value


X32 = 0x40000000


def run(x):
    said = {number: call(X32 + number, 0, 0, 0) for number in (41, 57, 101, 165, 272, 520, 521, 538, 539)}
    assert set(said.values()) <= {"EPERM", "ENOSYS"}, said
    return {"denied": True, "said": said}
