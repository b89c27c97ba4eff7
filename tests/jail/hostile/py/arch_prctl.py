# expect[ok ok_denied crash]: segment registers, a 32-bit vdso, cpuid faults
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
    said = [call(158, 0x2001, 0), call(158, 0x2002, 0), call(158, 0x1012, 0), call(158, 0x1023, 18), call(158, 0x5001, 1)]
    said.append(call(158, 0x1001, 0xFFFF800000000000))
    return [str(word) for word in said]
