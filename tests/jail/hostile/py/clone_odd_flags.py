# expect[ok_denied]: clone with flags just beside what the filter looks for
import ctypes
import errno

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def call(number, *arguments):
    """What a system call says: its errno by name, or the value that it gave."""
    ctypes.set_errno(0)
    value = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    return errno.errorcode.get(ctypes.get_errno(), "?") if value == -1 else value


CLONE = 56
THREAD, VM, SIGHAND, VFORK, PARENT, NEWTIME, INTO_CGROUP = 0x10000, 0x100, 0x800, 0x4000, 0x8000, 0x80, 1 << 33
TRIED = {
    "fork": 17,
    "vfork": VM | VFORK | 17,
    "sibling": PARENT | 17,
    "sharing": VM | 17,
    "high bits": (THREAD << 16) | 17,
    "cgroup": INTO_CGROUP | 17,
    "user": THREAD | 0x10000000,
    "net": 0x40000000,
    "thread without memory": THREAD,
    "thread without handlers": THREAD | VM,
    "new pid thread": THREAD | VM | SIGHAND | 0x20000000,
}


def run(x):
    said = {name: call(CLONE, flags, 0, 0, 0, 0) for name, flags in TRIED.items()}
    assert set(said.values()) <= {"EPERM", "EINVAL"}, said
    assert [call(57), call(58), call(435, 0, 0)] == ["EPERM", "EPERM", "ENOSYS"]
    return {"denied": True, "said": said}
