"""The checkup passes here, and says what is missing where something is: each time a real process on a real kernel."""

import asyncio
import json
import os
import sys
from typing import Any

import pytest

from hardpoint_executor.jail.nsjail import find_nsjail

ROOT = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
WITHOUT_NSJAIL = ["unshare", *ROOT, "--mount", "sh", "-c", 'mount -t tmpfs none "$NSJAIL" && exec "$@"', "sh"]
WITHOUT_USER_NAMESPACES = ["unshare", "--user", "--map-root-user", "sh", "-c"]
WITHOUT_USER_NAMESPACES += ['echo 0 >/proc/sys/user/max_user_namespaces && exec "$@"', "sh"]
READ_ONLY = """
for place in $(cut -d' ' -f2 /proc/mounts | grep ^/sys/fs/cgroup); do mount -o remount,bind,ro $place || exit 9; done
exec "$@"
"""
READ_ONLY_CGROUPS = ["unshare", *ROOT, "--mount", "sh", "-c", READ_ONLY, "sh"]


async def checkup(wrapper: list[str], code: int, **environment: str) -> Any:
    """What the checkup says, started by a command that takes something from it."""
    command = [*wrapper, sys.executable, "-m", "hardpoint_executor.checkup"]
    paths = {
        "PYTHONPATH": os.pathsep.join(sys.path),
        "NSJAIL": str(find_nsjail().parents[1]),
        "PATH": os.environ["PATH"],
    }
    process = await asyncio.create_subprocess_exec(
        *command, env={**paths, **environment}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, complaint = await process.communicate()
    assert process.returncode == code, complaint.decode()
    return json.loads(said)


def fact(document: Any, name: str) -> Any:
    return next(fact for fact in document["facts"] if fact["name"] == name)


async def test_all_is_well_here() -> None:
    document = await checkup([], 0)
    assert document["ok"]
    assert document["reasons"] == []
    assert all(fact["ok"] for fact in document["facts"])
    for jail in ("python", "javascript"):
        walls = [wall for wall in document["walls"] if wall["jail"] == jail]
        assert len(walls) >= 30
        assert all(wall["ok"] for wall in walls)


async def test_without_nsjail() -> None:
    document = await checkup(WITHOUT_NSJAIL, 1)
    assert not fact(document, "nsjail")["ok"]
    assert "hardpoint[executor]" in fact(document, "nsjail")["fix"]
    assert document["reasons"]
    assert document["walls"] == []


@pytest.mark.parametrize(("value", "wrong"), [("many", "a valid integer"), ("-1", "greater than or equal to 1")])
async def test_with_an_option_that_cannot_be(value: str, wrong: str) -> None:
    document = await checkup([], 1, HARDPOINT_EXECUTOR_QUEUE=value)
    [reason] = document["reasons"]
    assert reason.startswith("HARDPOINT_EXECUTOR_QUEUE: ")
    assert wrong in reason


@pytest.mark.parametrize(
    ("limit", "wanted"), [("--nproc=20", "RLIMIT_NPROC to 64"), ("--fsize=1000000", "RLIMIT_FSIZE to 16777216")]
)
async def test_below_limits_that_leave_jails_no_room(limit: str, wanted: str) -> None:
    document = await checkup(["prlimit", limit], 1)
    assert document["reasons"]
    for reason in document["reasons"]:
        assert f"raise the executor's own hard limit {wanted} or more" in reason


async def test_without_user_namespaces() -> None:
    document = await checkup(WITHOUT_USER_NAMESPACES, 1)
    missing = fact(document, "user namespaces")
    assert (missing["ok"], missing["found"]) == (False, "user.max_user_namespaces is 0")
    assert missing["fix"].startswith("sysctl user.max_user_namespaces=")
    assert fact(document, "nsjail")["ok"]
    assert all("set user.max_user_namespaces with sysctl" in reason for reason in document["reasons"])
    assert "did not start" not in fact(document, "cgroups")["found"], "cgroups are not to blame"


async def test_with_cgroups_that_cannot_be_written() -> None:
    document = await checkup(READ_ONLY_CGROUPS, 0)
    assert "none (" in fact(document, "cgroups")["found"]
    assert "Read-only file system" in fact(document, "cgroups")["found"]
    assert "/sys/fs/cgroup" in fact(document, "cgroups")["fix"]
    assert document["ok"], "the limits of the process hold"

    document = await checkup(READ_ONLY_CGROUPS, 1, HARDPOINT_EXECUTOR_REQUIRE_CGROUPS="true")
    assert not fact(document, "cgroups")["ok"]
    assert "/sys/fs/cgroup" in fact(document, "cgroups")["fix"]
    assert "cgroups are required and cannot be made" in document["reasons"][0]
