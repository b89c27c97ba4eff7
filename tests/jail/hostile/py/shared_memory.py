# expect[ok_denied]: meet a neighbour in System V or POSIX shared memory, semaphores or message queues
import ctypes
import errno

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def call(number, *arguments):
    """What a system call says: its errno by name, or the value that it gave."""
    ctypes.set_errno(0)
    value = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    return errno.errorcode.get(ctypes.get_errno(), "?") if value == -1 else value


import multiprocessing.shared_memory


def run(x):
    said = [call(29, 0x68617264, 4096, 0o1666), call(64, 0x68617264, 1, 0o1666), call(68, 0x68617264, 0o1666), call(240, b"/hardpoint", 0o102, 0o666, 0)]
    assert set(said) == {"EPERM"}, said
    try:
        multiprocessing.shared_memory.SharedMemory("neighbour", create=True, size=4096)
    except OSError as error:
        return {"denied": True, "said": [*said, error.errno]}
    raise AssertionError("SHARED")
