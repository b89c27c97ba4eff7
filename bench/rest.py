"""What the daemon does while nobody asks anything of it."""

import asyncio
import os
import re
import time
from pathlib import Path

from bench.deployment import Measured
from bench.report import Report

SETTLE_SECONDS = 65.0
"""DBOS looks for schedules once a second in the first minute."""
REST_SECONDS = 30.0
_SWITCHES = re.compile(r"^voluntary_ctxt_switches:\s+(\d+)", re.MULTILINE)


async def rest(run: Measured, report: Report) -> None:
    """Look at the daemon, leave it alone, and look again."""
    await asyncio.sleep(SETTLE_SECONDS)
    began, before = time.perf_counter(), _of(run.daemon)
    await asyncio.sleep(REST_SECONDS)
    seconds = time.perf_counter() - began
    ticks, wakes = (now - then for now, then in zip(_of(run.daemon), before, strict=True))
    report.heading("at rest")
    report.add("rest.cpu", 100 * ticks / os.sysconf("SC_CLK_TCK") / seconds, "% of a core")
    report.add("rest.wakes", wakes / seconds, "wakes/s")


def _of(pid: int) -> tuple[int, int]:
    """Processor ticks that a process spent, and how often its threads slept."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    statuses = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/status")]
    sleeps = sum(int(found[1]) for status in statuses if (found := _SWITCHES.search(status)))
    return int(after_name[11]) + int(after_name[12]), sleeps
