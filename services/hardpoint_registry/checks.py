"""Owns what the registry has to say about a submission: the findings of its manifest; pure."""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from hardpoint_kit.errors import InvalidArgument
from hardpoint_manifest.cassette import MOST_BYTES, read
from hardpoint_manifest.check import Report, check
from hardpoint_manifest.document import Document
from hardpoint_manifest.finding import Finding, ManifestError, Severity
from hardpoint_manifest.load import MAX_BYTES, language, load, load_code
from hardpoint_manifest.model import Kind, Manifest
from hardpoint_manifest.trial import tried
from hardpoint_manifest.verdict import stale
from hardpoint_registry.domain import Release

MOST_VIOLATIONS = 20
LONGEST_VIOLATION = 500


def check_submission(source: bytes, filename: str, header: Mapping[str, Any] | None) -> Report:
    """Check the bytes of a release, and a code file's header; raises InvalidArgument for a wrong header."""
    return _checked(source, filename, header)[0]


def check_publication(source: bytes, filename: str, header: Mapping[str, Any] | None) -> tuple[Finding, ...]:
    """The findings of a release that is to be published: the same, and what examples of a workflow do not hold."""
    report, document = _checked(source, filename, header)
    if not report.ok or report.manifest is None or report.manifest.kind is not Kind.WORKFLOW or document is None:
        return report.findings
    failed = (
        document.finding(
            "example-failed",
            Severity.ERROR,
            (*document.root, "examples", index),
            f"the example {one.example.name} does not hold: {one.differences[0]}",
            "see hardpoint test FILE",
        )
        for index, one in enumerate(tried(report.manifest))
        if one.differences
    )
    return (*islice(failed, MOST_VIOLATIONS), *report.findings)


def _checked(source: bytes, filename: str, header: Mapping[str, Any] | None) -> tuple[Report, Document | None]:
    try:
        document = _read(source, filename, header)
    except ManifestError as error:
        return Report(None, error.findings), None
    if zero := tuple(_zero_characters(document)):
        return Report(None, zero), None
    return check(document), document


def check_cassettes(manifest: Manifest, cassettes: Mapping[str, bytes]) -> None:
    """Raise InvalidArgument CASSETTE_INVALID unless each is a cassette of an example of its name."""
    examples = {example.name: example for example in manifest.examples}
    for name, data in cassettes.items():
        example = examples.get(name)
        action = manifest.action(example.action) if example else None
        if example is None or action is None:
            raise _no_cassette(name, "no example has this name", "")
        if manifest.kind is Kind.WORKFLOW:
            raise _no_cassette(name, "what steps of a workflow give stands in its examples", "")
        try:
            cassette = read(data, f"{name}.json")
        except ManifestError as error:
            finding = error.findings[0]
            raise _no_cassette(name, finding.message, f":{finding.line}:{finding.column}") from None
        if why := stale(example, action, cassette):
            raise _no_cassette(name, why, "")
    if sum(map(len, cassettes.values())) > MOST_BYTES:
        raise InvalidArgument(
            f"the cassettes have more than {MOST_BYTES:,} bytes together",
            reason="CASSETTE_LIMIT",
            fix="record fewer examples, or such that fetch less",
            limit=f"{MOST_BYTES} bytes",
        )


def not_held(release: Release, failures: Mapping[str, tuple[str, str]]) -> tuple[Finding, ...]:
    """The findings of examples that did not hold on their cassettes: message and fix by name."""
    names = [example.name for example in release.manifest.examples]
    return tuple(
        Finding(
            "example-failed",
            Severity.ERROR,
            f"the example {name} does not hold on its cassette: {message}",
            f"examples[{names.index(name)}]" if name in names else "examples",
            fix=fix,
        )
        for name, (message, fix) in failures.items()
    )


def _no_cassette(name: str, message: str, place: str) -> InvalidArgument:
    shown = ascii(name[:100])[1:-1]
    return InvalidArgument(
        f"cassettes/{shown}.json is no cassette of this release: {message}",
        reason="CASSETTE_INVALID",
        place=f"cassettes/{shown}.json{place}",
        fix="record it again: hardpoint test FILE --record; or remove it",
    )


def invalid_manifest(filename: str, findings: Sequence[Finding]) -> InvalidArgument:
    """Return the error that tells an author what is wrong, by path, with line, column and fix.

    An error travels in headers, so only the first findings are told; the metadata `findings` counts all of them.
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


def _zero_characters(document: Document) -> Iterator[Finding]:
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
