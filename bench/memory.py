"""What processes hold in memory, as the kernel counts it."""

import contextlib
import re
import statistics
from dataclasses import dataclass
from pathlib import Path

from bench.processes import ZYGOTE, interpreters

_LANGUAGES = {"slot": ZYGOTE, "python": b"hardpoint_sdk.boot", "javascript": b"boot.mjs"}


@dataclass(frozen=True, slots=True)
class Memory:
    """MiB: `pss` shares out what several processes hold together, `rss` counts it for each."""

    pss: float
    rss: float

    def __add__(self, other: "Memory") -> "Memory":
        return Memory(self.pss + other.pss, self.rss + other.rss)


def memory_of(pid: int) -> Memory:
    """The memory of one process; raises OSError when the kernel does not tell us."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    pss, rss = (re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE) for name in ("Pss", "Rss"))
    assert pss
    assert rss
    return Memory(int(pss[1]) / 1024, int(rss[1]) / 1024)


def waiting_jails(daemon: int) -> dict[str, Memory]:
    """The memory of one jail of each kind that waits below this process: its supervisor and its interpreter.

    A slot's child shares nearly all of its memory with its zygote, and is not counted.
    """
    found: dict[str, list[Memory]] = {language: [] for language in _LANGUAGES}
    for supervisor, pid, command in interpreters(daemon):
        for language, word in _LANGUAGES.items():
            if word in command:
                with contextlib.suppress(OSError):  # it has ended meanwhile, or the kernel does not tell us
                    found[language].append(memory_of(supervisor) + memory_of(pid))
    return {
        language: Memory(statistics.median(m.pss for m in jails), statistics.median(m.rss for m in jails))
        for language, jails in found.items()
        if jails
    }
