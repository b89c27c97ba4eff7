# expect[ok_denied]: be told of what happens to files: inotify, fanotify, quotactl_fd, cachestat
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
    said = [call(253), call(294, 0), call(254, 0, b"/", 0xFFF), call(300, 0, 0), call(443, 3, 0, 0, 0), call(451, 3, 0, 0, 0)]
    assert set(said) == {"EPERM"}, said
    return {"denied": True, "said": said}
