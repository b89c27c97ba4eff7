"""The tree that both scanners grow: data with the place of every part, within bounds.

The scanners say what they see; the tree refuses what no manifest needs: repeated keys, depth, numbers of parts.
"""

from typing import Any, Final, NoReturn

from hardpoint_manifest.document import Place
from hardpoint_manifest.finding import Finding, ManifestError, Path, Severity, path_text

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 32
MAX_PARTS: Final = 20_000
MAX_INTEGER: Final = 2**63 - 1
QUOTE: Final = "write it as a text, in quotes"


def refuse(rule: str, message: str, place: Place, fix: str = "", path: Path = ()) -> NoReturn:
    """Raise the ManifestError that says why the file is no document."""
    raise ManifestError(Finding(rule, Severity.ERROR, message, path_text(path), place.line, place.column, fix))


def place_at(text: str, offset: int) -> Place:
    """The place of a character, counted from 0, in the text."""
    return Place(text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset))


def whole_number(text: str, place: Place, path: Path) -> int:
    """The number, refused when it does not fit 64 bits: most programs that read it would change it silently."""
    if len(text) > 20 or abs(number := int(text)) > MAX_INTEGER:
        refuse("number-too-large", "the number does not fit 64 bits", place, QUOTE, path)
    return number


class Tree:
    """Data under construction; `data` and `places` are complete when the scanner has ended."""

    def __init__(self) -> None:
        self.data: Any = None
        self.places: dict[Path, Place] = {}
        self._open: list[Any] = []
        self._path: list[str | int] = []

    @property
    def path(self) -> Path:
        """Where the next value goes."""
        return tuple(self._path)

    def key(self, key: Any, place: Place) -> None:
        """The next value belongs to this key of the open mapping."""
        if not isinstance(key, str):
            refuse("key-not-text", f"{key!r} is used as a key; keys are texts", place, "put it in quotes", self.path)
        if key in self._open[-1]:
            first = self.places[(*self._path, key)]
            message = f"`{key[:64]}` is given twice; the first is in line {first.line}"
            refuse("duplicate-key", message, place, "remove one of them", (*self._path, key))
        self._path.append(key)
        self.places[self.path] = place

    def value(self, value: Any, place: Place) -> None:
        """A text, number, boolean or null."""
        self._add(value, place)
        self._leave()

    def open(self, container: dict[str, Any] | list[Any], place: Place) -> None:
        """A mapping or a list starts."""
        if len(self._open) >= MAX_DEPTH:
            refuse("too-deep", f"more than {MAX_DEPTH} levels inside each other", place, "write it flatter")
        self._add(container, place)
        self._open.append(container)

    def close(self) -> None:
        """The innermost mapping or list ends."""
        self._open.pop()
        self._leave()

    def _add(self, value: Any, place: Place) -> None:
        if len(self.places) >= MAX_PARTS:
            message = f"more than {MAX_PARTS} values in one file"
            refuse("too-many-parts", message, place, "move data to settings or files")
        if not self._open:
            self.data = value
        elif isinstance(self._open[-1], list):
            self._path.append(len(self._open[-1]))
            self._open[-1].append(value)
        else:
            self._open[-1][self._path[-1]] = value
        self.places.setdefault(self.path, place)

    def _leave(self) -> None:
        if self._path:
            self._path.pop()
