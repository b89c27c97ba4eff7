"""Looks at this machine as an executor would: what it has, whether jails start, whether every wall holds.

`python -m hardpoint_executor.checkup` prints one JSON document and exits with 1 when code could not be run here. It
reads the executor's own options, so that in a pod it answers for that pod. `hardpoint doctor --jail` shows it.
"""

import asyncio
import json
import sys
from dataclasses import asdict
from typing import Any

import structlog

from hardpoint_executor.jail.machine import facts
from hardpoint_executor.server import Options, jail_of
from hardpoint_kit.errors import HardpointError, InvalidArgument


async def checkup(options: Options) -> dict[str, Any]:
    """`facts` of the machine, `reasons` why nothing can be run, and every one of the `walls`; `ok` when all is well."""
    jail = jail_of(options)
    try:
        await jail.start()
        reasons = jail.reasons_not_ready()
        walls = await jail.examine()
    except HardpointError as error:
        reasons, walls = [f"the jail could not be tested: {error.message}"], []
    finally:
        await jail.stop()
    found = await asyncio.to_thread(facts, jail.cgroups, options.executor_require_cgroups)
    return {
        "ok": not reasons and all(fact.ok for fact in found) and all(wall.ok for wall in walls),
        "facts": [asdict(fact) for fact in found],
        "reasons": reasons,
        "walls": [asdict(wall) for wall in walls],
    }


def main() -> None:
    """Print what was found."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        document = asyncio.run(checkup(Options()))
    except InvalidArgument as wrong:
        document = {"ok": False, "facts": [], "reasons": [f"{wrong.message}; {wrong.fix}"], "walls": []}
    json.dump(document, sys.stdout, indent=2)
    sys.exit(0 if document["ok"] else 1)


if __name__ == "__main__":
    main()
