"""Owns what the jails of one process leave on the machine, and its removal when that process died without doing so.

All that a launcher starts has its configuration in a folder of its own, on which it holds a lock: the kernel drops the
lock with the process, however it ends. So a folder without a lock belongs to the dead, and so does every nsjail whose
command line names a file in it; a living executor's are never touched. Mounts and namespaces end with the processes.
Not asked of nsjail itself (PR_SET_PDEATHSIG), because nobody but the child can ask for it between fork and exec, which
posix_spawn has no place for.
"""

import contextlib
import fcntl
import os
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

from .cgroups import MOUNT, remove_dead_groups

_PREFIX = "hardpoint-launcher-"
_END_SECONDS = 2.5


class Folder:
    """A launcher's folder: it says that its process lives, for as long as it does."""

    def __init__(self) -> None:
        self._lock = -1
        while self._lock < 0:
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
            with contextlib.suppress(FileNotFoundError):  # somebody was clearing up between two of these lines
                lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
                fcntl.flock(lock, fcntl.LOCK_EX)
                if self.path.exists():
                    self._lock = lock
                else:
                    os.close(lock)

    def remove(self) -> None:
        """Remove the folder."""
        if self._lock >= 0:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._lock)
            self._lock = -1


@dataclass(frozen=True, slots=True)
class Cleared:
    """How much was found of processes that died, and removed."""

    folders: int
    jails: int
    groups: int


def clear_leftovers(cgroups: Path = MOUNT) -> Cleared:
    """End the jails of launchers that died without ending them, and remove their folders and cgroups."""
    with contextlib.ExitStack() as locks:
        dead = [folder for folder in _folders() if _claimed(folder, locks)]
        jails = [process for process in _processes() if process.uid == os.geteuid() and process.configured_in(dead)]
        _kill(jails)
        for folder in dead:
            shutil.rmtree(folder, ignore_errors=True)
    return Cleared(len(dead), len(jails), remove_dead_groups(cgroups))


@dataclass(frozen=True, slots=True)
class _Process:
    pid: int
    parent: int
    uid: int
    arguments: tuple[str, ...]

    def configured_in(self, folders: Iterable[Path]) -> bool:
        """Whether it is an nsjail whose configuration lies in one of the folders."""
        match self.arguments:
            case (binary, "--config", config, *_):
                return Path(binary).name == "nsjail" and Path(config).parent in folders
            case _:
                return False


def _folders() -> list[Path]:
    """The launchers' folders of this user; what another user made there says nothing."""
    mine = []
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(FileNotFoundError):
            if folder.lstat().st_uid == os.geteuid() and folder.is_dir() and not folder.is_symlink():
                mine.append(folder)
    return mine


def _claimed(folder: Path, locks: contextlib.ExitStack) -> bool:
    """Take the lock of a folder whose launcher is dead; false while it lives."""
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    locks.callback(os.close, lock)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _processes() -> Iterator[_Process]:
    for folder in Path("/proc").glob("[0-9]*"):
        if process := _process(int(folder.name)):
            yield process


def _process(pid: int) -> _Process | None:
    folder = Path(f"/proc/{pid}")
    try:
        lines = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        arguments = (folder / "cmdline").read_text(errors="replace").split("\0")
    except (OSError, ValueError):
        return None  # it ended meanwhile
    return _Process(pid, int(lines["PPid"]), int(lines["Uid"].split()[0]), tuple(arguments))


def _kill(supervisors: list[_Process]) -> None:
    """Kill each jail's init, with which all in it ends; nsjail then removes its groups and ends, or is killed too."""
    parents = {process.pid for process in supervisors}
    inits = [process for process in _processes() if process.parent in parents]
    with contextlib.ExitStack() as descriptors:
        for init in map(_opened, inits, repeat(descriptors)):
            _signal(init)
        until = time.monotonic() + _END_SECONDS
        for supervisor in map(_opened, supervisors, repeat(descriptors)):
            if not _ended(supervisor, until):
                _signal(supervisor)
                _ended(supervisor, until + _END_SECONDS)


def _opened(process: _Process, descriptors: contextlib.ExitStack) -> int | None:
    """Open what is still the process that was looked at: a process id is given again."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return None
    descriptors.callback(os.close, descriptor)
    return descriptor if _process(process.pid) == process else None


def _signal(descriptor: int | None) -> None:
    if descriptor is not None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)


def _ended(descriptor: int | None, until: float) -> bool:
    """Wait for the end of a process, at most until a time of the monotonic clock."""
    if descriptor is None:
        return True
    end = select.poll()
    end.register(descriptor, select.POLLIN)
    return bool(end.poll(max(0.0, until - time.monotonic()) * 1000))
