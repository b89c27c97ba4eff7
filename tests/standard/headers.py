"""The headers of the standard capabilities, read in a real jail; run as a program it writes them beside the code."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import hardpoint_standard
from hardpoint_executor.jail import JailOptions, Jails, PoolOptions
from hardpoint_executor.jail.interface import DESCRIBE_LIMITS
from hardpoint_executor.runners.code import CodeRunner

FOLDER = Path(hardpoint_standard.__file__).parent / "capabilities"


async def read(jails: Jails, name: str) -> dict[str, Any]:
    """The header of a standard capability, as the executor reads it of an upload, with time for a busy machine."""
    held = CodeRunner(jails).offer.held_by(jails.libraries())
    limits = replace(DESCRIBE_LIMITS, wall_seconds=60, memory_bytes=DESCRIBE_LIMITS.memory_bytes + held)
    outcome = await jails.describe("python", (FOLDER / f"{name}.py").read_text(), f"{name}.py", limits)
    assert outcome.ok, outcome
    header: dict[str, Any] = outcome.value
    return header


async def main() -> None:
    jails = Jails(JailOptions(slots=None, languages=("python",), pool=PoolOptions(waiting=1, queue_seconds=60)))
    await jails.start()
    try:
        for name in hardpoint_standard.CODE:
            header = json.dumps(await read(jails, name), ensure_ascii=False, indent=1)
            (FOLDER / f"{name}.json").write_text(header + "\n")
    finally:
        await jails.stop()


if __name__ == "__main__":
    asyncio.run(main())
