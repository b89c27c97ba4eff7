"""Cassettes on the author's disk: one file for each example, in the folder `cassettes` beside the capability's file."""

import contextlib
from pathlib import Path

from hardpoint_kit.errors import InvalidArgument
from hardpoint_manifest.cassette import FOLDER, MOST_BYTES, Cassette, read
from hardpoint_manifest.finding import ManifestError
from hardpoint_manifest.model import Example, Manifest
from hardpoint_manifest.verdict import stale


def path_of(file: Path, example: Example) -> Path:
    """Where the cassette of an example is; the name of an example holds nothing that leads elsewhere."""
    return file.parent / FOLDER / f"{example.name}.json"


def load(file: Path, example: Example) -> tuple[bytes, Cassette] | None:
    """The cassette of an example, None where there is none; raises InvalidArgument CASSETTE_INVALID."""
    path = path_of(file, example)
    try:
        with path.open("rb") as opened:
            data = opened.read(MOST_BYTES + 1)
    except FileNotFoundError:
        return None
    try:
        return data, read(data, path.name)
    except ManifestError as error:
        finding = error.findings[0]
        raise InvalidArgument(
            finding.message,
            reason="CASSETTE_INVALID",
            place=f"{path}:{finding.line}:{finding.column}",
            fix=finding.fix or "record it again: hardpoint test FILE --record",
        ) from None


def all_of(file: Path, manifest: Manifest) -> dict[str, bytes]:
    """The cassettes of a capability by the name of their example; raises as `load`."""
    found = ((example.name, load(file, example)) for example in manifest.examples)
    return {name: loaded[0] for name, loaded in found if loaded is not None}


def usable(file: Path, manifest: Manifest) -> dict[str, bytes]:
    """The same without those that are none, or none of their example any more."""
    found: dict[str, bytes] = {}
    for example in manifest.examples:
        action = manifest.action(example.action)
        with contextlib.suppress(InvalidArgument):
            loaded = load(file, example)
            if loaded and action and not stale(example, action, loaded[1]):
                found[example.name] = loaded[0]
    return found


def save(file: Path, example: Example, data: bytes) -> Path:
    """Write the cassette of an example."""
    path = path_of(file, example)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path
