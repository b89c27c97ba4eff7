"""Owns one call's talk with one jail: what goes in, what may come out, and the verdict on how it ended.

The first result or failure ends it; so do the deadline, a spent budget, too much output, a broken rule of the protocol
and the death of the jail. The verdict is decided here, outside, and whatever the jail says later is not heard.
"""

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import Mapping
from typing import Any

import structlog

from hardpoint_executor.limits import seconds, whole

from . import frames
from .attempts import is_usual
from .forbidden import WHAT_IT_DOES
from .interface import Attempt, BrokerDenied, Door, Limits, Log, OnEvent, Outcome, OutcomeKind, Progress
from .processes import CPU_MS, CallProcess, Death, drain

_log = structlog.get_logger(__name__)

_LEVELS = ("debug", "info", "warning", "error")
_PRINTED_SECONDS = seconds("jail.printed_seconds")
_ASKS_AT_ONCE = whole("jail.asks_at_once")
"""Asks that are answered at once: each holds its answer until the jail has taken it."""
_IN_LOOP = whole("jail.in_loop_kib")
"""Bytes of a frame; a larger one is read on a thread, so that the calls of others go on meanwhile."""
_FRAMES_AT_ONCE = whole("jail.frames_at_once")
"""After which others have their turn: what is in the reader's buffer already is read without waiting."""
_PRINTED_LINES = whole("jail.printed_lines")
_ATTEMPTS = whole("jail.attempts")
_ABORTS = ("SIGABRT", "SIGSEGV", "SIGTRAP", "SIGILL", "SIGBUS")
_NO_MEMORY = (b"out of memory", b"Allocation failed", b"std::bad_alloc")
"""What V8 and libc print when they abort for want of memory; a plugin that prints it only misnames its own crash."""


class _Ended(Exception):
    """Carries the outcome out of whatever noticed the end first."""

    def __init__(self, kind: OutcomeKind, message: str = "", detail: str = "", **rest: Any) -> None:
        self.outcome = Outcome(kind, message=message, detail=detail, **rest)


class Conversation:
    """One frame in, then a watch over everything that comes out until there is an outcome.

    A process that `stays` is not killed after a result, but stopped, for another call of its run; whether it `rests`,
    with nothing left that goes on, is known when the conversation is over.
    """

    def __init__(
        self, process: CallProcess, limits: Limits, door: Door, on_event: OnEvent, *, stays: bool = False
    ) -> None:
        self.rests = False
        self._stays = stays
        self._process = process
        self._limits = limits
        self._door = door
        self._on_event = on_event
        self._asks: set[asyncio.Task[None]] = set()
        self._turns = asyncio.Semaphore(_ASKS_AT_ONCE)
        self._denied: dict[int, BrokerDenied] = {}
        self._broker_calls = 0
        self._broker_bytes = 0
        self._log_bytes = 0
        self._attempts: dict[Attempt, None] = {}
        self._printed = bytearray()

    async def hold(self, first: bytes, answer: str) -> Outcome:
        """Send the first frame and return the outcome; `answer` is the key of the frame that means success."""
        loop = asyncio.get_running_loop()
        flooded: asyncio.Future[None] = loop.create_future()
        self._process.limit_memory(self._limits.memory_bytes)
        loop.add_reader(self._process.output, self._on_printed, flooded)
        started = time.monotonic()
        listening = asyncio.create_task(self._listen(first, answer))
        try:
            done, _ = await asyncio.wait(
                (listening, flooded), timeout=self._limits.wall_seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if flooded in done:
                limit = f"{self._limits.output_bytes} bytes"
                raise _Ended(OutcomeKind.OUTPUT_LIMIT, "the plugin printed too much", "stdout and stderr", limit=limit)
            if not done:
                raise _Ended(
                    OutcomeKind.TIMEOUT,
                    f"the action did not end within {self._limits.wall_seconds:g} s",
                    "wall clock",
                    limit=f"{self._limits.wall_seconds:g} s",
                )
            listening.result()
        except _Ended as ended:
            stays = self._stays and ended.outcome.ok and not self._asks and self._process.stop()
            outcome = self._measured(ended.outcome, started)
        finally:
            loop.remove_reader(self._process.output)
            listening.cancel()
            for ask in self._asks:
                ask.cancel()
        self.rests = stays and await self._process.rests()
        if not self.rests:
            self._process.kill()
        await self._pass_on_printed()
        return outcome

    async def _listen(self, first: bytes, answer: str) -> None:
        try:
            self._process.writer.write(first)
            cap = max(frames.FRAME_BYTES, self._limits.oversize_bytes)
            heard = 0
            while (body := await frames.read(self._process.reader, cap)) is not None:
                await self._hear(body, answer)
                heard += 1
                if heard % _FRAMES_AT_ONCE == 0:
                    await asyncio.sleep(0)
        except frames.TooManyNests as error:
            raise _Ended(
                OutcomeKind.OUTPUT_LIMIT,
                f"the plugin sent {error}",
                "lists and objects",
                limit=f"{frames.NESTS} lists and objects",
            ) from error
        except frames.ProtocolError as error:
            raise _Ended(OutcomeKind.PROTOCOL, f"the plugin sent {error}", "frame") from error
        try:
            death = await self._process.died()
        except TimeoutError:
            raise _Ended(OutcomeKind.PROTOCOL, "the plugin closed its channel", "channel") from None
        raise self._verdict(death)

    async def _hear(self, body: bytes, answer: str) -> None:
        key, value = frames.parse(body) if len(body) <= _IN_LOOP else await asyncio.to_thread(frames.parse, body)
        if not isinstance(value, dict):
            raise frames.ProtocolError(f'a frame "{key}" that holds no object')
        match key:
            case "ask":
                self._ask(value, len(body))
            case "log" | "progress":
                await self._event(key, value, len(body))
            case "attempt":
                self._attempt(value, len(body))
            case "failure":
                raise _Ended(
                    OutcomeKind.USER_ERROR,
                    frames.text(value, "message"),
                    error_name=frames.text(value, "name"),
                    stack=frames.stack(value.get("stack")),
                    denied=self._refused(value.get("ask")),
                )
            case _ if key == answer:
                if "value" not in value:
                    raise frames.ProtocolError(f'a frame "{key}" without a value')
                most = max(self._limits.output_bytes, self._limits.oversize_bytes)
                if len(body) > most:
                    raise _Ended(
                        OutcomeKind.OUTPUT_LIMIT,
                        f"the result is larger than {most} bytes",
                        "result",
                        limit=f"{most} bytes",
                    )
                raise _Ended(OutcomeKind.OK, value=value["value"])
            case _:
                raise frames.ProtocolError(f'a frame "{key[:40]}", which is not expected here')

    def _attempt(self, value: Mapping[str, Any], size: int) -> None:
        self._count_logged(size)
        attempt = Attempt(frames.text(value, "name"), frames.text(value, "target"), told_by="code")
        if len(self._attempts) < _ATTEMPTS and not is_usual(attempt.target):
            self._attempts[attempt] = None

    def _count_logged(self, size: int) -> None:
        self._log_bytes += size
        if self._log_bytes > self._limits.log_bytes:
            raise _Ended(OutcomeKind.BUDGET, f"more than {self._limits.log_bytes} bytes of log messages", "log_bytes")

    async def _event(self, key: str, value: Mapping[str, Any], size: int) -> None:
        self._count_logged(size)
        if key == "log":
            level = value.get("level")
            await self._on_event(Log(level if level in _LEVELS else "info", frames.text(value, "message")))
            return
        fraction = value.get("fraction")
        if not isinstance(fraction, int | float) or isinstance(fraction, bool):
            raise frames.ProtocolError("progress without a fraction")
        await self._on_event(Progress(min(1.0, max(0.0, float(fraction))), frames.text(value, "message")))

    def _ask(self, value: Mapping[str, Any], size: int) -> None:
        number, service, method = value.get("id"), value.get("service"), value.get("method")
        arguments = value.get("arguments", {})
        if not (isinstance(number, int) and isinstance(service, str) and isinstance(method, str)):
            raise frames.ProtocolError("an ask without id, service and method")
        if not isinstance(arguments, dict):
            raise frames.ProtocolError("an ask whose arguments are no object")
        self._broker_calls += 1
        if self._broker_calls > self._limits.broker_calls:
            raise _Ended(
                OutcomeKind.BUDGET, f"more than {self._limits.broker_calls} calls to the broker", "broker_calls"
            )
        self._broker_bytes += size
        if self._broker_bytes > self._limits.broker_bytes:
            raise _Ended(
                OutcomeKind.BUDGET, f"more than {self._limits.broker_bytes} bytes to the broker", "broker_bytes"
            )
        task = asyncio.create_task(self._answer_in_turn(number, service, method, arguments))
        self._asks.add(task)
        task.add_done_callback(self._asks.discard)

    async def _answer_in_turn(self, number: int, service: str, method: str, arguments: dict[str, Any]) -> None:
        async with self._turns:
            await self._answer(number, service, method, arguments)

    async def _answer(self, number: int, service: str, method: str, arguments: dict[str, Any]) -> None:
        try:
            value = await self._door.ask(service, method, arguments)
            reply = frames.encode({"reply": {"id": number, "value": value}})
        except BrokerDenied as denied:
            self._denied[number] = denied
            reply = _refusal(number, denied.code, denied.message)
        except Exception:
            _log.exception("the broker failed", service=service, method=method)
            reply = _refusal(number, "INTERNAL", f"{service} failed")
        with contextlib.suppress(ConnectionError):
            self._process.writer.write(reply)
            await self._process.writer.drain()

    def _refused(self, number: object) -> BrokerDenied | None:
        """The refusal that the plugin says it failed with: one that it was given, or none."""
        return self._denied.get(number) if isinstance(number, int) else None

    def _on_printed(self, flooded: asyncio.Future[None]) -> None:
        chunk = drain(self._process.output)
        self._printed += chunk
        if not chunk:
            asyncio.get_running_loop().remove_reader(self._process.output)
        elif len(self._printed) > self._limits.output_bytes and not flooded.done():
            asyncio.get_running_loop().remove_reader(self._process.output)
            flooded.set_result(None)

    def _verdict(self, death: Death) -> _Ended:
        """Say how a jail ended that died before it gave a result."""
        used = {"cpu_ms": death.cpu_ms, "peak_memory_bytes": death.peak_memory_bytes}
        self._printed += drain(self._process.output)
        if called := death.forbidden:
            message = f"the plugin, or a library of it, called {called}, which no plugin may: it {WHAT_IT_DOES[called]}"
            return _Ended(OutcomeKind.VIOLATION, message, death.signal, syscall=called, **used)
        match death.signal:
            case "":
                message = f"the plugin exited (status {death.status}) without a result"
                return _Ended(OutcomeKind.PROTOCOL, message, f"exit {death.status}", **used)
            case "SIGSYS":
                message = "the plugin made a system call that no plugin may; which one it was is not known here"
                return _Ended(OutcomeKind.VIOLATION, message, death.signal, **used)
            case "SIGXCPU":
                limit = f"{CPU_MS / 1000:g} s of processor time"
                message = f"the plugin used up its {limit}"
                return _Ended(OutcomeKind.TIMEOUT, message, death.signal, limit=limit, **used)
            case "SIGKILL":
                return _Ended(OutcomeKind.OOM, "the plugin was killed for its use of memory", death.signal, **used)
            case name if name in _ABORTS and any(words in self._printed for words in _NO_MEMORY):
                return _Ended(OutcomeKind.OOM, "the interpreter ran out of memory", name, **used)
            case name:
                return _Ended(OutcomeKind.CRASH, f"the interpreter died of {name}", name, **used)

    async def _pass_on_printed(self) -> None:
        """Give what was printed to the listener, for as long as it takes it."""
        self._printed += drain(self._process.output)
        if not self._printed:
            return
        printed = self._printed[: self._limits.output_bytes].decode(errors="replace")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PRINTED_SECONDS):
                lines = printed.splitlines()
                for line in lines[:_PRINTED_LINES]:
                    await self._on_event(Log("info", line[: frames.TEXT_CHARACTERS]))
                    await asyncio.sleep(0)  # so that others go on, and the time can end
                if (untold := len(lines) - _PRINTED_LINES) > 0:
                    await self._on_event(Log("warning", f"{untold} more lines were printed"))

    def _measured(self, outcome: Outcome, started: float) -> Outcome:
        """Add what the call used; read while the jail is still there."""
        wall_ms = (time.monotonic() - started) * 1000
        cpu_ms = outcome.cpu_ms or self._process.cpu_ms()
        peak = outcome.peak_memory_bytes or self._process.peak_memory_bytes()
        return dataclasses.replace(
            outcome,
            wall_ms=wall_ms,
            cpu_ms=cpu_ms,
            peak_memory_bytes=peak,
            broker_calls=self._broker_calls,
            log_bytes=self._log_bytes,
            attempts=(*map(Attempt, self._process.refused()), *self._attempts),
        )


def _refusal(number: int, code: str, message: str) -> bytes:
    return frames.encode({"reply": {"id": number, "error": {"code": code, "message": message}}})
