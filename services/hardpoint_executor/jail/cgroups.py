"""Owns the choice of cgroups: version 1, version 2, or none where this process may not make any.

Without cgroups a jail is still held by the limits of its one process: fork is refused, so a process is all there is.

In version 2 a group has processes, or groups with limits below it, never both; only the machine's root is free of that.
So in a group that was handed over to this process (by systemd's `Delegate=`, or as the root of a container) everything
that runs there moves to a group beside the jails' first.
"""

import contextlib
import errno
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from string import Template

MOUNT = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")
_HERE = Path(__file__).parent
_NAME = "hardpoint"
_BESIDE = "hardpoint-executor"
"""Where the processes of a group go that was handed over."""
_CONTROLLERS = ("memory", "pids")
_OF_PROCESS = re.compile(r"(?:NSJAIL\.|probe-)(\d+)")
"""Groups are named for a process: a jail's for its init by nsjail, a probe's for who looks."""
_ATTEMPTS = 5
"""To empty a group in which processes are still being started."""
_NO_SWAP = "cgroup_mem_swap_max: 0\n"

_HANDED_OVER = (
    "start it in a systemd unit with `Delegate=memory pids` (by hand: `systemd-run --scope -p Delegate=yes`, with"
    " --user unless you are root), or in a container whose user may write /sys/fs/cgroup"
)
_NO_CONTROLLER = (
    "let the groups above have the controllers: `Delegate=memory pids` for systemd, and no cgroup_disable= or"
    " cgroup_no_v1= for the kernel"
)
_VERSION_1 = (
    "make /sys/fs/cgroup/memory/hardpoint and /sys/fs/cgroup/pids/hardpoint, writable for the executor's user; in a"
    " container, have them mounted so"
)


@dataclass(frozen=True, slots=True)
class Cgroups:
    """How jails are held: `mode` is v1, v2 or none, `why` says what stood in the way of anything better.

    `fix` says what to do about that, and `parent` below which group the jails of version 2 have theirs.
    """

    mode: str
    why: str = ""
    fix: str = ""
    parent: Path = MOUNT / _NAME

    @property
    def config(self) -> str:
        """What is added to nsjail's configuration."""
        if self.mode == "none":
            return ""
        text = Template((_HERE / f"cgroup-{self.mode}.cfg").read_text())
        # Where the kernel counts swap. It is of no use to a jail, and who may swap is not held by its memory.
        swap = {"v1": MOUNT / "memory" / _NAME / "memory.memsw.limit_in_bytes", "v2": self.parent / "memory.swap.max"}
        return text.substitute(parent=_quoted(self.parent)) + (_NO_SWAP if swap[self.mode].exists() else "")


def prepare_cgroups(mount: Path = MOUNT, membership: Path = _MEMBERSHIP) -> Cgroups:
    """Make the parent groups that jails are put under, and say which version they are.

    `membership` is the file in which the kernel names this process's group.
    """
    fix = _VERSION_1
    try:
        if (mount / "cgroup.controllers").exists():
            fix = _HANDED_OVER
            return _prepare_v2(_place(mount, membership))
        for controller in _CONTROLLERS:
            _make(mount / controller / _NAME)
        return Cgroups("v1")
    except OSError as error:
        return Cgroups("none", f"{error.filename or mount}: {error.strerror}", fix)


def remove_dead_groups(mount: Path = MOUNT, membership: Path = _MEMBERSHIP) -> int:
    """Remove the groups of processes that are gone, whoever left them; how many those were.

    The kernel refuses to remove a group that still holds a process, so at worst a start that is under way is repeated.
    """
    own = _own_group(mount, membership)
    places = {mount, own, own.parent, *(mount / controller for controller in _CONTROLLERS)}
    removed = 0
    for group in (group for place in places for group in (place / _NAME).glob("*")):
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


def _own_group(mount: Path, membership: Path) -> Path:
    """The group of version 2 that this process is in; the mount where it is not below that."""
    for line in membership.read_text().splitlines():
        if line.startswith("0::/") and not line.startswith("0::/.."):
            return mount / line[len("0::/") :]
    return mount


def _place(mount: Path, membership: Path) -> Path:
    """The group of version 2 below which ours are made: one that was handed over to this process, else the mount's."""
    own = _own_group(mount, membership)
    # With systemd's DelegateSubgroup=, and after the first start in a container, processes are one below.
    handed_over = (group for group in (own, own.parent) if _is_handed_over(group, mount))
    return next(handed_over, mount)


def _is_handed_over(group: Path, mount: Path) -> bool:
    if group == mount:
        return (mount / "cgroup.type").exists()  # every group has it but the machine's root
    for name in ("user.delegate", "trusted.delegate"):  # systemd leaves these marks; the second is for root to read
        with contextlib.suppress(OSError):
            return os.getxattr(group, name) == b"1"
    return False


def _prepare_v2(place: Path) -> Cgroups:
    offered = (place / "cgroup.controllers").read_text().split()
    if lacking := [controller for controller in _CONTROLLERS if controller not in offered]:
        return Cgroups("none", f"{place} has no controller for {' and '.join(lacking)}", _NO_CONTROLLER)
    parent = _make(place / _NAME)
    _limit_below(place)
    _limit_below(parent)
    return Cgroups("v2", parent=parent)


def _limit_below(group: Path) -> None:
    """Let groups in this one have limits. Raises OSError."""
    wanted = " ".join(f"+{controller}" for controller in _CONTROLLERS)
    for _ in range(_ATTEMPTS):
        try:
            return _write(group / "cgroup.subtree_control", wanted)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            busy = error
            _move_aside(group)
    raise busy


def _move_aside(group: Path) -> None:
    """Move every process of a group to one below."""
    beside = group / _BESIDE
    beside.mkdir(exist_ok=True)
    for pid in (group / "cgroup.procs").read_text().split():
        with contextlib.suppress(ProcessLookupError):
            _write(beside / "cgroup.procs", pid)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        error.filename = str(path)  # which the kernel's refusal of what is written lacks
        raise


def _make(group: Path) -> Path:
    """Make a parent group and see that groups can be made in it; another user may have made it before."""
    group.mkdir(exist_ok=True)
    probe = group / f"probe-{os.getpid()}"
    probe.mkdir()
    probe.rmdir()
    return group


def _quoted(path: Path) -> str:
    """A path as nsjail's configuration reads it: systemd writes backslashes into the names of units."""
    return json.dumps(str(path), ensure_ascii=False)
