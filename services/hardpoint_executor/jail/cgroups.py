"""Owns the choice of cgroups: version 1, version 2, or none where this process may not make any.

Without cgroups a jail is still held by the limits of its one process: fork is refused, so a process is all there is.
"""

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")
_HERE = Path(__file__).parent
_NAME = "hardpoint"
_CONTROLLERS = ("memory", "pids")
_OF_PROCESS = re.compile(r"(?:NSJAIL\.|probe-)(\d+)")
"""Groups are named for a process: a jail's for its init by nsjail, a probe's for who looks."""


@dataclass(frozen=True, slots=True)
class Cgroups:
    """How jails are held: `mode` is v1, v2 or none, `why` says what stood in the way of anything better."""

    mode: str
    why: str = ""

    @property
    def config(self) -> str:
        """What is added to nsjail's configuration."""
        return (_HERE / f"cgroup-{self.mode}.cfg").read_text() if self.mode != "none" else ""


def prepare_cgroups(mount: Path = MOUNT) -> Cgroups:
    """Make the parent groups that jails are put under, and say which version they are."""
    try:
        if (mount / "cgroup.controllers").exists():
            return _prepare_v2(mount)
        for controller in _CONTROLLERS:
            _make(mount / controller / _NAME)
        return Cgroups("v1")
    except OSError as error:
        return Cgroups("none", f"{error.filename or mount}: {error.strerror}")


def remove_dead_groups(mount: Path = MOUNT) -> int:
    """Remove the groups of processes that are gone, whoever left them; how many those were.

    The kernel refuses to remove a group that still holds a process, so at worst a start that is under way is repeated.
    """
    removed = 0
    for parent in (mount / _NAME, *(mount / controller / _NAME for controller in _CONTROLLERS)):
        for group in parent.glob("*"):
            named = _OF_PROCESS.fullmatch(group.name)
            if named and _is_gone(named[1]):
                with contextlib.suppress(OSError):
                    group.rmdir()
                    removed += 1
    return removed


def _is_gone(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z")
    except OSError:
        return True


def _prepare_v2(mount: Path) -> Cgroups:
    wanted = " ".join(f"+{controller}" for controller in _CONTROLLERS)
    (mount / "cgroup.subtree_control").write_text(wanted)
    group = _make(mount / _NAME)
    (group / "cgroup.subtree_control").write_text(wanted)
    return Cgroups("v2")


def _make(group: Path) -> Path:
    """Make a parent group and see that groups can be made in it; another user may have made it before."""
    group.mkdir(exist_ok=True)
    probe = group / f"probe-{os.getpid()}"
    probe.mkdir()
    probe.rmdir()
    return group
