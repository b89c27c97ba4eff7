"""Owns who uses which folder under the state folder, and the removal of those that nobody uses any more.

Root folders and layers are named by what went into them, so a newer interpreter or library leaves the old ones behind.
An executor holds a shared lock on each folder that its jails mount, which the kernel drops with the process, however it
ends. Whoever removes one has to have the lock alone: what another executor runs on, an older one too, is never touched.
A folder that was taken into use within the last day stays as well, for whoever starts by turns with other libraries.
"""

import contextlib
import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

_BUILT = re.compile(r"\.?(python|javascript|python-sdk|javascript-sdk|layers|no-layers)-[A-Za-z0-9_-]+")
"""What is built; with a dot before it, what is being built or removed."""
_UNUSED_SECONDS = 24 * 3600.0


class Holding:
    """The folders that one executor uses."""

    def __init__(self) -> None:
        self._locks: dict[Path, int] = {}

    def hold(self, folders: Iterable[Path]) -> bool:
        """Keep folders from being removed until `release`; false when one of them is gone, and has to be built again.

        Where a file system has no locks nobody can remove anything either.
        """
        return all(self._hold(folder) for folder in folders)

    def release(self) -> None:
        """Let go of all of them."""
        while self._locks:
            os.close(self._locks.popitem()[1])

    def _hold(self, folder: Path) -> bool:
        if folder in self._locks:
            return True
        try:
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            return False
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_SH)
            os.utime(lock)
        if not _is_still(folder, lock):
            os.close(lock)
            return False
        self._locks[folder] = lock
        return True


def clear_unused(state: Path) -> list[str]:
    """Remove what was built here, is held by nobody and was not taken into use for a day; return the names."""
    try:
        found = [path for path in state.iterdir() if _BUILT.fullmatch(path.name)]
    except OSError:
        return []
    return sorted(folder.name for folder in found if _removed(folder))


def _removed(folder: Path) -> bool:
    with contextlib.ExitStack() as stack:
        try:
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            stack.callback(os.close, lock)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            status = os.fstat(lock)
            is_old = status.st_mtime < time.time() - _UNUSED_SECONDS
            if not is_old or status.st_uid != os.geteuid() or not _is_still(folder, lock):
                return False
            folder.with_name(f"{folder.name}.json").unlink(missing_ok=True)
            # Out of the way at once: what is half removed when the machine stops must not look like a whole folder.
            aside = folder.with_name(f".{folder.name.lstrip('.')}-{os.getpid()}")
            folder.rename(aside)
        except OSError:
            return False  # somebody uses it, was quicker, or may write here while we may not
        shutil.rmtree(aside, ignore_errors=True)
    return True


def _is_still(folder: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(folder.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
