"""Owns the single-use tier: every call gets an nsjail of its own, started ahead, that never sees a second call.

It fails closed: when the walls cannot be built or do not hold, `reasons_not_ready` says why and nothing runs.
"""

import asyncio
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from hardpoint_kit.errors import HardpointError, InvalidArgument, Unavailable

from . import frames
from .cgroups import Cgroups, prepare_cgroups
from .conversation import Conversation
from .interface import LANGUAGES, ClosedDoor, Door, JailCall, Limits, OnEvent, Outcome, ignore
from .nsjail import JailError, Launcher
from .pool import Pool, PoolOptions
from .rootfs import RootfsError, build_rootfs, default_folder
from .selftest import walls_down

_log = structlog.get_logger(__name__)

ACTION = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_NEVER_ACTIONS = frozenset({"constructor", "prototype", "hasOwnProperty", "toString", "valueOf"})
_CALL_BYTES = 4 * 1024 * 1024
_DESCRIBE_LIMITS = Limits(wall_seconds=5.0, output_bytes=256 * 1024)


@dataclass(frozen=True, slots=True)
class JailOptions:
    """Where root folders are kept, which languages are offered, and the size of each language's pool."""

    folder: Path | None = None
    languages: tuple[str, ...] = LANGUAGES
    require_cgroups: bool = False
    """Refuse to run where jails can only be held by the limits of their process."""
    pool: PoolOptions = field(default_factory=PoolOptions)


class SingleUseJails:
    """The `Jail` that spends one nsjail on every call."""

    def __init__(self, options: JailOptions | None = None) -> None:
        self._options = options or JailOptions()
        self.cgroups = Cgroups("none", "not started")
        """How jails are held by the kernel, for logs and status pages."""
        self._pools: dict[str, Pool] = {}
        self._reasons: list[str] = ["the jail has not been started"]

    async def start(self) -> None:
        """Build the root folders, start the first jails and test the walls; failures become reasons."""
        self.cgroups = prepare_cgroups()
        if self.cgroups.mode == "none" and self._options.require_cgroups:
            self._reasons = [
                f"cgroups are required and cannot be made ({self.cgroups.why}): run as root or turn it off"
            ]
            return
        self._reasons = []
        reasons = [reason for language in self._options.languages for reason in await self._start(language)]
        self._reasons = reasons
        _log.info("jails are started", cgroups=self.cgroups.mode, why_not=self.cgroups.why, reasons=reasons)

    async def _start(self, language: str) -> list[str]:
        folder = self._options.folder or default_folder()
        try:
            rootfs = await asyncio.to_thread(build_rootfs, language, folder)
            pool = Pool(Launcher(language, rootfs, self.cgroups.config), self._options.pool)
        except (JailError, RootfsError, OSError) as error:
            return [f"{language} cannot be jailed: {error}"]
        self._pools[language] = pool
        await pool.fill()
        if pool.failure:
            return []
        try:
            return [f"the jail does not hold: {down}" for down in await walls_down(self, language)]
        except HardpointError as error:
            return [f"the jail could not be tested: {error.message}"]

    async def stop(self) -> None:
        """Kill every jail and leave no process behind."""
        self._reasons = ["the jail has been stopped"]
        await asyncio.gather(*(pool.close() for pool in self._pools.values()))

    def reasons_not_ready(self) -> list[str]:
        """Say why nothing can be run now, each with what to do about it."""
        failures = [f"{name} jails do not start: {pool.failure}" for name, pool in self._pools.items() if pool.failure]
        return self._reasons + failures

    async def run(self, call: JailCall, door: Door, on_event: OnEvent = ignore) -> Outcome:
        """Run one action once; see `Jail.run`."""
        if not ACTION.fullmatch(call.action) or call.action in _NEVER_ACTIONS:
            raise InvalidArgument(
                {"action": f'"{call.action[:80]}" cannot be the name of an action'}, reason="ACTION_NAME_INVALID"
            )
        frame = {
            "call": {
                "language": call.language,
                "source": call.source,
                "filename": call.filename,
                "action": call.action,
                "input": call.input,
                "settings": dict(call.settings),
                "secrets": dict(call.secrets),
                "permissions": list(call.permissions),
                "traceparent": call.traceparent,
            }
        }
        return await self._hold(call.language, frame, "result", call.limits, door, on_event)

    async def describe(self, language: str, source: str, filename: str, limits: Limits | None = None) -> Outcome:
        """Run a module only as far as its header, and return that header as the value of the outcome."""
        frame = {"describe": {"source": source, "filename": filename}}
        return await self._hold(language, frame, "header", limits or _DESCRIBE_LIMITS, ClosedDoor(), ignore)

    async def _hold(
        self, language: str, frame: dict[str, Any], answer: str, limits: Limits, door: Door, on_event: OnEvent
    ) -> Outcome:
        pool = self._pool(language)
        first = _encoded(frame)
        process = await pool.take()
        try:
            return await Conversation(process, limits, door, on_event).hold(first, answer)
        finally:
            pool.discard(process)

    def _pool(self, language: str) -> Pool:
        if language not in LANGUAGES:
            raise InvalidArgument({"language": f'"{language[:80]}" is not one of {", ".join(LANGUAGES)}'})
        if self._reasons or language not in self._pools:
            why = "; ".join(self._reasons) or f"{language} is not offered here"
            raise Unavailable(f"no code can be run: {why}", reason="JAIL_UNAVAILABLE")
        return self._pools[language]


def _encoded(frame: dict[str, Any]) -> bytes:
    try:
        first = frames.encode(frame)
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidArgument({"input": f"is not JSON: {error}"}) from error
    if len(first) > _CALL_BYTES:
        raise InvalidArgument({"input": f"source and input are larger than {_CALL_BYTES} bytes together"})
    return first
