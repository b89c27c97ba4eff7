# expect[ok_denied violation]: every number that no plugin needs, known to this kernel or not
import ctypes
import errno

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def call(number, *arguments):
    """What a system call says: its errno by name, or the value that it gave."""
    ctypes.set_errno(0)
    value = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    return errno.errorcode.get(ctypes.get_errno(), "?") if value == -1 else value


ALLOWED = {332, 334, 326, 439, 449}  # statx, rseq, copy_file_range, faccessat2, futex_waitv
KILLED = {428, 429, 430, 431, 432, 433, 440, 442}
SIGILL = {335, 336}  # uretprobe and uprobe pass every filter by the kernel's own design


def run(x):
    numbers = set(range(335, 1024)) | {1 << 20, (1 << 31) - 1, -1, -2, (1 << 32) + 41}
    said = {number: call(number, 0, 0, 0, 0, 0, 0) for number in numbers - ALLOWED - KILLED - SIGILL}
    passed = {number: word for number, word in said.items() if word not in ("EPERM", "ENOSYS")}
    assert not passed, passed
    return {"denied": True, "tried": len(said)}
