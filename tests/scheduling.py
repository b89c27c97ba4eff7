"""Which tests run in one process: those that share what is expensive to start, a Hardpoint or the jails."""

import re
from collections import OrderedDict
from functools import cache
from pathlib import Path
from typing import Any

from xdist.scheduler import LoadScopeScheduling

_MANY = re.compile(r"[\[-]many[\]-]")
_LONG = (
    "many processes",
    "jails",
    "one process",
    "tests/runtime/test_recovery.py",
    "tests/hardpointd/test_postgres.py",
)
"""Groups that take minutes, longest first. The last ones are a few tests that start processes, too."""


class ByWhatIsStarted(LoadScopeScheduling):
    """Hands out what belongs together as a whole: what takes long first, so that what comes last is small.

    The groups of xdist's own marker come to nothing under pytest 9.2, which no longer reads the ids that they write.
    """

    _ordered = False

    def _split_scope(self, nodeid: str) -> str:
        """The name of the group of a test."""
        file, _, test = nodeid.partition("::")
        if file.startswith("tests/system/"):
            return "many processes" if _MANY.search(test) else "one process"
        in_jails = file.startswith(("tests/jail/", "tests/standard/")) or _starts_jails(file)
        return "jails" if in_jails else file

    def _assign_work_unit(self, node: Any) -> None:
        """Give a process the next group; each has two from the start, of which the second must not be a long one."""
        if not self._ordered:
            self._ordered = True
            groups = [*self.workqueue]  # the most tests first
            first = [group for group in _LONG if group in self.workqueue][: len(self.nodes)]
            second = [group for group in groups[::-1] if group not in _LONG][: len(self.nodes)]
            order = dict.fromkeys([*first, *second, *_LONG, *groups])
            self.workqueue = OrderedDict((group, self.workqueue[group]) for group in order if group in self.workqueue)
        super()._assign_work_unit(node)


@cache
def _starts_jails(file: str) -> bool:
    return "pytest.mark.jail" in Path(file).read_text()
