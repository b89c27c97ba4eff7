"""Owns what the registry has to say about a submission: its manifest's findings, and secrets left in its text; pure."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hardpoint_kit.errors import InvalidArgument
from hardpoint_manifest.check import check
from hardpoint_manifest.document import Document
from hardpoint_manifest.finding import Finding, ManifestError, Severity
from hardpoint_manifest.load import MAX_BYTES, language, load, load_code, place_at
from hardpoint_manifest.model import Manifest

MOST_VIOLATIONS = 20
LONGEST_VIOLATION = 500

# Every repetition has a bound, so the time to search a text grows with its length only.
_LEAKS = {
    "an AWS access key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a private key": r"-----BEGIN (?:[A-Z]{2,12} ){0,3}PRIVATE KEY-----",
    "a GitHub token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{60})",
    "a Slack token": r"\bxox[abeoprs]-[A-Za-z0-9-]{10}",
    "a Stripe key": r"\b[rs]k_live_[A-Za-z0-9]{16}",
    "a Google API key": r"\bAIza[0-9A-Za-z_-]{35}",
    "a key of a model provider": r"\bsk-[A-Za-z0-9_-]{32}",
    "a bearer token": r"\b[Bb]earer [A-Za-z0-9._~+/-]{20}",
    "a password in a URL": r"://[^\s/:@'\"`${}]{1,100}:[^\s/:@'\"`${}]{3,200}@",
}
_LEAK = re.compile("|".join(f"({pattern})" for pattern in _LEAKS.values()))
_LEAK_NAMES = tuple(_LEAKS)


@dataclass(frozen=True, slots=True)
class Checked:
    """The outcome of checks; without a manifest there is nothing to release."""

    manifest: Manifest | None
    findings: tuple[Finding, ...]


def check_draft(source: bytes, filename: str, header: Mapping[str, Any] | None) -> Checked:
    """Check a submission; what only publication forbids is a warning. Raises InvalidArgument for a wrong header."""
    return _check(source, filename, header, Severity.WARNING)


def check_publication(source: bytes, filename: str, header: Mapping[str, Any] | None) -> tuple[Finding, ...]:
    """Check a draft again before it is published: the rules may have grown since, and secrets now are errors."""
    return _check(source, filename, header, Severity.ERROR).findings


def invalid_manifest(filename: str, findings: Sequence[Finding]) -> InvalidArgument:
    """Return the error that tells an author what is wrong, by path, with line, column and fix.

    Errors travel in headers, so the first few are told; `findings` counts all of them.
    """
    violations: dict[str, str] = {}
    for finding in findings[:MOST_VIOLATIONS]:
        fix = f" ({finding.fix})" if finding.fix else ""
        told = f"{finding.line}:{finding.column} {finding.message}{fix}"
        path = finding.path or filename
        told = f"{violations[path]}; {told}" if path in violations else told
        violations[path] = told if len(told) <= LONGEST_VIOLATION else told[: LONGEST_VIOLATION - 1] + "…"
    first = findings[0]
    return InvalidArgument(
        violations,
        reason="MANIFEST_INVALID",
        place=f"{filename}:{first.line}:{first.column}",
        fix=first.fix,
        findings=len(findings),
    )


def _check(source: bytes, filename: str, header: Mapping[str, Any] | None, leak: Severity) -> Checked:
    try:
        document = _read(source, filename, header)
    except ManifestError as error:
        return Checked(None, error.findings)
    zero = tuple(_zero_characters(document))
    if zero:
        return Checked(None, zero)
    report = check(document)
    return Checked(report.manifest, (*report.findings, *_leaks(document, leak)))


def _read(source: bytes, filename: str, header: Mapping[str, Any] | None) -> Document:
    is_code = language(filename) is not None
    if is_code and header is None:
        raise InvalidArgument(
            {"header": f"is required, since {filename} is code"}, fix="read it first: ExecutorService.ReadHeader"
        )
    if header is None:
        return load(source, filename)
    if not is_code:
        raise InvalidArgument({"header": f"must be unset, since {filename} is not code"}, fix="leave it out")
    try:
        size = len(json.dumps(header, allow_nan=False))
    except ValueError as error:
        raise InvalidArgument({"header": "holds a number that is not finite"}, fix="export finite numbers") from error
    if size > MAX_BYTES:
        raise InvalidArgument({"header": f"has more than {MAX_BYTES:,} bytes"}, fix="export less data")
    return load_code(source, filename, header)


def _leaks(document: Document, severity: Severity) -> Iterator[Finding]:
    """Find secrets by their shape; a finding says where, and never what."""
    for match in _LEAK.finditer(document.text):
        line, column = place_at(document.text, match.start())
        yield Finding(
            rule="leaked-secret",
            severity=severity,
            message=f"this looks like {_LEAK_NAMES[(match.lastindex or 1) - 1]}; everybody who sees the release reads it",
            line=line,
            column=column,
            fix="remove it, revoke it where it comes from, and ask for it as a secret of the configuration",
        )


def _zero_characters(document: Document) -> Iterable[Finding]:
    """Find texts with a zero character, which can be written as an escape and which no database keeps."""
    inside: list[tuple[tuple[str | int, ...], Any]] = [((), document.data)]
    while inside:
        path, value = inside.pop()
        if isinstance(value, Mapping):
            inside.extend(((*path, key), part) for key, part in value.items())
            value = "".join(value)
        elif isinstance(value, list):
            inside.extend(((*path, index), part) for index, part in enumerate(value))
        if isinstance(value, str) and "\0" in value:
            yield document.finding(
                "control-character", Severity.ERROR, path, "the text holds a zero character", "remove it"
            )
