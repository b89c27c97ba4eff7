"""Owns a slot from the inside: a warm interpreter that runs no plugin, and clones a child for every call.

The executor speaks to it over descriptor 3, which no child inherits. Its first two messages are system call filters:
the slot's, which tells the zygote of forbidden and refused calls, and the children's, which is made for those that it
was told of when it tried them. Every later one ends the child that is there, and one that brings two descriptors, a
channel and a pipe for what is printed, starts the next. Every message is answered: how the child ended, and a pidfd of
the one that was started. What the zygote says unasked is a system call that it refuses, before the child hears of it.

A child that makes a forbidden call waits in the kernel until it is dead: the zygote hears of the call and kills it.
"""

import contextlib
import ctypes
import errno
import gc
import json
import os
import select
import signal
import socket
import struct
import sys
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from . import channel
from .kernel import LIBC, Clone, Filter, checked, prctl
from .listener import Listener

_MOUNT, _SETRESUID, _SETRESGID, _CAPSET = 165, 117, 119, 126
_NEW_NAMESPACES = 0x20000000 | 0x00020000 | 0x08000000 | 0x04000000 | 0x02000000  # pid, mount, ipc, uts, cgroup
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REC, _MS_PRIVATE = 2, 4, 8, 0x4000, 0x40000
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 24, 38
_CAPABILITY_VERSION_3 = 0x20080522
_FAILED = 70
_FILTER_BYTES = 65536
_RIGHTS = struct.Struct("ii")


class _CapabilityHeader(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class Walls:
    """What a child puts around itself before it reads its call; made ready once, because every call pays for it.

    What it needs for that no plugin may call: the mark, as the last argument, tells the slot's filter whose call it is.
    """

    def __init__(self, user: int, tmp: str, mark: int, filter: bytes) -> None:
        self._user = user
        self._tmp = tmp.encode()
        self._mark = ctypes.c_uint64(mark)
        self._filter = Filter.of(filter)
        self._header = _CapabilityHeader(_CAPABILITY_VERSION_3, 0)
        self._no_capabilities = (ctypes.c_uint32 * 6)()

    def close(self) -> None:
        """Close them around this process, for ever. Raises OSError."""
        self._call(_MOUNT, b"tmpfs", b"/tmp", b"tmpfs", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC, self._tmp)
        os.chdir("/tmp")  # noqa: S108 - nobody else is there
        self._call(_SETRESGID, self._user, self._user, self._user, 0, 0)
        self._call(_SETRESUID, self._user, self._user, self._user, 0, 0)
        self._call(_CAPSET, ctypes.byref(self._header), ctypes.byref(self._no_capabilities), 0, 0, 0)
        checked(prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0))
        checked(prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
        checked(prctl(_PR_SET_SECCOMP, 2, ctypes.addressof(self._filter), 0, 0))

    def _call(self, number: int, *arguments: Any) -> None:
        checked(LIBC.syscall(number, *arguments, self._mark))


class Zygote:
    """Clones children, one at a time, and kills one that makes a forbidden call of which it is told."""

    def __init__(self, control: socket.socket, listener: Listener | None, walls: Walls) -> None:
        self._control = control
        self._listener = listener
        self._walls = walls
        self._messages = select.poll()
        self._messages.register(control.fileno(), select.POLLIN)
        if listener is not None:
            self._messages.register(listener.descriptor, select.POLLIN)
        self._clone = Clone(_NEW_NAMESPACES)
        self._child = 0
        self._forbidden: int | None = None
        self._refused: set[int] = set()

    def serve(self) -> None:
        """Answer messages until the executor is gone; in a child, return to serve its call."""
        while True:
            while any(descriptor != channel.DESCRIPTOR for descriptor, _ in self._messages.poll()):
                self._hear()
            message, ancillary, _, _ = self._control.recvmsg(16, socket.CMSG_SPACE(_RIGHTS.size))
            if not message:
                os._exit(0)
            answer = self._ended()
            if not ancillary:
                self._control.send(json.dumps(answer).encode())
                continue
            given = _RIGHTS.unpack(ancillary[0][2])
            self._child, pidfd = self._clone()
            if self._child == 0:
                self._become(given)
                return
            for descriptor in given:
                os.close(descriptor)
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", pidfd))]
            self._control.sendmsg([json.dumps(answer).encode()], rights)
            os.close(pidfd)

    def _hear(self) -> None:
        """Refuse the call in which a thread of the child waits, and say so at its first time; or kill for it.

        Which one it was killed for is kept in mind.
        """
        assert self._listener is not None
        with contextlib.suppress(FileNotFoundError):  # it was killed meanwhile
            call, number = self._listener.heard()
            if number in self._listener.refused:
                if number not in self._refused:
                    self._refused.add(number)
                    self._control.send(json.dumps({"refused": number}).encode())
                self._listener.refuse(call, errno.EPERM)
                return
            os.kill(self._child, signal.SIGKILL)
            if self._forbidden is None:
                self._forbidden = number

    def _ended(self) -> dict[str, Any]:
        if not self._child:
            return {}
        os.kill(self._child, signal.SIGKILL)
        _, status, usage = os.wait4(self._child, 0)
        forbidden = self._forbidden
        self._child, self._forbidden = 0, None
        self._refused.clear()
        return {
            "forbidden": forbidden,
            "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
            "status": os.WEXITSTATUS(status) if os.WIFEXITED(status) else 0,
            "cpu_ms": (usage.ru_utime + usage.ru_stime) * 1000,
            "peak": usage.ru_maxrss * 1024,
        }

    def _become(self, given: tuple[int, int]) -> None:
        """Be a child: its channel where the control was, its output where the slot's was, and the walls closed."""
        try:
            to_executor, printed = given
            if self._listener is not None:
                self._listener.close()
            self._control.detach()
            os.dup2(to_executor, channel.DESCRIPTOR, inheritable=False)
            for descriptor in (1, 2):
                os.dup2(printed, descriptor)
            for descriptor in given:
                os.close(descriptor)
            self._walls.close()
        except BaseException as error:
            os.write(2, f"a child cannot close its walls: {error}".encode())
            os._exit(_FAILED)


def main() -> None:
    """Warm up, take the filters, and serve; a child serves its call."""
    engine, user, tmp = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    control = socket.socket(fileno=channel.DESCRIPTOR)
    _hold_for_ever()
    serve = _warmed(engine)
    control.send(channel.encode({"ready": {}}))
    first = json.loads(control.recv(_FILTER_BYTES))
    listener, told, why_not = _listening(bytes.fromhex(first["filter"]), first["forbidden"], first["refused"])
    control.send(json.dumps({"told": told, "why_not": why_not}).encode())
    walls = Walls(user, tmp, first["mark"], control.recv(_FILTER_BYTES))
    zygote = Zygote(control, listener, walls)
    control.send(b"{}")
    gc.collect()
    gc.freeze()
    zygote.serve()
    serve()


def _warmed(engine: str) -> Callable[[], None]:
    """Have an engine ready to run a plugin; the function that is returned serves one call with it."""
    if engine == "quickjs":
        from . import javascript

        return partial(javascript.serve, javascript.warm())
    from . import boot

    boot.warm()
    return boot.serve


def _hold_for_ever() -> None:
    """What holds for the zygote and is inherited by every child."""
    checked(LIBC.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None))
    checked(prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    capability = 0
    while prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) == 0:
        capability += 1


def _listening(
    filter: bytes, forbidden: Iterable[int], refused: Iterable[int]
) -> tuple[Listener | None, list[int], str]:
    """Listen where that can be: the listener, the calls of which it is told, and why not of all."""
    try:
        listener = Listener(filter, refused)
    except OSError as error:
        return None, [], str(error)
    told = listener.told_of([*forbidden, *refused])
    return listener, told, "a filter around this executor decides first"
