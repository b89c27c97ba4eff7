"""Which processes there are below another one, and which of them hold slots."""

from collections.abc import Iterator
from pathlib import Path

ZYGOTE = b"hardpoint_sdk.zygote"
_KTHREADD = 2
"""The parent of every thread of the kernel."""


def parents() -> dict[int, int]:
    """The parent of every process of this machine."""
    return dict(filter(None, map(_parent, Path("/proc").glob("[0-9]*"))))


def descendants(of: int) -> list[int]:
    """Every process below one, without itself."""
    children: dict[int, list[int]] = {}
    for pid, parent in parents().items():
        children.setdefault(parent, []).append(pid)
    found = list(children.get(of, ()))
    for pid in found:
        found += children.get(pid, ())
    return found


def kernel_threads() -> list[int]:
    """The kernel's own threads; none where they cannot be seen, as in a container."""
    try:
        if Path(f"/proc/{_KTHREADD}/comm").read_text() != "kthreadd\n":
            return []
    except OSError:
        return []
    return [pid for pid, parent in parents().items() if parent == _KTHREADD]


def interpreters(daemon: int) -> Iterator[tuple[int, int, bytes]]:
    """Each process right below a jail's supervisor: the supervisor, itself and its command line."""
    found = parents()
    for pid, supervisor in found.items():
        if found.get(supervisor) == daemon:
            try:
                yield supervisor, pid, Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue  # it has ended meanwhile


def _parent(process: Path) -> tuple[int, int] | None:
    try:
        stat = (process / "stat").read_text()
    except OSError:
        return None
    return int(process.name), int(stat.rpartition(")")[2].split()[1])
