"""Owns the libraries that Python code may import besides the standard library: built once, read-only in jails.

They come from wheels that the operator installed, and nothing is fetched. Each is a folder of its own under one folder
named by a digest of them all; every Python jail has it at /layers, and code that asks for a library has it on its path.
"""

import base64
import compileall
import contextlib
import hashlib
import importlib.metadata
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import Distribution, FileHash, PackagePath
from itertools import dropwhile
from pathlib import Path, PurePosixPath
from typing import Any

from hardpoint_manifest.engine import LIBRARIES, nearest_library

from .interface import Layer
from .rootfs import LAYOUT, RootfsError, needed, prepare, publish

NEEDS = "needs.json"
"""File of the folder that says which layers each library needs besides its own."""

_SYSTEM = "system.json"
_DATA = "share"
_LEFT_OUT = ("tests",)
_LEFT_OUT_SUFFIXES = (".exe", ".pth", ".pyi")
_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?:==(?P<version>[A-Za-z0-9._+!-]+))?")


Figures = dict[str, dict[str, Any]]
"""The measured fields of each library's `Layer`."""


@dataclass(frozen=True, slots=True)
class Layers:
    """One folder with the layers of all libraries that are offered; `system` are the machine's libraries they need."""

    folder: Path
    offered: dict[str, Layer]
    system: tuple[Path, ...]

    @property
    def figures(self) -> Figures | None:
        """What the libraries cost, when that has been measured on this machine."""
        try:
            figures: Figures = json.loads(self._file.read_text())
        except FileNotFoundError:
            return None
        return figures

    def keep(self, figures: Figures) -> Figures:
        """Write down what the libraries cost, beside their folder, and return what stands there. Raises OSError.

        Of processes that measured at the same time the first one is believed, by all.
        """
        fresh = self._file.with_suffix(f".{os.getpid()}.new")
        fresh.write_text(json.dumps(figures))
        with contextlib.suppress(FileExistsError):
            os.link(fresh, self._file)
        fresh.unlink()
        return self.figures or figures

    def costing(self, figures: Figures) -> dict[str, Layer]:
        """The libraries with what they cost."""
        return {name: replace(layer, **figures[name]) for name, layer in self.offered.items()}

    @property
    def _file(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.json")


def build_layers(wanted: Sequence[str] | None, source: Path | None, folder: Path) -> Layers:
    """Return the layers of the wanted libraries, built when they are not there yet. Takes seconds the first time.

    `wanted` holds names, each of which may pin a version (`numpy==2.4.6`); None means those of the catalogue that are
    installed. `source` is the folder that they were installed to, this program's own packages when it is None. Raises
    RootfsError for a library that is unknown, missing, of another version, or changed since it was installed.
    """
    prepare(folder)
    installed = _installed(source)
    if wanted is None:
        wanted = [name for name in LIBRARIES if name in installed]
    libraries = [_pinned(requirement, installed) for requirement in wanted]
    needs = {name: _needs(name, installed) for name in libraries}
    layers = sorted({each for name in libraries for each in (name, *needs[name])})
    # The record of a wheel has the hash of every file, so it stands for the contents.
    inputs = [LAYOUT, sys.version, json.dumps(needs, sort_keys=True)]
    inputs += [f"{name} {installed[name].version} {installed[name].read_text('RECORD')}" for name in layers]

    def fill(root: Path) -> None:
        for name in layers:
            _copy(installed[name], root / name)
        compileall.compile_dir(root, stripdir=str(root), prependdir="/layers", quiet=2, workers=1)
        (root / NEEDS).write_text(json.dumps(needs))
        binaries = [path for path in root.rglob("*.so*") if path.is_file()]
        system = {path for binary in binaries for path in needed(binary) if not path.resolve().is_relative_to(root)}
        (root / _SYSTEM).write_text(json.dumps(sorted(map(str, system))))

    built = publish(folder, "layers", inputs, fill)
    sizes = {name: _size(built / name) for name in layers}
    offered = {
        name: Layer(
            name,
            installed[name].version,
            tuple(needs[name]),
            sizes[name] + sum(sizes[each] for each in needs[name]),
        )
        for name in libraries
    }
    return Layers(built, offered, tuple(map(Path, json.loads((built / _SYSTEM).read_text()))))


def _installed(source: Path | None) -> dict[str, Distribution]:
    """Distributions by canonical name; of two of one name the first counts, as it does for imports."""
    found: dict[str, Distribution] = {}
    path = sys.path if source is None else [str(source)]
    for distribution in importlib.metadata.distributions(path=path):
        found.setdefault(_canonical(distribution.metadata["Name"]), distribution)
    return found


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _pinned(requirement: str, installed: dict[str, Distribution]) -> str:
    """The name of a requirement that can be met. Raises RootfsError."""
    match = _REQUIREMENT.fullmatch(requirement)
    if match is None:
        raise RootfsError(f'"{requirement}" names no library: write numpy or numpy==2.4.6')
    name = _canonical(match["name"])
    if name not in LIBRARIES:
        close = nearest_library(name)
        fix = f"did you mean {close}?" if close else f"there are {', '.join(LIBRARIES)}"
        raise RootfsError(f"there is no library {name}: {fix}")
    if name not in installed:
        raise RootfsError(f"{name} is not installed: pip install '{requirement}' (or the extra hardpoint[libraries])")
    version = installed[name].version
    if match["version"] not in (None, version):
        raise RootfsError(f"{requirement} is wanted, and {version} is installed: pip install '{requirement}'")
    return name


def _needs(name: str, installed: dict[str, Distribution]) -> list[str]:
    """What a distribution requires with its data, and what that requires, without extras.

    Raises RootfsError for what is missing.
    """
    found: list[str] = []
    ahead = [name]
    while ahead:
        current = ahead.pop()
        data = LIBRARIES[current].data if current in LIBRARIES else ()
        for requirement in (*data, *(installed[current].requires or [])):
            text, _, marker = requirement.partition(";")
            start = re.match(r"[A-Za-z0-9._-]+", text)
            required = _canonical(start[0]) if start else ""
            if "extra" in marker or required in (name, *found):
                continue
            if required in installed:
                found.append(required)
                ahead.append(required)
            elif not marker:  # a marker may speak of another platform
                raise RootfsError(f"{current} needs {required}, which is not installed: pip install {required}")
    return sorted(found)


def _copy(distribution: Distribution, target: Path) -> None:
    for file, place, recorded in _files(distribution):
        origin = Path(str(distribution.locate_file(file)))
        if place != file and not origin.exists():  # as `pip install --target` leaves a wheel's data
            origin = Path(str(distribution.locate_file(place)))
        try:
            content = origin.read_bytes()
        except FileNotFoundError:
            raise RootfsError(f'"{origin}" is gone: install {distribution.metadata["Name"]} again') from None
        digest = base64.urlsafe_b64encode(hashlib.new(recorded.mode, content).digest()).rstrip(b"=").decode()
        if digest != recorded.value:
            name = distribution.metadata["Name"]
            raise RootfsError(f'"{origin}" was changed after it was installed: install {name} again')
        copied = target / place
        copied.parent.mkdir(parents=True, exist_ok=True)
        copied.write_bytes(content)


def _files(distribution: Distribution) -> Iterator[tuple[PackagePath, PurePosixPath, FileHash]]:
    """What came with the wheel, with its place in the layer and its hash.

    No scripts outside of the packages, no tests, no stubs, no bytecode. A wheel's data is under `share`, wherever the
    installer put that folder.
    """
    files = distribution.files
    if not files:
        raise RootfsError(f"{distribution.metadata['Name']} has no record of its files: install it from a wheel")
    for file in files:
        place = PurePosixPath(*dropwhile("..".__eq__, file.parts))
        outside = file.is_absolute() or ".." in place.parts or (place != file and place.parts[:1] != (_DATA,))
        if file.hash and not (outside or set(_LEFT_OUT) & set(file.parts) or file.suffix in _LEFT_OUT_SUFFIXES):
            yield file, place, file.hash


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
