"""Checking: what is wrong with a document, and the manifest that it makes.

First the shape (`shape`), then the one model (`normalise`), then the rules of the language (`rules`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from hardpoint_manifest import normalise, source
from hardpoint_manifest.document import Document
from hardpoint_manifest.finding import Finding, Severity
from hardpoint_manifest.load import language
from hardpoint_manifest.model import Manifest
from hardpoint_manifest.rules import RULES, Subject
from hardpoint_manifest.shape import read

_ORDER: Final = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found; the manifest is there whenever the shape is right, even with errors."""

    manifest: Manifest | None
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing stops a release."""
        return self.manifest is not None and not any(f.severity is Severity.ERROR for f in self.findings)


def check(document: Document) -> Report:
    """Check a document against the whole language; findings come errors first, then by line."""
    capability: source.Capability | source.Header
    if document.is_code:
        header, findings = read(document, source.Header)
        if header is None:
            return Report(None, _sorted(findings))
        capability, manifest = header, normalise.code(header, language(document.filename) or "")
    elif "capability" not in document.data:
        message = "there is no `capability`; everything stands under it"
        finding = document.finding("missing-capability", Severity.ERROR, (), message, "start with `capability:`")
        return Report(None, (finding,))
    else:
        file, findings = read(document, source.CapabilityFile)
        if file is None:
            return Report(None, _sorted(findings))
        capability, manifest = file.capability, normalise.declarative(file.capability)
    subject = Subject(document, capability, manifest)
    return Report(manifest, _sorted(finding for rule in RULES for finding in rule(subject)))


def _sorted(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    once = {(finding.rule, finding.path, finding.line, finding.message): finding for finding in findings}
    return tuple(sorted(once.values(), key=lambda f: (_ORDER[f.severity], f.line, f.column)))
