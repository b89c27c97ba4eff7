"""Owns which limit of the jail an error of the plugin's own means: memory, processes, or disk.

The kernel refuses, nobody outside sees it, and the plugin goes on: a fork meets the filter before any counter does. So
the class and the number of the error that ended the call decide. A plugin that makes one up misnames its own end.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from hardpoint_executor.limits import whole
from hardpoint_executor.runners.oversize import OVERSIZE_FIX

_TMP_MIB = whole("kernel.tmp_mib") >> 20
_TMP_FILES = whole("kernel.tmp_files")
_THREADS = whole("kernel.threads")


@dataclass(frozen=True, slots=True)
class Exhausted:
    """A limit that was met: the reason of the error, the limit in words where it is fixed, what it means, a fix."""

    reason: str
    limit: str = ""
    meaning: str = ""
    fix: str = ""


_MEMORY = Exhausted("MEMORY")
_PROCESSES = Exhausted(
    "PROCS",
    f"1 process, {_THREADS} threads",
    f"a call is one process, with at most {_THREADS} threads whose stacks fit its memory",
    "do the work in this process: start no program and do not fork; of threads, start few, or give them small stacks",
)
_RESULT = Exhausted("OUTPUT_LIMIT", fix=OVERSIZE_FIX)
_DISK = Exhausted(
    "DISK",
    f"{_TMP_MIB} MiB, {_TMP_FILES} files",
    f"/tmp takes {_TMP_MIB} MiB in at most {_TMP_FILES} files",  # noqa: S108 - the jail's own
    "write less, remove what is no longer needed, or keep it outside the jail with the temporary files of `file`",
)

_SIGNS: Sequence[tuple[str, str, Exhausted]] = (
    ("MemoryError", r"", _MEMORY),
    ("RangeError", r"Array buffer allocation failed$", _MEMORY),
    ("ResultTooLarge", r"the result has ", _RESULT),
    ("ProcessRefused", r"", _PROCESSES),
    ("RuntimeError", r"can't start new thread$", _PROCESSES),
    ("Error", r"spawn(Sync)? (.* )?(EPERM|EAGAIN)$", _PROCESSES),
    # EFBIG, ENOSPC, EDQUOT: Python has them as numbers, Node by name.
    ("OSError", r"\[Errno (27|28|122)\] ", _DISK),
    ("Error", r"(EFBIG|ENOSPC|EDQUOT): ", _DISK),
    ("OperationalError", r"database or disk is full$", _DISK),
)
"""By the class of an error and how its message begins; the numbers are those of Linux."""


def exhausted(name: str, message: str) -> Exhausted | None:
    """The limit that an error of the plugin's means, if it means one."""
    return next((limit for of, begins, limit in _SIGNS if of == name and re.match(begins, message)), None)
