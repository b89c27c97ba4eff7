# expect[ok_denied]: pointers whose lower half is zero, for a filter that looks at half of them
import ctypes
import errno

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def call(number, *arguments):
    """What a system call says: its errno by name, or the value that it gave."""
    ctypes.set_errno(0)
    value = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    return errno.errorcode.get(ctypes.get_errno(), "?") if value == -1 else value


import socket
import struct

HIGH = 1 << 32
MAP_FIXED_ANONYMOUS = 0x10 | 0x20 | 0x2


def run(x):
    libc.mmap.restype = ctypes.c_void_p
    place = libc.mmap(ctypes.c_void_p(HIGH), 4096, 3, MAP_FIXED_ANONYMOUS, -1, 0)
    assert place == HIGH, place
    ctypes.memmove(HIGH, struct.pack("QQ", 1 << 20, 1 << 20), 16)
    said = {"prlimit64": call(302, 0, 7, HIGH, 0)}
    name = struct.pack("H", 1) + b"\0hp-canary"
    ctypes.memmove(HIGH, name, len(name))
    mine, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    said["sendto"] = call(44, mine.fileno(), b"pwned", 5, 0, HIGH, len(name))
    said["ioctl"] = call(16, 0, HIGH + 0x5412, b"x")
    assert set(said.values()) == {"EPERM"}, said
    return {"denied": True, "said": said}
