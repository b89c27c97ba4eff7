"""Owns what is asked of the kernel about processes, and what a conversation needs of the one that runs a call."""

import asyncio
import contextlib
import fcntl
import os
import re
import select
import socket
import struct
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from hardpoint_executor.limits import seconds

NICE = 10
"""Of jails: an idle processor is all theirs, of a busy one they get a tenth of what each of ours gets."""
CPU_MS: Final = seconds("kernel.cpu_seconds") * 1000
_SURELY_USED: Final = 0.5
"""Of its limit the kernel counts by ticks, which on a busy machine is more than the time that it tells afterwards."""
_CREDENTIALS = struct.Struct("iII")


@dataclass(frozen=True, slots=True)
class Death:
    """How a process ended: by a signal such as `SIGSYS`, or with an exit status. A peak of 0 is unknown."""

    signal: str
    status: int
    cpu_ms: float
    peak_memory_bytes: int
    forbidden: str = ""
    """The system call for which it was killed, if the kernel told whoever killed it."""


def killed_by(signal: str, cpu_ms: float) -> str:
    """The signal that ended a process, SIGXCPU where it is the kernel's kill of one that spent its processor time."""
    return "SIGXCPU" if signal == "SIGKILL" and cpu_ms > CPU_MS * _SURELY_USED else signal


class CallProcess(Protocol):
    """A jailed process that waits for its one call: an nsjail's own, or a slot's child."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    output: int
    """A pipe with what the plugin prints; reading does not wait."""

    def limit_memory(self, plugin_bytes: int) -> None:
        """Let the plugin have this much on top of what the waiting interpreter holds."""

    def cpu_ms(self) -> float:
        """CPU time of all threads since the process was ready."""

    def peak_memory_bytes(self) -> int:
        """Largest resident memory so far; 0 when it is gone."""

    def refused(self) -> Sequence[str]:
        """System calls that were refused to its call so far, by name, where the kernel tells somebody."""

    def stop(self) -> bool:
        """Have every thread of it stop where it is; false where one process serves one call."""

    async def rests(self) -> bool:
        """Whether nothing of its call is left that could go on, once it was stopped."""

    def kill(self) -> None:
        """Kill it now, with every thread of it."""

    async def died(self) -> Death:
        """Wait for the end of a process that should be ending and say how. Raises TimeoutError when it does not end."""


def spawn(command: list[str], descriptors: dict[int, int]) -> int:
    """Start a program with exactly these descriptors by posix_spawn, which is safe beside the threads of gRPC.

    It leads a session of its own.
    """
    high = {target: fcntl.fcntl(source, fcntl.F_DUPFD_CLOEXEC, 16) for target, source in descriptors.items()}
    actions = [(os.POSIX_SPAWN_DUP2, source, target) for target, source in high.items()]
    environment = {"TMPDIR": tempfile.gettempdir()}
    try:
        return os.posix_spawn(command[0], command, environment, file_actions=actions, setsid=True)
    finally:
        for source in high.values():
            os.close(source)


def step_back(pid: int) -> None:
    """Let every thread of a process's group, and its session, come after ours for the processor.

    Most kernels share it between sessions first (autogroup) and look at nice levels only within them.
    """
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PGRP, os.getpgid(pid), NICE)
        Path(f"/proc/{pid}/autogroup").write_text(str(NICE))


def pipe() -> tuple[int, int]:
    """Make a pipe whose first end, the outer one, is read without waiting."""
    outer, inner = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(outer, False)
    return outer, inner


def drain(descriptor: int) -> bytes:
    """Return what can be read from a pipe without waiting, at most 64 KiB."""
    try:
        return os.read(descriptor, 65536)
    except BlockingIOError:
        return b""


def memory(pid: int, line: str) -> int:
    """Bytes of a line such as `VmSize` of a process's status; 0 when it is gone."""
    return _number(pid, line) * 1024


def _number(pid: int, line: str) -> int:
    """The number in a line of a process's status; 0 when it is gone."""
    try:
        descriptor = os.open(f"/proc/{pid}/status", os.O_RDONLY)
    except OSError:
        return 0
    try:
        status = os.read(descriptor, 4096).decode()
    except OSError:
        return 0
    finally:
        os.close(descriptor)
    found = re.search(rf"^{line}:\s*(\d+)( kB)?$", status, re.MULTILINE)
    return int(found[1]) if found else 0


def cpu_ms(pid: int) -> float:
    """CPU time of all threads of a process so far; 0 when it is gone."""
    process_clock = (~pid << 3) | 2
    try:
        return time.clock_gettime(process_clock) * 1000
    except OSError:
        return 0.0


def threads(pid: int) -> int:
    """How many threads a process has; 0 when it is gone."""
    return _number(pid, "Threads")


def silent(*descriptors: int | socket.socket) -> bool:
    """Whether nothing can be read of them, not even an end."""
    watch = select.poll()
    for descriptor in descriptors:
        watch.register(descriptor, select.POLLIN)
    return not watch.poll(0)


async def readable(descriptor: int | socket.socket) -> None:
    """Wait until there is something to read, or the end."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    loop.add_reader(descriptor, _resolve, future)
    try:
        await future
    finally:
        loop.remove_reader(descriptor)


def tells_sender(channel: socket.socket, yes: bool) -> None:
    """Have the kernel name the process behind every message that is received."""
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, int(yes))


def received(channel: socket.socket) -> tuple[bytes, int]:
    """Return a short message and the process that sent it, as the kernel says; no bytes at the end of the channel."""
    data, ancillary, _, _ = channel.recvmsg(256, socket.CMSG_SPACE(_CREDENTIALS.size))
    return data, _CREDENTIALS.unpack(ancillary[0][2])[0] if ancillary else 0


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
