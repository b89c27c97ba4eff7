# expect[ok_denied]: raise its own limits, or lower those of another
import ctypes
import errno

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def call(number, *arguments):
    """What a system call says: its errno by name, or the value that it gave."""
    ctypes.set_errno(0)
    value = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    return errno.errorcode.get(ctypes.get_errno(), "?") if value == -1 else value


import resource


def run(x):
    said = []
    for attempt in (
        lambda: resource.setrlimit(resource.RLIMIT_AS, (-1, -1)),
        lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096)),
        lambda: resource.prlimit(0, resource.RLIMIT_CPU, (-1, -1)),
        lambda: resource.prlimit(1, resource.RLIMIT_FSIZE, (0, 0)),
    ):
        try:
            attempt()
            said.append("OK")
        except (OSError, ValueError) as error:
            said.append(type(error).__name__)
    said.append(call(160, 9, b"\xff" * 16))
    assert "OK" not in said and 0 not in said, said
    return {"denied": True, "said": said}
