"""What the rules look at: one document, what its author wrote, and the manifest that it makes."""

from dataclasses import dataclass

from hardpoint_manifest import source as written
from hardpoint_manifest.document import Document
from hardpoint_manifest.finding import Finding, PatchOp, Path, Severity, pointer
from hardpoint_manifest.model import Manifest


@dataclass(frozen=True, slots=True)
class Subject:
    """A capability under check."""

    document: Document
    source: written.Capability | written.Header
    manifest: Manifest

    def at(self, *parts: str | int) -> Path:
        """The path of a part of the capability."""
        return (*self.document.root, *parts)

    def error(self, rule: str, path: Path, message: str, fix: str = "", patch: tuple[PatchOp, ...] = ()) -> Finding:
        """A finding that stops the release."""
        return self.document.finding(rule, Severity.ERROR, path, message, fix, patch)

    def warning(self, rule: str, path: Path, message: str, fix: str = "", patch: tuple[PatchOp, ...] = ()) -> Finding:
        """A finding that asks for something."""
        return self.document.finding(rule, Severity.WARNING, path, message, fix, patch)

    def info(self, rule: str, path: Path, message: str, fix: str = "", patch: tuple[PatchOp, ...] = ()) -> Finding:
        """A finding that only tells."""
        return self.document.finding(rule, Severity.INFO, path, message, fix, patch)

    @property
    def settings_key(self) -> str:
        """Where this dialect keeps its settings."""
        return "config" if isinstance(self.source, written.Header) else "configuration"

    def add_setting(self, key: str, kind: str) -> tuple[PatchOp, ...]:
        """The patch that declares a setting, in the shape that the author uses."""
        path = self.at(self.settings_key)
        present = self.document.value(path)
        body = {"type": kind, "label": key.replace("_", " ").capitalize(), "required": True}
        if isinstance(present, dict):
            return (PatchOp("add", pointer((*path, key)), body),)
        if present is None:
            return (PatchOp("add", pointer(path), [{"key": key, **body}]),)
        return (PatchOp("add", pointer((*path, "-")), {"key": key, **body}),)
