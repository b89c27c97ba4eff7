"""Where an executor finds itself on a machine with control groups of version 2, and how its jails are held there.

Each place is made on a real kernel, as systemd or a container runtime would make it. `run` starts these tests.
"""

import json
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hardpoint_executor.jail.cgroups import MOUNT

PROGRAM = Path(__file__).with_name("one_jail.py")
USER = 54321
HELD = {"mode": "v2", "why": "", "ready": "ready\n", "limits": [str(192 << 20), "0", "40"], "left": []}
INSIDE = 'echo 0 >"$0/cgroup.procs"; sleep 99 >/dev/null & exec "$@"'
AS_CONTAINER = 'umount /sys/fs/cgroup && mount -t cgroup2 -o {} cgroup2 /sys/fs/cgroup && exec "$@"'


@pytest.fixture
def group(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A group that may be limited by what `request.param` names, and is emptied afterwards."""
    controllers = getattr(request, "param", "+memory +pids")
    (MOUNT / "cgroup.subtree_control").write_text("+memory +pids")
    made = MOUNT / f"slice{uuid.uuid4()}" / r"hardpoint\x2dexecutor.service"  # as systemd spells a unit's name
    made.parent.mkdir()
    (made.parent / "cgroup.subtree_control").write_text(controllers)
    made.mkdir()
    yield made
    (made / "cgroup.kill").write_text("1")


def hand_over(group: Path, user: int, mark: bool = True) -> None:
    """Do as systemd does for `Delegate=` and `User=`."""
    for path in (group, *(group / f"cgroup.{name}" for name in ("procs", "threads", "subtree_control"))):
        os.chown(path, user, user)
    if mark:
        os.setxattr(group, "user.delegate", b"1")


def held(group: Path, user: int, *wrapper: str) -> Any:
    """How a jail is held that is started in a group, beside another process."""
    folder = tempfile.mkdtemp()
    command = ["sh", "-c", INSIDE, str(group), *wrapper, sys.executable, str(PROGRAM), folder, str(user)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    said = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(said.stdout)


def container(options: str) -> list[str]:
    """What starts a command as a container whose root is the group it is in."""
    return ["unshare", "--cgroup", "--mount", "sh", "-c", AS_CONTAINER.format(options), "sh"]


@pytest.mark.parametrize("user", [0, USER])
def test_in_a_unit_with_delegate(group: Path, user: int) -> None:
    hand_over(group, user)
    assert held(group, user) == {**HELD, "parent": str(group / "hardpoint")}
    assert held(group / "hardpoint-executor", user) == {**HELD, "parent": str(group / "hardpoint")}, "its next start"


@pytest.mark.parametrize("user", [0, USER])
def test_in_a_container_whose_user_may_write_its_groups(group: Path, user: int) -> None:
    hand_over(group, user, mark=False)
    assert held(group, user, *container("rw")) == {**HELD, "parent": str(MOUNT / "hardpoint")}
    assert (group / "cgroup.subtree_control").read_text() == "memory pids\n"


def test_at_the_root_of_the_machine(group: Path) -> None:
    assert held(MOUNT, 0) == {**HELD, "parent": str(MOUNT / "hardpoint")}
    assert held(group, 0) == {**HELD, "parent": str(MOUNT / "hardpoint")}, "a group that is not ours is left alone"
    assert not (group / "hardpoint-executor").exists()


def test_where_nothing_was_handed_over(group: Path) -> None:
    found = held(group, USER)
    assert (found["mode"], found["ready"]) == ("none", "ready\n")
    assert found["why"].startswith("/sys/fs/cgroup/hardpoint")
    assert found["why"].endswith(": Permission denied")


def test_in_a_container_that_may_only_read(group: Path) -> None:
    found = held(group, 0, *container("ro"))
    assert (found["mode"], found["ready"]) == ("none", "ready\n")
    assert found["why"] == "/sys/fs/cgroup/hardpoint: Read-only file system"


@pytest.mark.parametrize("group", ["+pids"], indirect=True)
def test_without_the_controller_of_memory(group: Path) -> None:
    hand_over(group, USER)
    found = held(group, USER)
    assert (found["mode"], found["why"]) == ("none", f"{group} has no controller for memory")
