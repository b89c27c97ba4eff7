"""Which tests run in one process: those that share what is expensive to start, a Hardpoint or the jails."""

import re
from functools import cache
from pathlib import Path

from xdist.scheduler import LoadScopeScheduling

_MANY = re.compile(r"[\[-]many[\]-]")
# A few tests that take long, since they start processes too: by their number alone they would come last.
_LONG = ("tests/hardpointd/test_postgres.py", "tests/runtime/test_recovery.py")


class ByWhatIsStarted(LoadScopeScheduling):
    """Hands out what belongs together as a whole, the most tests first, so that what comes last is small.

    The groups of xdist's own marker come to nothing under pytest 9.2, which no longer reads the ids that they write.
    """

    def _split_scope(self, nodeid: str) -> str:
        """The name of the group of a test."""
        file, _, test = nodeid.partition("::")
        if file.startswith("tests/system/"):
            return "many processes" if _MANY.search(test) else "one process"
        if file in _LONG:
            return "many processes"
        in_jails = file.startswith(("tests/jail/", "tests/standard/")) or _starts_jails(file)
        return "jails" if in_jails else file


@cache
def _starts_jails(file: str) -> bool:
    return "pytest.mark.jail" in Path(file).read_text()
