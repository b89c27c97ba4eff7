"""Owns a zygote's way to the kernel past the standard library: libc with its errors, clones, system call filters."""

import ctypes
import os
import signal

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


class Clone:
    """Clones this process as fork does, with what Python wants done around a fork.

    By a call that no filter of a slot tells of, which libc's fork is.
    """

    _NUMBER = 435  # clone3
    _WITH_PIDFD = 0x1000

    class _Arguments(ctypes.Structure):
        _fields_ = [
            (name, ctypes.c_uint64)
            for name in ("flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack", "stack_size", "tls")
        ]

    def __init__(self, namespaces: int = 0) -> None:
        self._pidfd = ctypes.c_int(-1)
        self._arguments = self._Arguments(namespaces | self._WITH_PIDFD, ctypes.addressof(self._pidfd))
        self._arguments.exit_signal = signal.SIGCHLD

    def __call__(self) -> tuple[int, int]:
        """Return the child's process id and a descriptor of it; a zero first in the child. Raises OSError."""
        ctypes.pythonapi.PyOS_BeforeFork()
        child = LIBC.syscall(self._NUMBER, ctypes.byref(self._arguments), ctypes.sizeof(self._arguments))
        (ctypes.pythonapi.PyOS_AfterFork_Parent if child else ctypes.pythonapi.PyOS_AfterFork_Child)()
        return checked(child), self._pidfd.value


def checked(result: int) -> int:
    """Return what a function of libc returned. Raises OSError when that says that it failed."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
