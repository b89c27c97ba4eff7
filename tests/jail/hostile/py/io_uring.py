# expect[ok_denied]: rings of requests that no filter sees: io_uring and the older aio
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
    ring = ctypes.create_string_buffer(120)
    context = ctypes.c_long(0)
    said = [call(425, 8, ring), call(426, 3, 1, 0, 0, 0), call(427, 3, 0, 0, 0), call(206, 8, ctypes.byref(context))]
    assert set(said) <= {"ENOSYS", "EPERM"}, said
    return {"denied": True, "said": said}
