# expect[timeout]: write another name over its command line, for whoever looks from outside
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
    count, words = ctypes.c_int(), ctypes.POINTER(ctypes.c_char_p)()
    ctypes.pythonapi.Py_GetArgcArgv(ctypes.byref(count), ctypes.byref(words))
    try:
        open("/proc/self/comm", "w").write("postgres")
    except OSError:
        call(157, 15, b"postgres", 0, 0, 0)
    while True:
        pass
