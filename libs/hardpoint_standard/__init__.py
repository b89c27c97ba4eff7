"""Standard capabilities: ordinary ones, shipped with the product and there in every organisation.

Each is a code file in `capabilities` that runs in the jail like anybody's, and an example of its kind. Beside it is the
header that a jail reads of it, as JSON, so that publishing it needs no jail; a test reads it in one and compares.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from hardpoint_manifest.check import check
from hardpoint_manifest.load import load_code
from hardpoint_manifest.model import Manifest

NAMES = ("ai", "calendar", "database", "email", "files", "knowledge", "notify", "ocr", "validate")


@dataclass(frozen=True, slots=True)
class Shipped:
    """A standard capability as it is shipped."""

    filename: str
    source: bytes
    header: Mapping[str, Any]

    @property
    def manifest(self) -> Manifest:
        """What it says of itself."""
        manifest = check(load_code(self.source, self.filename, self.header)).manifest
        assert manifest is not None
        return manifest


@cache
def shipped() -> tuple[Shipped, ...]:
    """The standard capabilities of this version of the product."""
    folder = files(__name__) / "capabilities"
    return tuple(
        Shipped(
            f"{name}.py", (folder / f"{name}.py").read_bytes(), json.loads((folder / f"{name}.json").read_text("utf-8"))
        )
        for name in NAMES
    )
