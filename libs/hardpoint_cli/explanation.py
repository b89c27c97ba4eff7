"""From what a run keeps of its failure to an explanation: what, by which name, what to do, and the patch. Pure.

One table has an entry for every reason that an execution can end with.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from hardpoint_cli.endings import ENDINGS, Ending, FixFor
from hardpoint_manifest.authority import COMPUTE_SECONDS
from hardpoint_manifest.load import language

_NAMED: Final = {
    "callee": "called",
    "caller": "on behalf of",
    "cycle": "cycle",
    "host": "host",
    "redirected_by": "redirected by",
    "because": "because",
    "method": "method",
    "permission": "permission",
    "secret": "secret",
    "file": "file",
    "budget": "budget",
    "limit": "limit",
    "status": "status",
    "error": "upstream said",
    "content_type": "content type",
    "wanted": "declared",
    "got": "got",
    "engine": "engine",
    "libraries": "libraries",
    "offered": "offered here",
    "name": "exception",
    "signal": "signal",
    "syscall": "system call",
    "not_reverted": "not reverted",
}
"""The facts that name what was refused or went wrong, in the order in which they are shown, and their labels."""

_NODE_CALL: Final = re.compile(r"\b(?P<code>E[A-Z]+): [^,]+, (?P<call>\w+)(?: '(?P<path>[^']+)')?")
_NODE_NETWORK: Final = re.compile(r"\b(?P<call>connect|listen|bind|getaddrinfo|query[A-Z]+) (?P<code>E[A-Z_]+)\b")
_PYTHON_CALL: Final = re.compile(r"\[Errno (?P<number>-?\d+)\] [^:]+(?:: '(?P<path>[^']+)')?")
_CODES: Final = {"-3": "EAI_AGAIN", "1": "EPERM", "2": "ENOENT", "13": "EACCES", "28": "ENOSPC", "30": "EROFS"}
_NO_NETWORK: Final = "a jail has no network, and no names in it: use `fetch`, for hosts that the file declares"
_HINTS: Final = {
    "EAI_AGAIN": _NO_NETWORK,
    "EPERM": "the jail refuses the system call that this line makes: no processes, sockets or signals; use `fetch`",
    "ENOENT": "a jail has its interpreter's own files and an empty /tmp, and nothing else",
    "EACCES": "a jail may write in /tmp alone, and read what its interpreter needs",
    "EROFS": "a jail may write in /tmp alone; what is to stay goes into the output",
    "ENOSPC": "there is room for 16 MiB in at most 1,024 files of /tmp",
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a run did not succeed; empty texts are unknown. `patch` is a JSON Patch against the manifest's document."""

    kind: str
    named: Mapping[str, str]
    caller: str
    author: str
    path: str = ""
    patch: Sequence[Mapping[str, Any]] = field(default_factory=tuple)


def explain(
    reason: str,
    message: str,
    fix: str,
    facts: Mapping[str, str],
    asked: Iterable[str] = (),
    filename: str = "",
) -> Explanation:
    """Explain a failure by its reason and facts; `asked` are the permissions that the release asks for."""
    ending = ENDINGS.get(reason) or Ending(f"a reason that this program does not know: {reason}")
    named = {_NAMED[name]: facts[name] for name in _NAMED if facts.get(name)}
    caller, author, patch = ending.caller, ending.author, _patch(facts.get("patch", ""))
    # Only a refusal that speaks to the author has a path of the manifest; elsewhere it is one of the answer.
    path = facts.get("path", "") if "author" in facts else ""
    if facts.get("path") and not path:
        named["looked for"] = facts["path"]
    if fix:
        caller, author = (fix, author) if ending.fix_for is FixFor.CALLER else (caller, fix)
    author = facts.get("author", author)
    if reason == "USER_ERROR":
        refused, hint = _refused(facts.get("name", ""), message)
        named, author = {**named, **refused}, fix or hint or author
    if reason == "TIMEOUT" and (wider := _wider_tier(facts.get("limit", ""), asked, filename)):
        path, author, patch = wider
    return Explanation(ending.kind, named, caller, author, path, patch)


def lines_of(patch: Iterable[Mapping[str, Any]], filename: str) -> list[str]:
    """A patch as the lines that the author of a code file writes in its header; none for other files."""
    written_in = language(filename)
    if written_in is None:
        return []
    form = "{key}={value}," if written_in == "python" else "{key}: {value},"
    return [form.format(key=one["path"].rpartition("/")[2], value=json.dumps(one["value"])) for one in patch]


def _patch(text: str) -> list[dict[str, Any]]:
    """The operations of a patch that came over the wire; none when it is no patch."""
    try:
        found = json.loads(text) if text else []
    except ValueError:
        return []
    whole = isinstance(found, list) and all(
        isinstance(one, dict) and {"op", "path", "value"} <= one.keys() for one in found
    )
    return found if whole else []


def _refused(name: str, message: str) -> tuple[dict[str, str], str]:
    """What the jail refused to code that only saw an exception: the system call or the path, and what to do."""
    if name == "ModuleNotFoundError":
        return (
            {},
            "a jail has the standard library and the libraries that the file declares; there is no other module",
        )
    if (found := _NODE_CALL.search(message)) and found["code"] in _HINTS:
        named = {"system call": found["call"], "path": found["path"] or ""}
        return {label: text for label, text in named.items() if text}, _HINTS[found["code"]]
    if found := _NODE_NETWORK.search(message):
        return {"system call": found["call"]}, _NO_NETWORK
    if (found := _PYTHON_CALL.search(message)) and (code := _CODES.get(found["number"])):
        return {"path": found["path"]} if found["path"] else {}, _HINTS[code]
    return {}, ""


def _wider_tier(limit: str, asked: Iterable[str], filename: str) -> tuple[str, str, list[dict[str, Any]]] | None:
    """For code that was stopped at the end of its compute tier: the path, the advice and the patch of the next one."""
    tiers = list(COMPUTE_SECONDS)
    bound = next((tier for tier in tiers if limit == f"{COMPUTE_SECONDS[tier]} s"), tiers[-1])
    permissions = sorted(asked)
    if language(filename) is None or bound == tiers[-1]:
        return None
    wider = f"compute.{tiers[tiers.index(bound) + 1]}"
    if wider in permissions:
        return None
    root = "/permissions"
    names = [*(name for name in permissions if name != f"compute.{bound}"), wider]
    return (
        "permissions",
        f"do less at once, or ask for {COMPUTE_SECONDS[wider.partition('.')[2]]} s: declare {wider}",
        [{"op": "add", "path": root, "value": names}],
    )
