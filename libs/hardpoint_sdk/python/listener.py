"""Owns how a zygote is told of system calls that plugins may not make: the filter that tells, and what is heard by it.

The kernel keeps whoever makes such a call waiting for an answer. That is an error, or none: it is killed.
"""

import ctypes
import errno
import fcntl
import os
import select
import struct
from collections.abc import Iterable

from .kernel import LIBC, Clone, Filter, checked

_SECCOMP, _SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_NEW_LISTENER = 317, 1, 8
_SECCOMP_IOCTL_NOTIF_RECV, _SECCOMP_IOCTL_NOTIF_SEND = 0xC0502100, 0xC0182101
_NOTIFICATION = struct.Struct("QIIiIQ6Q")  # id, process, flags; number, architecture, instruction, arguments
_ANSWER = struct.Struct("QqiI")  # id, value, error, flags


class Listener:
    """Where the kernel tells of such calls of the processes below this one; some of them are only `refused`."""

    def __init__(self, filter: bytes, refused: Iterable[int]) -> None:
        """Put the filter around this process. Raises OSError where it cannot be, or where somebody else listens."""
        self.refused = frozenset(refused)
        flags, made = _SECCOMP_FILTER_FLAG_NEW_LISTENER, Filter.of(filter)
        self.descriptor: int = LIBC.syscall(_SECCOMP, _SECCOMP_SET_MODE_FILTER, flags, ctypes.byref(made))
        checked(self.descriptor)

    def told_of(self, calls: Iterable[int]) -> list[int]:
        """Try calls, and return those of which it is told: a filter further out may refuse one first, or kill."""
        tries, ended = Clone()()
        if tries == 0:
            for number in calls:
                LIBC.syscall(number, 0, 0, 0, 0, 0, 0)
            os._exit(0)
        told: list[int] = []
        ready = select.poll()
        ready.register(self.descriptor, select.POLLIN)
        ready.register(ended, select.POLLIN)
        while (ended, select.POLLIN) not in ready.poll():
            call, number = self.heard()
            told.append(number)
            self.refuse(call, errno.ENOSYS)
        os.close(ended)
        os.waitpid(tries, 0)
        return told

    def heard(self) -> tuple[int, int]:
        """Return what the kernel calls this one, and its number. Raises FileNotFoundError when its maker is gone."""
        notification = bytearray(_NOTIFICATION.size)
        fcntl.ioctl(self.descriptor, _SECCOMP_IOCTL_NOTIF_RECV, notification)
        call, _, _, number, *_ = _NOTIFICATION.unpack(notification)
        return call, number

    def refuse(self, call: int, error: int) -> None:
        """Have a call that was heard fail with an error. Raises FileNotFoundError when its maker is gone."""
        fcntl.ioctl(self.descriptor, _SECCOMP_IOCTL_NOTIF_SEND, _ANSWER.pack(call, 0, -error, 0))

    def close(self) -> None:
        """Leave it to the process that cloned this one."""
        os.close(self.descriptor)
