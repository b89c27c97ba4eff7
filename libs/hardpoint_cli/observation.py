"""The smallest authority that watched runs of a file's examples needed, as a patch to what its author wrote. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

from hardpoint_manifest.authority import COMPUTE_SECONDS, Authority, HostRule, http_permission
from hardpoint_manifest.check import Report, check
from hardpoint_manifest.document import Document
from hardpoint_manifest.finding import PatchOp, apply_patch, pointer
from hardpoint_manifest.hosts import host_of
from hardpoint_manifest.model import Kind, Manifest

HEADROOM: Final = 2
"""A compute tier stays when it has room for this many times the longest run: machines differ."""
_HOSTS: Final = ("hosts", "allowed_domains")


@dataclass(frozen=True, slots=True)
class Seen:
    """What runs used together: their number, their actions, the longest in seconds."""

    runs: int = 0
    actions: frozenset[str] = frozenset()
    used: Authority = field(default_factory=Authority)
    seconds: float = 0.0

    def and_run(self, action: str, used: Authority, seconds: float) -> "Seen":
        """With one run more."""
        both = Authority(self.used.permissions | used.permissions, self.used.hosts | used.hosts)
        return Seen(self.runs + 1, self.actions | {action}, both, max(self.seconds, seconds))


@dataclass(frozen=True, slots=True)
class Minimum:
    """What is left of the written lists by field, the patch that leaves it, what it removes, what was never run."""

    lists: dict[str, list[str]]
    patch: tuple[PatchOp, ...]
    removed: tuple[str, ...]
    never_run: tuple[str, ...]
    report: Report
    """Of the document with the patch applied."""


def minimum(document: Document, manifest: Manifest, seen: Seen) -> Minimum:
    """The least that the file has to declare for what was seen, and for what its declared requests need anyway."""
    before = dict(_written(document))
    after = {
        key: _permissions(names, manifest, seen) if key == "permissions" else _hosts(names, manifest, seen)
        for key, names in before.items()
    }
    patch = tuple(
        PatchOp("replace", pointer((*document.root, key)), names)
        for key, names in after.items()
        if names != before[key]
    )
    removed = tuple(name for key, names in before.items() for name in names if name not in after[key])
    never_run = tuple(action.id for action in manifest.actions if action.id not in seen.actions)
    return Minimum(after, patch, removed, never_run, check(replace(document, data=apply_patch(document.data, patch))))


def _written(document: Document) -> Iterator[tuple[str, list[str]]]:
    for key in ("permissions", *_HOSTS):
        found: Any = document.value((*document.root, key))
        if found:
            yield key, list(found)


def _permissions(written: list[str], manifest: Manifest, seen: Seen) -> list[str]:
    calls = {http_permission(action.http.method) for action in manifest.actions if action.http is not None}
    needed = seen.used.permissions | calls
    tier = _tier(written, seen.seconds) if manifest.kind is Kind.CODE else ""
    return [name for name in written if (name == tier if name.startswith("compute.") else name in needed)]


def _tier(written: list[str], seconds: float) -> str:
    """The lightest written tier with room for what was seen; none where the lightest of all would do."""
    fitting = [tier for tier, most in COMPUTE_SECONDS.items() if seconds * HEADROOM <= most] or ["heavy"]
    if fitting[0] == "light" and "compute.light" not in written:
        return ""
    return next((f"compute.{tier}" for tier in fitting if f"compute.{tier}" in written), _widest(written))


def _widest(written: list[str]) -> str:
    return next((f"compute.{tier}" for tier in reversed(COMPUTE_SECONDS) if f"compute.{tier}" in written), "")


def _hosts(written: list[str], manifest: Manifest, seen: Seen) -> list[str]:
    calls = {str(host_of(action.http.url)) for action in manifest.actions if action.http is not None}
    needed = sorted(seen.used.hosts | calls)
    kept: dict[str, None] = {}
    for name in written:
        rule = HostRule.parse(name)
        covered = [host for host in needed if rule.covers(HostRule.parse(host))]
        kept |= dict.fromkeys(covered if rule.host.startswith("*.") else [name] * bool(covered))
    return list(kept)
