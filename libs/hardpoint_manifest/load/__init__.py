"""Loading: the bytes of a file become a Document, data with places; what the data means is `check`'s business."""

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, Final

from hardpoint_manifest.document import Document, Place
from hardpoint_manifest.finding import Path
from hardpoint_manifest.load import code, json, yaml
from hardpoint_manifest.load.code import jail_error
from hardpoint_manifest.load.tree import MAX_BYTES, Tree, place_at, refuse

__all__ = ["LANGUAGES", "MAX_BYTES", "is_typescript", "jail_error", "language", "load", "load_code"]

LANGUAGES: Final = {
    ".js": "javascript",
    ".mjs": "javascript",
    ".ts": "javascript",
    ".mts": "javascript",
    ".py": "python",
}
_TYPESCRIPT: Final = (".ts", ".mts")
_MEDIA_TYPES: Final = {
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".json": "application/json",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".ts": "text/typescript",
    ".mts": "text/typescript",
    ".py": "text/x-python",
}
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def language(filename: str) -> str | None:
    """The language of a code file by its name, or None for every other file."""
    return LANGUAGES.get(PurePath(filename).suffix.lower())


def is_typescript(filename: str) -> bool:
    """Whether a code file is JavaScript with types, which must be taken out before it can run."""
    return PurePath(filename).suffix.lower() in _TYPESCRIPT


def load(data: bytes, filename: str) -> Document:
    """Read a YAML or JSON file; raises ManifestError with findings that name the line."""
    media_type = _media_type(filename, {".yaml", ".yml", ".json"})
    text = _text(data)
    if not text.strip():
        refuse("empty", "the file is empty", Place(1, 1), "start with `capability:`")
    tree = json.scan(text) if media_type == "application/json" else yaml.scan(text)
    if not isinstance(tree.data, dict):
        refuse(
            "not-a-mapping",
            "the file holds no mapping at its top",
            tree.places.get((), Place(1, 1)),
            "start with `capability:`",
        )
    return Document(tree.data, tree.places, filename, media_type, text)


def load_code(source: bytes, filename: str, header: Mapping[str, Any]) -> Document:
    """Read a code file by its source and the header that the jail found in it; raises ManifestError."""
    media_type = _media_type(filename, set(LANGUAGES))
    text = _text(source)
    plain = _plain(header)
    places = code.places(text, plain, LANGUAGES[PurePath(filename).suffix.lower()])
    return Document(plain, places, filename, media_type, text)


def _media_type(filename: str, accepted: set[str]) -> str:
    suffix = PurePath(filename).suffix.lower()
    if suffix not in accepted:
        refuse(
            "unknown-file-type",
            f"{PurePath(filename).name!r} is none of {', '.join(sorted(accepted))}",
            Place(1, 1),
            f"rename it to end in one of {', '.join(sorted(_MEDIA_TYPES))}",
        )
    return _MEDIA_TYPES[suffix]


def _text(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        message = f"the file has more than {MAX_BYTES:,} bytes, and no more are read"
        refuse("too-large", message, Place(1, 1), "make it smaller; data belongs in settings or files")
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        message = f"byte 0x{data[error.start]:02x} is not UTF-8"
        refuse("not-utf8", message, place_at(before, len(before)), "save the file as UTF-8")
    if control := _CONTROL.search(text):
        message = f"the file holds a control character (U+{ord(control[0]):04X})"
        refuse("control-character", message, place_at(text, control.start()), "remove it; save the file as plain text")
    return text


def _plain(header: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the header, within the same bounds as a file: it comes from code that nobody has checked."""
    tree = Tree()
    _copy(tree, header, ())
    if not isinstance(tree.data, dict):
        refuse("not-a-mapping", "the header is no object", Place(1, 1))
    return tree.data


def _copy(tree: Tree, value: Any, path: Path) -> None:
    here = Place(1, 1)
    if isinstance(value, Mapping):
        tree.open({}, here)
        for key, part in value.items():
            tree.key(key, here)
            _copy(tree, part, (*path, key))
        tree.close()
    elif isinstance(value, list | tuple):
        tree.open([], here)
        for index, part in enumerate(value):
            _copy(tree, part, (*path, index))
        tree.close()
    elif value is None or isinstance(value, bool | int | float | str):
        tree.value(value, here)
    else:
        refuse("not-data", "the header holds something that is not JSON data", here, path=path)
