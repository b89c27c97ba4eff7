"""A document: the data that an author wrote, and where in the file each part of it stands."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from hardpoint_manifest.finding import Finding, PatchOp, Path, Severity, path_text


class Place(NamedTuple):
    """A position in a file; both count from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Document:
    """What a file says, before anything is known about its meaning."""

    data: Any
    places: Mapping[Path, Place]
    filename: str
    media_type: str
    text: str

    @property
    def is_code(self) -> bool:
        """Whether the data is the header of a code file, read by running it elsewhere."""
        return self.media_type in {"text/javascript", "text/typescript", "text/x-python"}

    @property
    def root(self) -> Path:
        """The path of the capability within the data: a code header is the capability itself."""
        return () if self.is_code else ("capability",)

    def place(self, path: Path) -> Place:
        """Where this part stands, or the nearest part around it that the file has."""
        for length in range(len(path), -1, -1):
            if found := self.places.get(path[:length]):
                return found
        return Place(1, 1)

    def value(self, path: Path) -> Any:
        """The value at the path, or None."""
        value = self.data
        for part in path:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return None
        return value

    def path(self, pointer: str) -> Path:
        """The path that a JSON Pointer into the data names."""
        path: list[str | int] = []
        for part in pointer.split("/")[1:]:
            inside = self.value(tuple(path))
            path.append(int(part) if isinstance(inside, list) else part.replace("~1", "/").replace("~0", "~"))
        return tuple(path)

    def finding(
        self,
        rule: str,
        severity: Severity,
        path: Path,
        message: str,
        fix: str = "",
        patch: tuple[PatchOp, ...] = (),
    ) -> Finding:
        """A finding about the part at this path."""
        line, column = self.place(path)
        return Finding(rule, severity, message, path_text(path), line, column, fix, patch)
