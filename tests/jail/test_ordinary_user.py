"""An ordinary user gets the same jails, held by the limits of the process when there are no cgroups for him."""

import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


async def test_jails_of_an_ordinary_user(tier: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(ROOT / "tests" / "jail" / "as_user.py"),
            folder,
            tier,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(str(ROOT / name) for name in ("libs", "services", "tests")),
            },
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
    report = json.loads(output.splitlines()[-1])
    assert report["user"] != 0
    assert report["reasons"] == []
    *outcomes, of_node = report["outcomes"]
    assert outcomes == [["ok", "", [65534, 1]], ["ok", "", [65534, 1]], ["user_error", "MemoryError", None]]
    assert of_node in (["oom", "", None], ["user_error", "RangeError", None])  # V8 dies, or refuses the buffer
    assert report["shared"] == ([1, 2] if tier == "slots" else [1, 1])
