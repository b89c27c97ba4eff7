"""Owns the choice among releases: which version a constraint means, and how versions are ordered; pure."""

from collections.abc import Iterable

from hardpoint_kit.errors import InvalidArgument
from hardpoint_manifest.version import LATEST, Constraint, Version, best

HIGHEST = "~"
"""A precedence above that of every version."""


def resolve(versions: Iterable[str], constraint: str) -> str | None:
    """Return the highest version that the constraint accepts, None when none fits; empty asks for the latest.

    Raises InvalidArgument for a constraint that cannot be read.
    """
    try:
        wanted = Constraint.parse(constraint or LATEST)
    except ValueError as error:
        raise InvalidArgument({"constraint": str(error)}, fix="write 1.2.3, ^1.2, 1.x, >=2,<3 or nothing") from error
    found = best([Version.parse(version) for version in versions], wanted)
    return found.text if found else None


def precedence(version: str) -> str:
    """Return a text that sorts, byte by byte, as the version does among versions.

    Numbers are led by their length, a prerelease (`-`) comes before none (`~`), and each of its identifiers ends with a
    character (`!`) below all that identifiers consist of.
    """
    core, _, prerelease = version.partition("-")
    numbers = "".join(_number(number) for number in core.split("."))
    if not prerelease:
        return f"{numbers}~"
    return f"{numbers}-" + "".join(f"{_identifier(part)}!" for part in prerelease.split("."))


def _identifier(text: str) -> str:
    return f"0{_number(text)}" if text.isdigit() else f"1{text}"


def _number(digits: str) -> str:
    return f"{len(digits):02}{digits}"
