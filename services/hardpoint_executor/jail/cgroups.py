"""Owns the choice of cgroups: version 1, version 2, or none where this process may not make any.

Without cgroups a jail is still held by the limits of its one process: fork is refused, so a process is all there is.
"""

import os
from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).parent
_NAME = "hardpoint"
_CONTROLLERS = ("memory", "pids")


@dataclass(frozen=True, slots=True)
class Cgroups:
    """How jails are held: `mode` is v1, v2 or none, `why` says what stood in the way of anything better."""

    mode: str
    why: str = ""

    @property
    def config(self) -> str:
        """What is added to nsjail's configuration."""
        return (_HERE / f"cgroup-{self.mode}.cfg").read_text() if self.mode != "none" else ""


def prepare_cgroups(mount: Path = Path("/sys/fs/cgroup")) -> Cgroups:
    """Make the parent groups that jails are put under, and say which version they are."""
    try:
        if (mount / "cgroup.controllers").exists():
            return _prepare_v2(mount)
        for controller in _CONTROLLERS:
            _make(mount / controller / _NAME)
        return Cgroups("v1")
    except OSError as error:
        return Cgroups("none", f"{error.filename or mount}: {error.strerror}")


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
