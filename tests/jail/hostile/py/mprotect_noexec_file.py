# expect[ok_denied]: map a file of a noexec mount, then ask to execute it
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


def run(x):
    with open("/tmp/code", "w+b") as file:
        file.write(b"\xc3" * 4096)
        file.flush()
        page = mmap.mmap(file.fileno(), 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
        place = ctypes.addressof(ctypes.c_char.from_buffer(page))
        said = [call(10, place, 4096, 7), call(329, place, 4096, 7, -1)]
    assert set(said) <= {"EACCES", "EPERM"}, said
    return {"denied": True, "said": said}
