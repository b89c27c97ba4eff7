"""Owns the jail as the executor sees it: both tiers behind one interface, and which call goes to which.

Python has slots unless the call or the operator asks for more; everything else has a single-use nsjail for every call.
It fails closed: when the walls cannot be built or do not hold, `reasons_not_ready` says why and nothing runs.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import structlog

from hardpoint_kit.errors import HardpointError, InvalidArgument, Unavailable
from hardpoint_kit.telemetry import meter

from .calls import Calls, Pool
from .cgroups import Cgroups, prepare_cgroups
from .holding import Holding
from .interface import ENGINES, LANGUAGES, STRIPS_TYPES, Door, JailCall, Layer, Limits, OnEvent, Outcome, ignore
from .launch import Launcher
from .layers import Layers, build_layers
from .measuring import measured
from .nsjail import JailError
from .pool import Pool as SingleUsePool
from .pool import PoolOptions
from .rootfs import NoEngine, Rootfs, RootfsError, build_rootfs, default_folder
from .selftest import Patient, Result, examine, walls_down
from .single_use import SINGLE_USE
from .slot import SLOTS
from .slots import SlotOptions, Slots

_log = structlog.get_logger(__name__)

_cgroups = meter.create_gauge("hardpoint.jail.cgroups", description="1 for how the kernel holds jails: v1, v2 or none.")


_ROOTS = {"python": "python", "quickjs": "python", "node": "javascript"}
"""The root folder of each engine; QuickJS is a module of the Python in it."""
_BUILDS = 3
_LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class JailOptions:
    """Where root folders are kept, which languages are offered, and the sizes of what runs them."""

    folder: Path | None = None
    languages: tuple[str, ...] = LANGUAGES
    require_cgroups: bool = False
    """Refuse to run where jails can only be held by the limits of their process."""
    pool: PoolOptions = field(default_factory=PoolOptions)
    """Of the single-use jails of each engine."""
    libraries: tuple[str, ...] | None = None
    """Libraries that Python code may ask for, by name or `name==version`; None for those that are installed."""
    libraries_from: Path | None = None
    """Folder that they were installed to; this program's own packages when None."""
    slots: SlotOptions | None = field(default_factory=SlotOptions)
    """None: an nsjail of its own for every call."""


@dataclass(frozen=True, slots=True)
class _Tier:
    """A way to run a language: with which engine, in slots or not."""

    language: str
    engine: str
    in_slots: bool
    seldom: bool = False
    """Whether slots take the usual call."""

    @property
    def name(self) -> str:
        """What it is called in reasons and results."""
        return f"{self.engine} in slots" if self.in_slots else self.language


class Jails:
    """The `Jail` of the executor."""

    def __init__(self, options: JailOptions | None = None) -> None:
        self._options = options or JailOptions()
        self.cgroups = Cgroups("none", "not started")
        """How jails are held by the kernel, for logs and status pages."""
        self._calls: dict[tuple[str, bool], Calls[Any]] = {}
        """By engine, and whether in slots."""
        self._building = asyncio.Lock()
        """Held while a root folder is built, which is that of several engines."""
        self._holding = Holding()
        self._missing: dict[str, str] = {}
        """Engines that this machine does not have, and what would bring them."""
        self._libraries: Mapping[str, Layer] = {}
        self._untested: dict[tuple[str, bool], asyncio.Task[None]] = {}
        """Tiers whose first jails did not start, and who tests their walls once some do."""
        self._reasons: list[str] = ["the jail has not been started"]

    async def start(self) -> None:
        """Build the root folders, start the first jails and test the walls; failures become reasons."""
        self.cgroups = prepare_cgroups()
        if self.cgroups.mode == "none" and self._options.require_cgroups:
            self._reasons = [f"cgroups are required and cannot be made: {self.cgroups.why}"]
            return
        self._reasons = ["the jail is starting"]
        reasons = chain.from_iterable(await asyncio.gather(*(self._start(tier) for tier in self._tiers())))
        missing = chain.from_iterable(map(self._without, self._options.languages))
        self._reasons = [*reasons, *missing]
        _cgroups.set(1, {"mode": self.cgroups.mode})
        _log.info(
            "jails are started", cgroups=self.cgroups.mode, why_not=self.cgroups.why, reasons=self.reasons_not_ready()
        )

    def _tiers(self) -> list[_Tier]:
        tiers = []
        for language in self._options.languages:
            for engine in ENGINES[language]:
                in_slots = engine in SLOTS and self._options.slots is not None
                if in_slots:
                    tiers.append(_Tier(language, engine, True))
                if engine in SINGLE_USE:
                    tiers.append(_Tier(language, engine, False, seldom=in_slots))
        return tiers

    def _without(self, language: str) -> list[str]:
        """Why a language cannot be run, where no engine of it is there; one that has another is no reason."""
        missing = {engine: why for engine, why in self._missing.items() if engine in ENGINES[language]}
        if missing and not self._offered(language, (True, False)):
            return [f"{language} cannot be jailed: {why}" for why in missing.values()]
        for engine, why in missing.items():
            _log.warning("an engine is not offered", engine=engine, why=why)
        return []

    async def _start(self, tier: _Tier) -> list[str]:
        folder = self._options.folder or default_folder()
        try:
            async with self._building:
                rootfs, layers = await asyncio.to_thread(self._held, _ROOTS[tier.engine], folder)
            pool = await self._filled(tier, rootfs, self.cgroups)
            if pool.failure and self.cgroups.mode != "none" and not self._options.require_cgroups:
                pool = await self._without_cgroups(tier, rootfs, pool)
        except NoEngine as error:
            self._missing[tier.engine] = str(error)
            return []
        except (JailError, RootfsError, OSError) as error:
            return [f"{tier.engine} cannot be jailed: {error}"]
        key = tier.engine, tier.in_slots
        calls = self._calls[key] = Calls(pool)
        if pool.failure:
            self._untested[key] = asyncio.create_task(self._test_later(key, tier, layers))
            return []
        return await self._test(tier, calls, layers)

    async def _test_later(self, key: tuple[str, bool], tier: _Tier, layers: Layers | None) -> None:
        """Test what starts after all before anything runs in it: until then it is a reason."""
        calls = self._calls[key]
        while calls.pool.failure:
            await asyncio.sleep(_LOOK_SECONDS)
        self._reasons = self._reasons + await self._test(tier, calls, layers)
        del self._untested[key]

    async def _test(self, tier: _Tier, calls: Calls[Any], layers: Layers | None) -> list[str]:
        """Try the walls of a tier, and measure the libraries in it; what is wrong with either."""
        try:
            down = await walls_down(calls, tier.engine, tier.name)
            if layers is not None and not tier.in_slots and not down:
                self._libraries = await measured(layers, Patient(calls))
            return [f"the jail does not hold: {wall}" for wall in down]
        except HardpointError as error:
            return [f"the jail could not be tested: {error.message}"]
        except RootfsError as error:
            return [str(error)]

    def _held(self, root: str, folder: Path) -> tuple[Rootfs, Layers | None]:
        """Build what is mounted, again if another executor removed it as unused just before it was held."""
        for _ in range(_BUILDS):
            rootfs, layers = self._build(root, folder)
            if self._holding.hold(filter(None, (rootfs.root, rootfs.sdk, rootfs.layers))):
                return rootfs, layers
        raise RootfsError(f'what is built in "{folder}" disappears: give this executor a folder of its own')

    def _build(self, root: str, folder: Path) -> tuple[Rootfs, Layers | None]:
        if root != "python":
            return build_rootfs(root, folder), None
        layers = build_layers(self._options.libraries, self._options.libraries_from, folder)
        return build_rootfs(root, folder, layers.system, layers.folder), layers

    async def _without_cgroups(self, tier: _Tier, rootfs: Rootfs, failed: Pool[Any]) -> Pool[Any]:
        """A pool that does without cgroups, where it was they that nsjail could not use; else the one that failed."""
        without = Cgroups("none", failed.failure)
        pool = await self._filled(tier, rootfs, without)
        if pool.failure:
            await pool.close()
            return failed
        self.cgroups = without
        await failed.close()
        return pool

    async def _filled(self, tier: _Tier, rootfs: Rootfs, cgroups: Cgroups) -> Pool[Any]:
        pool: Pool[Any]
        if tier.in_slots:
            pool = Slots(Launcher(SLOTS[tier.engine], rootfs, cgroups.config), self._options.slots or SlotOptions())
        else:
            launcher = Launcher(SINGLE_USE[tier.engine], rootfs, cgroups.config)
            pool = SingleUsePool(launcher, self._options.pool, seldom=tier.seldom)
        await pool.fill()
        return pool

    async def examine(self) -> list[Result]:
        """Try every wall of every jail that starts, the forbidden system calls too."""
        results = []
        for tier in self._tiers():
            calls = self._calls.get((tier.engine, tier.in_slots))
            if calls is not None and not calls.pool.failure:
                results += await examine(calls, tier.engine, tier.name, thorough=True)
        return results

    async def stop(self) -> None:
        """Kill every jail and leave no process behind."""
        self._reasons = ["the jail has been stopped"]
        for testing in self._untested.values():
            testing.cancel()
        await asyncio.gather(*self._untested.values(), return_exceptions=True)
        await asyncio.gather(*(calls.pool.close() for calls in self._calls.values()))
        self._holding.release()

    def engines(self, language: str, strict: bool = False) -> tuple[str, ...]:
        """The engines that are offered for a language; see `Jail.engines`."""
        return self._offered(language, (False,) if strict else (False, True)) if len(ENGINES[language]) > 1 else ()

    def _offered(self, language: str, tiers: tuple[bool, ...]) -> tuple[str, ...]:
        return tuple(name for name in ENGINES.get(language, ()) if any((name, tier) in self._calls for tier in tiers))

    def libraries(self) -> Mapping[str, Layer]:
        """The libraries that are offered to Python, by name."""
        return self._libraries

    def reasons_not_ready(self) -> list[str]:
        """Say why nothing can be run now, each with what to do about it."""
        reasons = list(self._reasons)
        for key, calls in self._calls.items():
            jails = f"{key[0]} {'slots' if key[1] else 'jails'}"
            if calls.pool.failure:
                reasons.append(f"{jails} do not start: {calls.pool.failure}")
            elif key in self._untested:
                reasons.append(f"{jails} start by now, and their walls are being tested")
        return reasons

    async def run(self, call: JailCall, door: Door, on_event: OnEvent = ignore) -> Outcome:
        """Run one action once; see `Jail.run`."""
        return await self._calls_of(call.language, call.engine, call.strict).run(call, door, on_event)

    def end_run(self, org: str, run: str) -> None:
        """Let no jail wait for another call of this run."""
        for calls in self._calls.values():
            calls.pool.end_run(org, run)

    async def describe(
        self, language: str, source: str, filename: str, limits: Limits | None = None, org: str = ""
    ) -> Outcome:
        """Run a module only as far as its header; see `Jail.describe`."""
        engine = next(iter(self._offered(language, (True, False))), "")
        return await self._calls_of(language, engine).describe(source, filename, limits, org)

    async def strip(self, source: str, filename: str, org: str = "") -> Outcome:
        """Take the types out of TypeScript; see `Jail.strip`."""
        return await self._calls_of("javascript", STRIPS_TYPES).strip(source, filename, org)

    def _calls_of(self, language: str, engine: str = "", strict: bool = False) -> Calls[Any]:
        if language not in LANGUAGES:
            raise InvalidArgument({"language": f'"{language[:80]}" is not one of {", ".join(LANGUAGES)}'})
        engines = ENGINES[language]
        if engine and engine not in engines:
            raise InvalidArgument({"engine": f'"{engine[:80]}" is not one of {", ".join(engines)}'})
        engine = engine or engines[0]
        single_use = self._calls.get((engine, False))
        calls = single_use if strict else self._calls.get((engine, True), single_use)
        if self._reasons or self._untested or calls is None:
            alone = f"{engine} runs in slots alone" if engine not in SINGLE_USE else f"{language} is not offered here"
            why = "; ".join(self.reasons_not_ready()) or alone
            raise Unavailable(f"no code can be run: {why}", reason="JAIL_UNAVAILABLE")
        return calls
