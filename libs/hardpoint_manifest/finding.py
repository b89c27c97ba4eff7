"""Findings: what a check has to say about a document, where, and how to put it right.

A fix that a machine can apply travels as a JSON Patch (RFC 6902: add, replace and remove) against the document's data.
"""

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

Path = tuple[str | int, ...]


class Severity(StrEnum):
    """How much a finding matters: an error stops a release, a warning asks for something, info only tells."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class PatchOp:
    """One operation of a JSON Patch; `path` is a JSON Pointer into the document's data, and `remove` has no value."""

    op: Literal["add", "replace", "remove"]
    path: str
    value: Any = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of a check; line and column count from 1."""

    rule: str
    severity: Severity
    message: str
    path: str = ""
    line: int = 1
    column: int = 1
    fix: str = ""
    patch: tuple[PatchOp, ...] = ()

    def __str__(self) -> str:
        place = f" ({self.path})" if self.path else ""
        fix = f"; {self.fix}" if self.fix else ""
        return f"{self.line}:{self.column}: {self.severity}: {self.message}{place}{fix} [{self.rule}]"


class ManifestError(Exception):
    """The file is no document that can be checked; `findings` says why, and where."""

    def __init__(self, *findings: Finding) -> None:
        super().__init__("\n".join(str(finding) for finding in findings))
        self.findings = findings


def path_text(path: Path) -> str:
    """The path as people read it: `capability.actions[0].id`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def pointer(path: Path) -> str:
    """The path as a JSON Pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def apply_patch(data: Any, patch: Iterable[PatchOp]) -> Any:
    """A copy of the data with the patch applied; raises KeyError or IndexError when a path leads nowhere."""
    result = {"": copy.deepcopy(data)}
    for operation in patch:
        parts = [""] + [p.replace("~1", "/").replace("~0", "~") for p in operation.path.split("/")[1:]]
        target: Any = result
        for part in parts[:-1]:
            target = target[int(part)] if isinstance(target, list) else target[part]
        _put(target, parts[-1], operation)
    return result[""]


def _put(target: Any, key: str, operation: PatchOp) -> None:
    value = copy.deepcopy(operation.value)
    if operation.op == "remove":
        del target[int(key) if isinstance(target, list) else key]
    elif isinstance(target, list) and operation.op == "add":
        target.insert(len(target) if key == "-" else int(key), value)
    elif isinstance(target, list):
        target[int(key)] = value
    elif operation.op == "replace" and key not in target:
        raise KeyError(operation.path)
    else:
        target[key] = value
