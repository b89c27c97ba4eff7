"""Write the system call filter of the executor's container: an engine's default profile plus what nsjail needs.

    python deploy/docker/seccomp.py default.json > deploy/secrets/executor-seccomp.json

An unprivileged process makes the namespaces of a jail with these calls; the default profile keeps them for
CAP_SYS_ADMIN, which the executor does not have and must not get.
"""

import json
import sys
from pathlib import Path
from typing import Any

NEEDED = ("clone", "clone3", "mount", "pivot_root", "sethostname", "setdomainname", "umount2", "unshare")
ALLOW = "SCMP_ACT_ALLOW"


def widened(profile: dict[str, Any]) -> dict[str, Any]:
    """Return the profile with the needed calls allowed, and refused by no other of its rules."""
    rules = [
        {**rule, "names": [name for name in rule["names"] if rule["action"] == ALLOW or name not in NEEDED]}
        for rule in profile["syscalls"]
    ]
    rules.append({"names": list(NEEDED), "action": ALLOW})
    return {**profile, "syscalls": [rule for rule in rules if rule["names"]]}


if __name__ == "__main__":
    json.dump(widened(json.loads(Path(sys.argv[1]).read_text())), sys.stdout, indent=1)
