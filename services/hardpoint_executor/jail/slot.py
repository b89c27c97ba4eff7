"""Owns one slot: an nsjail that stays, whose zygote clones a child for every call, one at a time.

The zygote runs no plugin and alone holds the slot's control, so how a child ended is its word and never the child's.
A child that has ended stays a zombie until the next message to the zygote: its process id cannot come to mean another.
"""

import asyncio
import contextlib
import json
import os
import resource
import signal
import socket
from collections import deque
from pathlib import Path
from typing import Any, cast

from hardpoint_executor.limits import seconds

from . import processes
from .filters import filters
from .frames import ProtocolError, parse
from .launch import Kind
from .nsjail import JailError, Nsjail
from .policy import name_of
from .processes import Death, drain, pipe, readable, received, silent, tells_sender
from .sharing import Shared

_CHILD_SECONDS = 5.0
_DEATH_SECONDS = 2.5
_MOST_CPU_MS = seconds("slots.shared_cpu_seconds") * 1000
"""After which a child serves no other call: the limit of its process, which is a call's last resort, is far from it."""
_SACRIFICED_FIRST = "500"
"""Of the machine's processes; inside its own cgroup a slot's largest process goes first, which is never the zygote."""
_END = b"."
"""What a message says does not matter: each one ends the child that is there."""


class Slot(Nsjail):
    """One started slot. `owner` is whom it serves, set when it first does: it never serves another."""

    channel_type = socket.SOCK_SEQPACKET

    def __init__(self, number: int, command: list[str]) -> None:
        super().__init__(number, command)
        self.owner: tuple[str, str] | None = None
        self.calls = 0
        self.used = 0.0
        """When its last call ended, by the monotonic clock."""
        self.child: Child | None = None
        self.shared: Shared | None = None
        """What the calls of its child have in common, where it has served one; None while it is as it was made."""
        self.child_since = 0.0
        """When its child was given its first call, by the monotonic clock."""
        self._held_memory = 0
        self._answers: deque[asyncio.Future[dict[str, Any]]] = deque()

    async def wait_ready(self) -> None:
        """Wait until the zygote is ready and its first child waits for a call. Raises JailError."""
        await super().wait_ready()
        with contextlib.suppress(PermissionError):
            await asyncio.to_thread(Path(f"/proc/{self.pid}/oom_score_adj").write_text, _SACRIFICED_FIRST)
        self._loop.add_reader(self._channel, self._hear)
        try:
            async with asyncio.timeout(_CHILD_SECONDS):
                answer = await self._ask(filters().first())
                await self._ask(filters().children(frozenset(answer["told"]), answer["why_not"]))
        except TimeoutError:
            raise JailError("a slot did not take its filters in time") from None
        self._held_memory = processes.memory(self.pid, "VmSize")
        await self.renew_child()

    @property
    def alive(self) -> bool:
        """True while the slot and its child wait or work; false soon after either ended."""
        return super().alive and (self.child is None or not self.child.reader.at_eof())

    async def renew_child(self) -> None:
        """End the child that is there and wait until another one waits for a call. Raises JailError."""
        if self.child is not None:
            self.child.close()
        child = Child(self, self._held_memory)
        try:
            async with asyncio.timeout(_CHILD_SECONDS):
                await self._ask(_END, child.inside)
                await child.wait_ready()
        except (TimeoutError, JailError) as error:
            child.close()
            raise JailError(f"a slot has no child: {error or 'it was not ready in time'}") from error
        self.child, self.shared = child, None

    async def reap(self) -> dict[str, Any]:
        """Have the zygote end its child and return how it ended. Raises JailError when the slot is broken."""
        return await self._ask(_END)

    async def close(self) -> None:
        """Kill the slot, wait until no process of it is left and close every descriptor."""
        self._loop.remove_reader(self._channel)
        self._break("it was closed")
        if self.child is not None:
            self.child.close()
        await super().close()

    async def _ask(self, message: bytes, descriptors: tuple[int, ...] = ()) -> dict[str, Any]:
        answer: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        try:
            socket.send_fds(self._channel, [message], descriptors)
        except OSError as error:
            raise JailError(f"a slot is broken: {error}") from error
        self._answers.append(answer)
        return await answer

    def hear_all(self) -> None:
        """Take what the zygote has said until now."""
        while self._channel.fileno() >= 0 and self._hear():
            pass

    def _hear(self) -> bool:
        """Take one message; false when there is none."""
        try:
            message = self._channel.recv(4096)
        except BlockingIOError:
            return False
        except OSError:
            message = b""
        if not message:
            self._loop.remove_reader(self._channel)
            self._break(drain(self.output).decode(errors="replace") or "its zygote is gone")
            return False
        said = json.loads(message)
        if "refused" in said:
            if self.child is not None:
                self.child.told.append(name_of(said["refused"]))
        elif self._answers and not (answer := self._answers.popleft()).done():
            answer.set_result(said)
        return True

    def _break(self, why: str) -> None:
        self.kill()
        while self._answers:
            if not (answer := self._answers.popleft()).done():
                answer.set_exception(JailError(f"a slot is broken: {why}"))


class Child:
    """A process of a slot that serves one call."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def __init__(self, slot: Slot, held_memory: int) -> None:
        self.slot = slot
        self.told: list[str] = []
        """System calls that were refused to its call, by name."""
        self._held_memory = held_memory
        self._pid = 0
        self._process: int | None = None
        self._measured_cpu_ms = 0.0
        self._closed = False
        self._channel, self._inside = socket.socketpair()
        self._channel.setblocking(False)
        tells_sender(self._channel, True)
        self.output, self._printed = pipe()
        self.inside = (self._inside.fileno(), self._printed)

    async def wait_ready(self) -> None:
        """Wait until it waits for its call. Raises JailError."""
        self._close_inside()
        await readable(self._channel)
        data, self._pid = received(self._channel)
        try:
            if parse(data[4:])[0] != "ready":
                raise ProtocolError("no ready frame")
        except ProtocolError as error:
            raise JailError(drain(self.output).decode(errors="replace") or str(error)) from error
        self._process = os.pidfd_open(self._pid)
        tells_sender(self._channel, False)
        self._boot_cpu_ms = processes.cpu_ms(self._pid)
        self.reader, self.writer = await asyncio.open_unix_connection(sock=self._channel)

    def limit_memory(self, plugin_bytes: int) -> None:
        """Let the plugin have this much on top of what the waiting interpreter holds."""
        limit = self._held_memory + plugin_bytes
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(self._pid, resource.RLIMIT_AS, (limit, limit))

    def cpu_ms(self) -> float:
        """CPU time of all threads since the child was ready, or since its last call was measured."""
        self._measured_cpu_ms = processes.cpu_ms(self._pid)
        return max(0.0, self._measured_cpu_ms - self._boot_cpu_ms)

    def peak_memory_bytes(self) -> int:
        """Largest resident memory so far; 0 when it is gone."""
        return processes.memory(self._pid, "VmHWM")

    def refused(self) -> list[str]:
        """System calls that were refused to its call so far, each once, by name."""
        self.slot.hear_all()
        return self.told

    def stop(self) -> bool:
        """Have every thread of it stop where it is, until it goes on with another call of its run."""
        self._signal(signal.SIGSTOP)
        return True

    async def rests(self) -> bool:
        """Whether nothing of its call is left, once it was stopped: no thread, no message; and time for another."""
        transport = self._transport
        if transport.is_closing():
            return False
        transport.pause_reading()
        late = asyncio.create_task(self.reader.read(1))
        await asyncio.sleep(0)  # what the reader holds already is read at once
        unheard = late.done() or transport.get_write_buffer_size() > 0
        late.cancel()
        await asyncio.gather(late, return_exceptions=True)
        return not unheard and self._measured_cpu_ms < _MOST_CPU_MS and processes.threads(self._pid) == 1

    @property
    def waits(self) -> bool:
        """Whether it has said nothing since it `rests`, and can go on."""
        return processes.threads(self._pid) == 1 and silent(self._channel, self.output)

    def go_on(self) -> None:
        """Let it serve another call; what it used since the last one was measured is that call's."""
        self._boot_cpu_ms = self._measured_cpu_ms
        self.told = []
        self._transport.resume_reading()
        self._signal(signal.SIGCONT)

    @property
    def _transport(self) -> asyncio.Transport:
        return cast("asyncio.Transport", self.writer.transport)

    def kill(self) -> None:
        """Kill it now, with every thread of it."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and not self._closed:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._process, number)

    async def died(self) -> Death:
        """Wait for the end of a child that should be ending; the zygote says how it was. Raises TimeoutError."""
        assert self._process is not None
        async with asyncio.timeout(_DEATH_SECONDS):
            await readable(self._process)
            try:
                end = await self.slot.reap()
            except JailError:
                return Death("the end of its slot", 0, 0.0, 0)
        name = signal.Signals(end["signal"]).name if end["signal"] else ""
        name = processes.killed_by(name, end["cpu_ms"])
        forbidden = "" if end["forbidden"] is None else name_of(end["forbidden"])
        cpu_ms = max(0.0, end["cpu_ms"] - self._boot_cpu_ms)
        return Death(name, end["status"], cpu_ms, end["peak"], forbidden)

    def close(self) -> None:
        """Kill it and close every descriptor; the zygote reaps it at its next message."""
        if self._closed:
            return
        self.kill()
        self._closed = True
        self._close_inside()
        if hasattr(self, "writer"):
            self.writer.transport.abort()
        self._channel.close()
        os.close(self.output)
        if self._process is not None:
            os.close(self._process)

    def _close_inside(self) -> None:
        if self._inside.fileno() >= 0:
            self._inside.close()
            os.close(self._printed)


# As root a zygote and its children are different users, outside too.
SLOTS = {
    "python": Kind("python slot", "python", "slot.cfg", "zygote.policy", (0, 65534), 120_000, Slot),
    "quickjs": Kind("quickjs slot", "quickjs", "slot.cfg", "zygote.policy", (0, 65534), 130_000, Slot),
}
"""The kinds of slots, by engine."""
