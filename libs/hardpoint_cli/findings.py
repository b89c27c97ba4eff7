"""A file as its author wants it judged: read, checked, and the findings as a report."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from google.protobuf.struct_pb2 import Struct
from rich.console import Group, RenderableType
from rich.text import Text

from hardpoint_cli.plans import outline
from hardpoint_cli.session import connect
from hardpoint_kit.documents import from_struct
from hardpoint_kit.errors import HardpointError, InvalidArgument
from hardpoint_manifest.check import Report, check
from hardpoint_manifest.document import Document
from hardpoint_manifest.finding import Finding, ManifestError, Severity
from hardpoint_manifest.load import MAX_BYTES, language, load, load_code
from hardpoint_manifest.model import Manifest

_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}
_PLACE = re.compile(r":(?P<line>\d+):(?P<column>\d+)$")


@dataclass(frozen=True, slots=True)
class Checked:
    """A file, its bytes, what the check said, and a code file's header."""

    file: Path
    data: bytes
    report: Report
    header: Struct | None = None

    @property
    def document(self) -> dict[str, Any]:
        """For `--json`."""
        manifest = self.report.manifest
        return {
            "file": str(self.file),
            "ok": self.report.ok,
            "capability": manifest.id if manifest else "",
            "version": manifest.version if manifest else "",
            "findings": [asdict(finding) for finding in self.report.findings],
        }

    def read_again(self) -> Document:
        """The file as a document; raises ManifestError where the check found that it is none."""
        if self.header is None:
            return load(self.data, self.file.name)
        return load_code(self.data, self.file.name, from_struct(self.header))

    @property
    def shown(self) -> RenderableType:
        """For people: every finding, then what the file offers and reaches."""
        parts: list[RenderableType] = []
        for finding in self.report.findings:
            parts += [_finding(str(self.file), finding), Text("")]
        if self.report.manifest is not None:
            parts += [_offered(self.report.manifest), Text("")]
        return Group(*parts, _verdict(self.report))


async def checked(file: Path) -> Checked:
    """Check a file with the server's own rules; only a code file's header needs the server, whose jail reads it."""
    with file.open("rb") as opened:
        data = opened.read(MAX_BYTES + 1)
    try:
        if language(file.name) is None:
            return Checked(file, data, check(load(data, file.name)))
        load_code(data, file.name, {})
        async with connect() as client:
            header = await client.read_header(data, file.name)
        return Checked(file, data, check(load_code(data, file.name, from_struct(header))), header)
    except ManifestError as error:
        return Checked(file, data, Report(None, error.findings))
    except InvalidArgument as error:
        if error.reason != "HEADER_UNREADABLE":
            raise
        return Checked(file, data, Report(None, (_unreadable(error),)))


def refused(findings: Sequence[Any]) -> RenderableType:
    """Findings that came from the server."""
    return Group(
        *(
            Text.assemble(
                (f"{one.line}:{one.column}  ", "bold"), one.message, (f"  {one.fix}" if one.fix else "", "dim")
            )
            for one in findings
        )
    )


def _unreadable(error: HardpointError) -> Finding:
    place = _PLACE.search(error.place)
    line, column = (int(place["line"]), int(place["column"])) if place else (1, 1)
    return Finding("code-unreadable", Severity.ERROR, error.message, "", line, column, error.fix)


def _finding(file: str, finding: Finding) -> RenderableType:
    head = Text.assemble(
        (f"{file}:{finding.line}:{finding.column}", "bold"),
        "  ",
        (finding.severity.value, _STYLES[finding.severity]),
        (f"  {finding.rule}", "dim"),
    )
    lines = [head, Text(f"  {finding.message}" + (f"  ({finding.path})" if finding.path else ""))]
    if finding.fix:
        lines.append(Text.assemble(("  fix:   ", "bold"), finding.fix))
    for operation in finding.patch:
        value = "" if operation.op == "remove" else f" {json.dumps(operation.value, ensure_ascii=False)}"
        lines.append(Text.assemble(("  patch: ", "bold"), f"{operation.op} {operation.path}{value}"))
    return Group(*lines)


def _offered(manifest: Manifest) -> RenderableType:
    needs = [
        f"{r.key}{' (secret)' if r.secret else ''}{'' if r.required else ' (optional)'}" for r in manifest.requirements
    ]
    lines = {
        "offers": ", ".join(action.id for action in manifest.actions),
        "reaches": ", ".join(manifest.hosts),
        "permissions": ", ".join(manifest.permissions),
        "libraries": ", ".join(manifest.libraries),
        "needs": ", ".join(needs),
        "calls": ", ".join(manifest.calls),
        "steps": f"\n{' ' * 13}".join(outline(manifest.plan)) if manifest.plan is not None else "",
    }
    return Group(*(Text.assemble((f"{label + ':':<13}", "dim"), text) for label, text in lines.items() if text))


def _verdict(report: Report) -> Text:
    counts = {severity: sum(f.severity is severity for f in report.findings) for severity in Severity}
    words = (
        ", ".join(_counted(count, severity) for severity, count in counts.items() if count) or "nothing to complain of"
    )
    name = f"{report.manifest.id} {report.manifest.version}: " if report.manifest else ""
    return Text.assemble(("✓ ", "green") if report.ok else ("✗ ", "red"), f"{name}{words}")


def _counted(count: int, severity: Severity) -> str:
    noun = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}[severity]
    return f"{count} {noun}{'' if count == 1 else 's'}"
