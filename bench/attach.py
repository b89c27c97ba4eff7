"""What it costs to put a process into its control groups: `.venv/bin/python bench/attach.py`, as root.

The write to `cgroup.procs` or `tasks` that nsjail makes, after a pause and back to back; a child that is cloned into
its group of version 2 instead (CLONE_INTO_CGROUP); and the start of our jails with groups and without, in turns.
"""

import asyncio
import ctypes
import os
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from hardpoint_executor.jail.cgroups import Cgroups, prepare_cgroups
from hardpoint_executor.jail.launch import Launcher
from hardpoint_executor.jail.layers import build_layers
from hardpoint_executor.jail.rootfs import build_rootfs, default_folder
from hardpoint_executor.jail.single_use import SINGLE_USE
from hardpoint_executor.jail.slot import SLOTS

TIMES = 40
PAUSE_SECONDS = 0.1
_CLONE3, _INTO_CGROUP, _SIGCHLD = 435, 1 << 33, 17


def shown(name: str, milliseconds: list[float]) -> None:
    milliseconds.sort()
    late = milliseconds[len(milliseconds) * 95 // 100]
    print(f"{name:38} p50 {statistics.median(milliseconds):7.2f} ms   p95 {late:7.2f} ms")


def timed(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    return (time.perf_counter() - begun) * 1000


def attached(group: Path, pause: float) -> list[float]:
    """Times of the write that puts a waiting child into a group."""
    into = next(group / name for name in ("cgroup.procs", "tasks") if (group / name).exists())
    times = []
    for _ in range(TIMES):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(writing)
            os.read(reading, 1)
            os._exit(0)
        time.sleep(pause)
        times.append(timed(lambda child=child: into.write_text(str(child))))
        os.close(writing)
        os.close(reading)
        os.waitpid(child, 0)
    return times


def cloned(group: Path | None) -> list[float]:
    """Times of a clone3 that puts its child into a group at once; without a group, of a plain one."""
    libc = ctypes.CDLL(None, use_errno=True)
    times = []
    for _ in range(TIMES):
        folder = os.open(group, os.O_RDONLY) if group else 0
        arguments = (ctypes.c_uint64 * 11)(_INTO_CGROUP if group else 0, 0, 0, 0, _SIGCHLD, 0, 0, 0, 0, 0, folder)
        time.sleep(PAUSE_SECONDS)
        begun = time.perf_counter()
        child = libc.syscall(_CLONE3, arguments, ctypes.sizeof(arguments))
        if child == 0:
            os._exit(0)
        times.append((time.perf_counter() - begun) * 1000)
        if child < 0:
            raise OSError(ctypes.get_errno(), "clone3")
        os.waitpid(child, 0)
        if group:
            os.close(folder)
    return times


async def started(launchers: Iterable[Launcher]) -> list[list[float]]:
    """Times from the start of a jail until it is ready, of several launchers in turns."""
    launchers = list(launchers)
    times: list[list[float]] = [[] for _ in launchers]
    for _ in range(TIMES):
        for launcher, taken in zip(launchers, times, strict=True):
            await asyncio.sleep(PAUSE_SECONDS)
            begun = time.perf_counter()
            jail = await launcher.start()
            taken.append((time.perf_counter() - begun) * 1000)
            await launcher.discard(jail)
    return times


def main() -> None:
    held = prepare_cgroups()
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    two = next((Path(fields[1]) for fields in mounts if fields[2] == "cgroup2"), None)
    one = next((Path(fields[1]) for fields in mounts if fields[2] == "cgroup" and "memory" in fields[3]), None)
    for version, mount in (("v1", one), ("v2", two)):
        if mount is None:
            continue
        group = mount / "attach-bench"
        group.mkdir(exist_ok=True)
        shown(f"{version}: a write after a pause", attached(group, PAUSE_SECONDS))
        shown(f"{version}: writes back to back", attached(group, 0))
        if version == "v2":
            shown("clone3", cloned(None))
            shown("clone3 into a group", cloned(group))
        group.rmdir()
    layers = build_layers(None, None, default_folder())
    rootfs = replace(build_rootfs("python", default_folder(), layers.system), layers=layers.folder)
    for name, kind in (("slot", SLOTS["python"]), ("single-use jail", SINGLE_USE["python"])):
        launchers = [Launcher(kind, rootfs, cgroups.config) for cgroups in (held, Cgroups("none"))]
        for how, times in zip((held.mode, "no groups"), asyncio.run(started(launchers)), strict=True):
            shown(f"start of a {name}, {how}", times)
        for launcher in launchers:
            launcher.close()


if __name__ == "__main__":
    main()
