# expect[ok_denied]: hold other processes by descriptor: pidfd_open, pidfd_getfd, pidfd_send_signal
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
    said = [call(434, pid, 0) for pid in (0, 1, 2)]
    said += [call(438, 3, 0, 0), call(424, 3, 9, 0, 0), call(448, 3, 0)]
    assert set(said) == {"EPERM"}, said
    return {"denied": True, "said": said}
