"""Owns the proof that the walls of walls.py hold on this machine, for whatever runs calls: every tier is tested alike.

It runs at every start, through the same path as any call: one plugin tries nearly everything at once, and is looked at
from outside while it waits; three more end as they must. What is found down is a reason not to be ready.
"""

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hardpoint_kit.errors import ResourceExhausted

from .interface import ClosedDoor, Door, JailCall, Limits, OnEvent, Outcome, OutcomeKind, ignore
from .walls import FORBIDDEN, OF_ENGINE, WALLS

_ENGINES = {"python": ("python", ".py"), "node": ("javascript", ".mjs")}
"""What each engine runs, and how its programs in probes/ end."""

_FOLDER = Path(__file__).parent / "probes"
_PROGRAMS = {path.name: path.read_text() for _, suffix in _ENGINES.values() for path in _FOLDER.glob(f"*{suffix}")}
_SECONDS = 10.0
_PAUSE_SECONDS = 0.05
_SHORT_SECONDS = 0.05
_FEW_BYTES = 16 * 1024
_NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
_USUAL_MASKS = frozenset({0o000, 0o002, 0o007, 0o022, 0o027, 0o077})


class Runs(Protocol):
    """What is tested: anything that runs calls with one engine."""

    async def run(self, call: JailCall, door: Door, on_event: OnEvent = ignore, /) -> Outcome:
        """See `Jail.run`."""

    async def describe(self, source: str, filename: str, limits: Limits | None = None, /) -> Outcome:
        """See `Jail.describe`."""


class Patient:
    """Waits for a jail longer than a caller would: a machine that is slow to start one still has to be tested."""

    def __init__(self, calls: Runs) -> None:
        self._calls = calls

    async def run(self, call: JailCall, door: Door, on_event: OnEvent = ignore, /) -> Outcome:
        """See `Jail.run`."""
        return await _again(lambda: self._calls.run(call, door, on_event))

    async def describe(self, source: str, filename: str, limits: Limits | None = None, /) -> Outcome:
        """See `Jail.describe`."""
        return await _again(lambda: self._calls.describe(source, filename, limits))


async def _again(attempt: Callable[[], Awaitable[Outcome]]) -> Outcome:
    until = time.monotonic() + _SECONDS
    while True:
        try:
            return await attempt()
        except ResourceExhausted:
            if time.monotonic() > until:
                raise
            await asyncio.sleep(_PAUSE_SECONDS)  # a full queue refuses at once


@dataclass(frozen=True, slots=True)
class Result:
    """Whether a wall of one jail holds; what it means that it does not, and what to do."""

    jail: str
    wall: str
    ok: bool
    meaning: str
    fix: str


async def walls_down(calls: Runs, engine: str, jail: str) -> list[str]:
    """Return what is wrong with a jail of an engine, called `jail`; empty when every wall holds."""
    results = await examine(calls, engine, jail)
    return [f"{down.jail}: {down.meaning} [{down.wall}]; {down.fix}" for down in results if not down.ok]


async def examine(calls: Runs, engine: str, jail: str, thorough: bool = False) -> list[Result]:
    """Try every wall of a jail, which the results call `jail`; with `thorough` every forbidden system call as well.

    Raises what `calls.run` raises when there is no jail to try.
    """
    calls = Patient(calls)
    if engine == "quickjs":
        return [await _examine_quickjs(calls, jail)]

    def call(program: str, action: str, asked: Mapping[str, Any], **limits: Any) -> JailCall:
        language, suffix = _ENGINES[engine]
        filename = program + suffix
        limits = {"wall_seconds": _SECONDS, "broker_calls": 1, **limits}
        return JailCall(language, _PROGRAMS[filename], filename, action, asked, limits=Limits(**limits))

    async def ends(wanted: OutcomeKind, action: str, forbidden: str = "setuid", **limits: Any) -> bool:
        made = call("ending", action, {"call": forbidden}, **limits)
        return (await calls.run(made, ClosedDoor())).kind is wanted

    mark = _mark()
    probe = call("probe", "probe", {"umask": mark})
    header = await calls.describe(probe.source, probe.filename)
    if not header.ok:
        return [_broken(jail, "header", "a module cannot be described", header)]
    observer = _Observer(mark)
    outcome = await calls.run(probe, observer)
    if not outcome.ok or not isinstance(outcome.value, dict):
        return [_broken(jail, "probe", "the probe did not end well", outcome)]
    held: dict[str, Any] = {**outcome.value, **observer.held}
    held["violation"], held["deadline"], held["output"] = await asyncio.gather(
        ends(OutcomeKind.VIOLATION, "forbidden"),
        ends(OutcomeKind.TIMEOUT, "spin", wall_seconds=_SHORT_SECONDS),
        ends(OutcomeKind.OUTPUT_LIMIT, "flood", output_bytes=_FEW_BYTES),
    )
    tried = dict(OF_ENGINE[engine])
    if thorough:
        tried |= FORBIDDEN[engine]
        for name in FORBIDDEN[engine]:
            held[name] = await ends(OutcomeKind.VIOLATION, "forbidden", name.removeprefix("call_"))
    return [Result(jail, name, held.get(name) is True, wall.meaning, wall.fix) for name, wall in tried.items()]


async def _examine_quickjs(calls: Runs, jail: str) -> Result:
    """QuickJS has nothing to try the walls with, and that is its wall; Python tries those of the slot around it."""
    filename = "quickjs.mjs"
    call = JailCall("javascript", _PROGRAMS[filename], filename, "probe", {}, limits=Limits(wall_seconds=_SECONDS))
    outcome = await calls.run(call, ClosedDoor())
    if not outcome.ok:
        return _broken(jail, "probe", "the probe did not end well", outcome)
    wall = WALLS["engine"]
    return Result(jail, "engine", outcome.value is True, wall.meaning, wall.fix)


def _broken(jail: str, wall: str, words: str, outcome: Outcome) -> Result:
    said = f"{outcome.error_name}: {outcome.message}" if outcome.error_name else outcome.message
    return Result(jail, wall, False, f"{words} ({outcome.kind}: {said})", "look into the executor's log")


def _mark() -> int:
    """A file creation mask that no other process is likely to have: it can be seen from outside."""
    return random.choice([mask for mask in range(0o777) if mask not in _USUAL_MASKS])  # noqa: S311 - no secret


class _Observer:
    """The door of the plugin that probes: when it asks for something, it is looked at."""

    def __init__(self, mark: int) -> None:
        self.held: dict[str, bool] = {}
        self._mark = f"{mark:04o}"

    async def ask(self, _service: str, _method: str, _arguments: Mapping[str, Any], /) -> Any:
        """Look at the plugin, and answer with nothing."""
        self.held = await asyncio.to_thread(_observed, self._mark)
        return {"status": 200, "headers": {}, "body": "", "encoding": "utf-8"}


def _observed(mark: str) -> dict[str, bool]:
    """What the kernel says of the process below ours that has put on the mark; nothing holds when there is none."""
    processes = {folder.name: _status(folder) for folder in Path("/proc").glob("[0-9]*")}
    marked = [pid for pid, status in processes.items() if status.get("Umask") == mark and _is_ours(pid, processes)]
    seen = [_seen(pid, processes[pid]) for pid in marked]
    return {wall: all(held[wall] for held in seen) for wall in seen[0]} if seen else {}


def _status(folder: Path) -> dict[str, str]:
    try:
        lines = (folder / "status").read_text().splitlines()
    except OSError:
        return {}  # it ended meanwhile
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _is_ours(pid: str, processes: Mapping[str, Mapping[str, str]]) -> bool:
    while pid not in ("", "0", str(os.getpid())):
        pid = processes.get(pid, {}).get("PPid", "")
    return pid == str(os.getpid())


def _seen(pid: str, status: Mapping[str, str]) -> dict[str, bool]:
    users = {int(user) for user in status["Uid"].split()}
    return {
        "seccomp": status.get("Seccomp") == "2",
        "no_new_privs": status.get("NoNewPrivs") == "1",
        "no_capabilities": all(int(status[f"Cap{kind}"], 16) == 0 for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")),
        # An ordinary user has no other user to give.
        "outside_user": os.geteuid() != 0 or not users & {0, os.geteuid()},
        "namespaces": _own_namespaces(pid),
    }


def _own_namespaces(pid: str) -> bool:
    def ids(process: str) -> list[str]:
        return [os.readlink(f"/proc/{process}/ns/{kind}") for kind in _NAMESPACES]

    try:
        return all(own != ours for own, ours in zip(ids(pid), ids("self"), strict=True))
    except OSError:
        return False
