# expect[ok_denied]: rename or remove what is mounted, leave a whiteout, swap the root
import ctypes
import errno

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def call(number, *arguments):
    """What a system call says: its errno by name, or the value that it gave."""
    ctypes.set_errno(0)
    value = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    return errno.errorcode.get(ctypes.get_errno(), "?") if value == -1 else value


import os


def run(x):
    said = []
    for attempt in (
        lambda: os.rmdir("/tmp"),
        lambda: os.rename("/tmp", "/sdk"),
        lambda: os.rename("/sdk/hardpoint_sdk", "/tmp/sdk"),
        lambda: os.unlink("/etc/passwd"),
        lambda: os.mkdir("/proc"),
        lambda: os.chdir("/"),
        lambda: os.symlink("/", "/tmp/up"),
    ):
        try:
            attempt()
            said.append("OK")
        except OSError as error:
            said.append(error.errno)
    open("/tmp/a", "w").close()
    said.append(call(316, -100, b"/tmp/a", -100, b"/sdk/a", 2))
    assert "OK" not in said and 0 not in said, said
    return {"denied": True, "said": said}
