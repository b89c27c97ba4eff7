"""Installed wheels, small and made up, as pip would have left them."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path


def install(
    folder: Path, name: str, version: str, files: Mapping[str, str], requires: Sequence[str] = (), record: str = ""
) -> None:
    """Write a wheel's files with their record; `record` are lines more."""
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    lines = []
    for path, content in {**files, f"{info}/METADATA": metadata}.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
        digest = base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest()).rstrip(b"=").decode()
        lines.append(f"{path},sha256={digest},{len(content)}")
    (folder / info / "RECORD").write_text("\n".join([*lines, f"{info}/RECORD,,", record]))
