"""Owns a zygote's way to the kernel past the standard library: libc with its errors, and system call filters."""

import ctypes
import os

LIBC = ctypes.CDLL(None, use_errno=True)
prctl = LIBC.prctl
prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4


class Filter(ctypes.Structure):
    """A system call filter as the kernel takes it."""

    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]

    @classmethod
    def of(cls, instructions: bytes) -> "Filter":
        """Wrap instructions of eight bytes each."""
        return cls(len(instructions) // 8, instructions)


def checked(result: int) -> int:
    """Return what a function of libc returned. Raises OSError when that says that it failed."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
