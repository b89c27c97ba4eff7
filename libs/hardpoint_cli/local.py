"""Looking at this machine: whether strangers' code could be jailed here, by the executor's own word.

The executor is a program beside this one, started and never imported: it may not be installed, and its jails are not
this program's children.
"""

import asyncio
import importlib.util
import json
import sys
from collections.abc import Mapping
from typing import Any

from hardpoint_cli.diagnosis import Check

CHECKUP = "hardpoint_executor.checkup"
PATIENCE_SECONDS = 180.0
"""The first time, the root folders of jails are built."""


async def examine() -> list[Check]:
    """What this machine has, whether jails start on it, and every wall of theirs."""
    if importlib.util.find_spec(CHECKUP.partition(".")[0]) is None:
        return [Check("executor", False, "is not installed here", "pip install 'hardpoint[executor]'")]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", CHECKUP, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            said, complaint = await process.communicate()
    except TimeoutError:
        return [Check("executor", False, f"does not say within {PATIENCE_SECONDS:.0f} s", "try again, or report it")]
    finally:
        if process.returncode is None:
            process.kill()
    try:
        return _checks(json.loads(said))
    except ValueError:
        words = complaint.decode(errors="replace").strip().splitlines() or ["says nothing"]
        return [Check("executor", False, words[-1], "pip install 'hardpoint[executor]'")]


def _checks(document: Mapping[str, Any]) -> list[Check]:
    machine = [Check(fact["name"], fact["ok"], fact["found"], fact["fix"]) for fact in document["facts"]]
    jails = [Check("jail", False, reason) for reason in dict.fromkeys(document["reasons"])]
    walls = [
        Check(f"{wall['jail']} {wall['wall']}", True, "holds")
        if wall["ok"]
        else Check(f"{wall['jail']} {wall['wall']}", False, wall["meaning"], wall["fix"])
        for wall in document["walls"]
    ]
    return machine + jails + walls
