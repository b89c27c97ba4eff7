# expect[ok_denied]: what is mounted outside, by the calls that need no /proc
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
    request = ctypes.create_string_buffer(b"\x18" + bytes(7) + b"\xff" * 8 + b"\xff" * 8)
    buffer = ctypes.create_string_buffer(4096)
    said = [call(457, request, buffer, 4096, 0), call(458, request, buffer, 512, 0), call(467, 3, 0, 0, 0, 0)]
    assert set(said) <= {"EPERM", "ENOSYS"}, said
    return {"denied": True, "said": said}
