# expect[ok_denied]: code from a file in /tmp, which is mounted noexec
import ctypes
import errno

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def call(number, *arguments):
    """What a system call says: its errno by name, or the value that it gave."""
    ctypes.set_errno(0)
    value = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    return errno.errorcode.get(ctypes.get_errno(), "?") if value == -1 else value


import mmap
import os
import shutil


def run(x):
    source = next(p for p in ("/lib/x86_64-linux-gnu/libc.so.6", "/lib64/libc.so.6", "/usr/lib/libc.so.6") if os.path.exists(p))
    shutil.copyfile(source, "/tmp/evil.so")
    said = []
    try:
        ctypes.CDLL("/tmp/evil.so")
        said.append("LOADED")
    except OSError as error:
        said.append(str(error)[-60:])
    with open("/tmp/evil.so", "rb") as evil:
        try:
            mmap.mmap(evil.fileno(), 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC)
            said.append("MAPPED")
        except PermissionError as error:
            said.append(error.errno)
    try:
        os.execv("/tmp/evil.so", ["evil"])
    except PermissionError as error:
        said.append(error.errno)
    assert "LOADED" not in said and "MAPPED" not in said, said
    return {"denied": True, "said": said}
