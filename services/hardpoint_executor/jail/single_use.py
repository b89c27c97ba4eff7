"""Owns the jail of the single-use tier: an nsjail whose init is an interpreter that serves one call."""

import asyncio
import contextlib
import resource
from collections.abc import Callable
from functools import partial

from . import processes
from .launch import Kind
from .nsjail import Nsjail


class JailProcess(Nsjail):
    """One nsjail for one call; it is ready when its interpreter waits for it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def __init__(self, number: int, command: list[str], memory_limit: int, memory_line: str) -> None:
        super().__init__(number, command)
        self._memory_limit = memory_limit
        self._memory_line = memory_line
        self._held_memory = 0

    async def wait_ready(self) -> None:
        """Wait until the interpreter inside waits for its call. Raises JailError, with nsjail's own words."""
        await super().wait_ready()
        self.reader, self.writer = await asyncio.open_unix_connection(sock=self._channel)
        self._held_memory = processes.memory(self.pid, self._memory_line)

    @property
    def alive(self) -> bool:
        """True while the jail waits or works; false soon after its init ended."""
        return super().alive and not self.reader.at_eof()

    def limit_memory(self, plugin_bytes: int) -> None:
        """Let the plugin have this much on top of what the waiting interpreter holds."""
        limit = self._held_memory + plugin_bytes
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(self.pid, self._memory_limit, (limit, limit))

    def cpu_ms(self) -> float:
        """CPU time of all threads of the init since the jail was ready."""
        return max(0.0, processes.cpu_ms(self.pid) - self._boot_cpu_ms)

    def peak_memory_bytes(self) -> int:
        """Largest resident memory of the init so far; 0 when it is gone."""
        return processes.memory(self.pid, "VmHWM")

    def refused(self) -> tuple[str, ...]:
        """None: nsjail has nobody told."""
        return ()

    def stop(self) -> bool:
        """No: it serves one call."""
        return False

    async def rests(self) -> bool:
        """No: it serves one call."""
        return False

    async def close(self) -> None:
        """Kill the jail, wait until no process of it is left and close every descriptor."""
        if hasattr(self, "writer"):
            self.kill()
            self.writer.transport.abort()
        await super().close()


def _held_by(limit: int, line: str) -> Callable[[int, list[str]], JailProcess]:
    return partial(JailProcess, memory_limit=limit, memory_line=line)


# V8 reserves far more address space than it uses, so Node is held by its private writable memory instead.
SINGLE_USE = {
    "python": Kind(
        "python", "python", "python.cfg", "base.policy", (65534,), 100_000, _held_by(resource.RLIMIT_AS, "VmSize")
    ),
    "node": Kind(
        "node", "node", "node.cfg", "base.policy", (65534,), 110_000, _held_by(resource.RLIMIT_DATA, "VmData")
    ),
}
"""The kinds of single-use jails, by engine."""
