# expect[ok crash]: locks with owners that never were, and queues moved under each other
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
    words = (ctypes.c_uint32 * 64)()
    place = ctypes.addressof(words)
    words[0] = 1  # held by thread 1
    said = [call(202, place, 8, 0, 0, 0, 0), call(202, place, 0x80 | 6, 0, 0, 0, 0)]  # trylock, lock of our own
    said.append(call(202, place, 12, 1, 2**31 - 1, place + 4, 1))
    said.append(call(202, place + 1, 1, 1, 0, 0, 0))
    said.append(call(202, 8, 1, 1, 0, 0, 0))
    call(273, place, 24)  # a robust list that leads to itself
    words[16], words[17] = place & 0xFFFFFFFF, place >> 32
    return len(said)
