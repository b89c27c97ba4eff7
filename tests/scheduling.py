"""Which tests run in one process: those that share what is expensive to start, a Hardpoint or the jails."""

import re

from xdist.scheduler import LoadScopeScheduling

_MANY = re.compile(r"[\[-]many[\]-]")


class ByWhatIsStarted(LoadScopeScheduling):
    """Hands out what belongs together as a whole, the most tests first, so that what comes last is small.

    The groups of xdist's own marker come to nothing under pytest 9.2, which no longer reads the ids that they write.
    """

    def _split_scope(self, nodeid: str) -> str:
        """The name of the group of a test."""
        file, _, test = nodeid.partition("::")
        folder = file.rpartition("/")[0]
        if folder == "tests/system":
            return "many processes" if _MANY.search(test) else "one process"
        return folder if folder == "tests/jail" else file
