"""Standard capabilities: ordinary ones, shipped with the product and there in every organisation.

Each is a file in `capabilities` like anybody's, and an example of its kind: a connector, or code that runs in the
jail. Beside code is the header that a jail reads of it, as JSON, so that publishing it needs no jail; a test reads it
in one and compares.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from hardpoint_manifest.check import check
from hardpoint_manifest.load import load, load_code
from hardpoint_manifest.model import Manifest

CODE = ("ai", "calendar", "database", "email", "files", "knowledge", "notify", "ocr", "validate")
CONNECTORS = ("crm",)
NAMES = tuple(sorted((*CODE, *CONNECTORS)))


@dataclass(frozen=True, slots=True)
class Shipped:
    """A standard capability as it is shipped."""

    filename: str
    source: bytes
    header: Mapping[str, Any] | None

    @property
    def manifest(self) -> Manifest:
        """What it says of itself."""
        if self.header is None:
            manifest = check(load(self.source, self.filename)).manifest
        else:
            manifest = check(load_code(self.source, self.filename, self.header)).manifest
        assert manifest is not None
        return manifest


@cache
def shipped() -> tuple[Shipped, ...]:
    """The standard capabilities of this version of the product."""
    folder = files(__name__) / "capabilities"
    code = (
        Shipped(
            f"{name}.py", (folder / f"{name}.py").read_bytes(), json.loads((folder / f"{name}.json").read_text("utf-8"))
        )
        for name in CODE
    )
    connectors = (Shipped(f"{name}.yaml", (folder / f"{name}.yaml").read_bytes(), None) for name in CONNECTORS)
    return (*code, *connectors)
