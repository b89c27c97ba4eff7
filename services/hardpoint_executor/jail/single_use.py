"""Owns the single-use tier: every call gets an nsjail of its own, started ahead, that never sees a second call.

It fails closed: when the walls cannot be built or do not hold, `reasons_not_ready` says why and nothing runs.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog

from hardpoint_kit.errors import HardpointError, InvalidArgument, Unavailable
from hardpoint_kit.telemetry import meter

from .calls import Calls
from .cgroups import Cgroups, prepare_cgroups
from .interface import LANGUAGES, Door, JailCall, Layer, Limits, OnEvent, Outcome, ignore
from .layers import Layers, build_layers
from .measuring import measured
from .nsjail import JailError, Launcher
from .pool import Pool, PoolOptions
from .rootfs import Rootfs, RootfsError, build_rootfs, default_folder
from .selftest import Patient, Result, examine, walls_down

_log = structlog.get_logger(__name__)
_ENGINES = {"python": "python", "javascript": "node"}
_cgroups = meter.create_gauge("hardpoint.jail.cgroups", description="1 for how the kernel holds jails: v1, v2 or none.")


@dataclass(frozen=True, slots=True)
class JailOptions:
    """Where root folders are kept, which languages are offered, and the size of each language's pool."""

    folder: Path | None = None
    languages: tuple[str, ...] = LANGUAGES
    require_cgroups: bool = False
    """Refuse to run where jails can only be held by the limits of their process."""
    pool: PoolOptions = field(default_factory=PoolOptions)
    libraries: tuple[str, ...] | None = None
    """Libraries that Python code may ask for, by name or `name==version`; None for those that are installed."""
    libraries_from: Path | None = None
    """Folder that they were installed to; this program's own packages when None."""


class SingleUseJails:
    """The `Jail` that spends one nsjail on every call."""

    def __init__(self, options: JailOptions | None = None) -> None:
        self._options = options or JailOptions()
        self.cgroups = Cgroups("none", "not started")
        """How jails are held by the kernel, for logs and status pages."""
        self._calls: dict[str, Calls] = {}
        self._libraries: Mapping[str, Layer] = {}
        self._reasons: list[str] = ["the jail has not been started"]

    async def start(self) -> None:
        """Build the root folders, start the first jails and test the walls; failures become reasons."""
        self.cgroups = prepare_cgroups()
        if self.cgroups.mode == "none" and self._options.require_cgroups:
            self._reasons = [f"cgroups are required and cannot be made: {self.cgroups.why}"]
            return
        self._reasons = ["the jail is starting"]
        reasons = [reason for language in self._options.languages for reason in await self._start(language)]
        self._reasons = reasons
        _cgroups.set(1, {"mode": self.cgroups.mode})
        _log.info(
            "jails are started", cgroups=self.cgroups.mode, why_not=self.cgroups.why, reasons=self.reasons_not_ready()
        )

    async def _start(self, language: str) -> list[str]:
        folder = self._options.folder or default_folder()
        try:
            rootfs, layers = await asyncio.to_thread(self._build, language, folder)
            pool = await self._filled(language, rootfs)
            if pool.failure and self.cgroups.mode != "none" and not self._options.require_cgroups:
                self.cgroups = Cgroups("none", pool.failure)
                await pool.close()
                pool = await self._filled(language, rootfs)
        except (JailError, RootfsError, OSError) as error:
            return [f"{language} cannot be jailed: {error}"]
        self._calls[language] = Calls(pool)
        if pool.failure:
            return []
        try:
            down = await walls_down(self._calls[language], _ENGINES[language])
            if layers is not None and not down:
                self._libraries = await measured(layers, Patient(self._calls[language]))
            return [f"the jail does not hold: {wall}" for wall in down]
        except HardpointError as error:
            return [f"the jail could not be tested: {error.message}"]
        except RootfsError as error:
            return [str(error)]

    def _build(self, language: str, folder: Path) -> tuple[Rootfs, Layers | None]:
        if language != "python":
            return build_rootfs(language, folder), None
        layers = build_layers(self._options.libraries, self._options.libraries_from, folder)
        return replace(build_rootfs(language, folder, layers.system), layers=layers.folder), layers

    async def _filled(self, language: str, rootfs: Rootfs) -> Pool:
        pool = Pool(Launcher(language, rootfs, self.cgroups.config), self._options.pool)
        await pool.fill()
        return pool

    async def examine(self) -> list[Result]:
        """Try every wall of every jail that starts, the forbidden system calls too."""
        started = {language: calls for language, calls in self._calls.items() if not calls.pool.failure}
        return [
            result
            for language, calls in started.items()
            for result in await examine(calls, _ENGINES[language], language, thorough=True)
        ]

    async def stop(self) -> None:
        """Kill every jail and leave no process behind."""
        self._reasons = ["the jail has been stopped"]
        await asyncio.gather(*(calls.pool.close() for calls in self._calls.values()))

    def engines(self, language: str) -> tuple[str, ...]:
        """The engines that are offered for a language; see `Jail.engines`."""
        return ("node",) if language == "javascript" else ()

    def libraries(self) -> Mapping[str, Layer]:
        """The libraries that are offered to Python, by name."""
        return self._libraries

    def reasons_not_ready(self) -> list[str]:
        """Say why nothing can be run now, each with what to do about it."""
        failures = {language: calls.pool.failure for language, calls in self._calls.items()}
        return self._reasons + [f"{language} jails do not start: {why}" for language, why in failures.items() if why]

    async def run(self, call: JailCall, door: Door, on_event: OnEvent = ignore) -> Outcome:
        """Run one action once; see `Jail.run`."""
        return await self._calls_in(call.language).run(call, door, on_event)

    async def describe(self, language: str, source: str, filename: str, limits: Limits | None = None) -> Outcome:
        """Run a module only as far as its header, and return that header as the value of the outcome."""
        return await self._calls_in(language).describe(source, filename, limits)

    async def strip(self, source: str, filename: str) -> Outcome:
        """Take the types out of TypeScript; see `Jail.strip`."""
        return await self._calls_in("javascript").strip(source, filename)

    def _calls_in(self, language: str) -> Calls:
        if language not in LANGUAGES:
            raise InvalidArgument({"language": f'"{language[:80]}" is not one of {", ".join(LANGUAGES)}'})
        if self._reasons or language not in self._calls:
            why = "; ".join(self._reasons) or f"{language} is not offered here"
            raise Unavailable(f"no code can be run: {why}", reason="JAIL_UNAVAILABLE")
        return self._calls[language]
