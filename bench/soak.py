"""What the daemon holds after thousands of calls beyond what it held after the first: nothing, where nothing leaks."""

import asyncio
import os
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from bench.deployment import Measured
from bench.measure import Probe
from bench.memory import memory_of
from bench.processes import descendants
from bench.report import Report
from hardpoint_executor.jail.cgroups import MOUNT

WARM_CALLS = 2_000
"""Until what is kept for calls is kept."""
CALLS = 12_000
CALLERS = 8
SETTLE_SECONDS = 1.0
"""For the slots that end last."""
_UNITS = {"rss": "MiB", "fds": "descriptors", "cgroups": "groups", "mounts": "mounts", "processes": "processes"}


@dataclass(frozen=True, slots=True)
class _Held:
    """Resident memory in MiB, and counts; processes are those below the daemon."""

    rss: float
    fds: int
    cgroups: int
    mounts: int
    processes: int


async def soak(run: Measured, report: Report) -> None:
    """Execute Python in slots, from several callers at once, and compare what is held early with what is held late."""
    probe = partial(run.execute_to_end, "python")
    await _calls(probe, WARM_CALLS)
    await asyncio.sleep(SETTLE_SECONDS)
    early = asdict(_held(run.daemon))
    await _calls(probe, CALLS - WARM_CALLS)
    await asyncio.sleep(SETTLE_SECONDS)
    late = asdict(_held(run.daemon))
    report.heading(f"from {WARM_CALLS:,} to {CALLS:,} executions")
    for name, unit in _UNITS.items():
        report.add(f"soak.{name}_growth", late[name] - early[name], unit)


async def _calls(probe: Probe, calls: int) -> None:
    async def call_on() -> None:
        for _ in range(calls // CALLERS):
            await probe()

    await asyncio.gather(*(call_on() for _ in range(CALLERS)))


def _held(daemon: int) -> _Held:
    below = descendants(daemon)
    return _Held(
        rss=memory_of(daemon).rss,
        fds=len(os.listdir(f"/proc/{daemon}/fd")),
        cgroups=_groups(below),
        mounts=len(Path(f"/proc/{daemon}/mountinfo").read_text().splitlines()),
        processes=len(below),
    )


def _groups(ours: list[int]) -> int:
    """The groups of our jails and of jails that are gone; those of other daemons of this machine are theirs."""
    names = {path for parent in ("hardpoint", "*/hardpoint") for path in MOUNT.glob(f"{parent}/NSJAIL.*")}
    pids = [int(path.name.rpartition(".")[2]) for path in names]
    return sum(pid in ours or not Path(f"/proc/{pid}").exists() for pid in pids)
