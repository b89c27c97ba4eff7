"""A jail that is made otherwise than it ships: one text of its files is replaced."""

from pathlib import Path

import pytest

from hardpoint_executor.jail import launch


def altered(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str, old: str, new: str) -> None:
    """Have jails made from copies of their files, with `old` replaced by `new` in the one of that name."""
    for path in (*launch.HERE.glob("*.cfg"), *launch.HERE.glob("*.policy")):
        text = path.read_text()
        if path.name == name:
            assert old in text
            text = text.replace(old, new)
        (folder / path.name).write_text(text)
    monkeypatch.setattr(launch, "HERE", folder)
