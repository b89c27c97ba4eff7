# expect[ok_denied]: a pipe that the kernel writes into: pipe2 with O_NOTIFICATION_PIPE, and packets
import ctypes
import errno
import os

libc = ctypes.CDLL(None, use_errno=True)


def run(x):
    ends = (ctypes.c_int * 2)()
    said = {}
    for name, flags in {"notification": 0x80, "packets": 0x4000}.items():
        said[name] = libc.pipe2(ends, flags) or "made"
        if said[name] == -1:
            said[name] = errno.errorcode.get(ctypes.get_errno())
            continue
        for request in (0x5760, 0x5761):
            assert libc.ioctl(ends[0], request, 8) == -1
        if name == "packets":
            [os.write(ends[1], b"a") for _ in range(10)]
    return {"denied": True, "said": said}
