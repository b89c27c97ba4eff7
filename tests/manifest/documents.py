"""Documents for the tests: the examples of the design document, and small ones made from parts."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from hardpoint_manifest.check import Report, check
from hardpoint_manifest.document import Document
from hardpoint_manifest.finding import Finding, ManifestError, apply_patch
from hardpoint_manifest.load import load, load_code

_Error = TypeVar("_Error", bound=Exception)
EXAMPLES = Path(__file__).parents[2] / "examples"
EXAMPLES_OF_DATA = [file.name for file in sorted(EXAMPLES.glob("*.yaml")) + sorted(EXAMPLES.glob("*.json"))]

ANALYZER_HEADER: dict[str, Any] = {
    "id": "data-analyzer",
    "name": "Advanced Data Analyzer",
    "version": "1.0.0",
    "actions": [
        {"id": "analyzeDataset", "async": True, "declared": False},
        {"id": "statisticalAnalysis", "async": False, "declared": False},
    ],
    "config": {"maxDatasetSize": {"type": "number", "default": 10000, "description": "Maximum rows to process"}},
    "permissions": ["data.read", "compute.moderate"],
}


def example(name: str) -> Document:
    """A declarative example of the design document, byte for byte."""
    return load((EXAMPLES / name).read_bytes(), name)


def analyzer(**changes: Any) -> Document:
    """The code example of the design document, with its header as the jail reads it."""
    source = (EXAMPLES / "custom-data-analyzer.js").read_bytes()
    return load_code(source, "custom-data-analyzer.js", {**ANALYZER_HEADER, **changes})


def http(**changes: Any) -> dict[str, Any]:
    """A small correct HTTP capability; a change to None removes the key."""
    capability: dict[str, Any] = {
        "id": "lookup",
        "version": "1.0.0",
        "actions": [{"id": "get", "inputs": [{"name": "q", "type": "string", "required": True}]}],
        "integration": {"type": "api", "endpoint": "https://api.example.com/v1", "params": {"q": "${input.q}"}},
        "permissions": ["network.http.get"],
        **changes,
    }
    return {"capability": {key: value for key, value in capability.items() if value is not None}}


def integration(**changes: Any) -> dict[str, Any]:
    """The capability of `http` with another integration."""
    return http(integration={"type": "api", "endpoint": "https://api.example.com/v1", **changes})


def connector(endpoint: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A small correct API connector with one endpoint; `base_url` and `auth` are those of its `api`."""
    shared = {
        key: changes.pop(key) for key in ("base_url", "auth", "headers", "retry", "idempotency") if key in changes
    }
    api = {"base_url": "https://api.example.com/v1", **shared}
    endpoints = [{"id": "list", "method": "GET", "path": "/items", **(endpoint or {})}]
    plain = {"actions": None, "integration": None, "type": "api-connector"}
    return http(**plain, **{"api": api, "endpoints": endpoints, **changes})


def document(data: Any) -> Document:
    """The data as a JSON file."""
    return load(json.dumps(data, indent=2).encode(), "capability.json")


def report(data: Any) -> Report:
    """The check of the data as a JSON file."""
    return check(document(data))


def patched(document_: Document, finding: Finding) -> Report:
    """The check of the document with the patch of a finding applied."""
    data = apply_patch(document_.data, finding.patch)
    if document_.is_code:
        return check(load_code(document_.text.encode(), document_.filename, data))
    return report(data)


def rules(findings: tuple[Finding, ...]) -> set[str]:
    """The names of the rules that found something."""
    return {finding.rule for finding in findings}


def only(findings: tuple[Finding, ...], rule: str) -> Finding:
    """The one finding of a rule."""
    (finding,) = [one for one in findings if one.rule == rule]
    return finding


def raised(kind: type[_Error], function: Callable[..., object], *arguments: object) -> _Error | None:
    """The error that a call ends with, or None."""
    try:
        function(*arguments)
    except kind as error:
        return error
    return None


def refused(data: bytes, filename: str = "capability.yaml") -> Finding:
    """The finding of a file that cannot be loaded."""
    error = raised(ManifestError, load, data, filename)
    assert error is not None, "the file was loaded"
    (finding,) = error.findings
    return finding


def hostile(corpus: str) -> str:
    """What a hostile corpus has to complain about, in a process with little memory and processor time."""
    command = [sys.executable, str(Path(__file__).with_name("hostile.py")), corpus]
    ran = subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": ":".join(sys.path)}, check=False)
    return ran.stderr[-2000:] or (f"it ended with {ran.returncode}" if ran.returncode else "")
