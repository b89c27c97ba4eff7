"""Versions of releases and constraints on them: semantic versioning, pure.

`semantic_version` does the comparing; this module fixes one syntax and the rule that a prerelease is only chosen when
the constraint names one.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import total_ordering
from typing import Final, Self

import semantic_version  # type: ignore[import-untyped]

LATEST: Final = "latest"
MOST_NUMBER: Final = 999_999_999
"""Of major, minor and patch: nine digits, as resource names have them."""


@total_ordering
@dataclass(frozen=True, slots=True)
class Version:
    """One version in the sense of semver.org; build metadata is refused, since it would make two equal releases."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `1.2.3` or `1.2.3-rc.1`; raises ValueError."""
        parsed = _parsed(text)
        if parsed is None:
            raise ValueError(f"{text[:64]!r} is not a version: write three numbers, such as 1.0.0")
        if parsed.build:
            raise ValueError(f"{text[:64]!r} has build metadata; a release is named without it")
        if len(text) > 64:
            raise ValueError("a version has at most 64 characters")
        if max(parsed.major, parsed.minor, parsed.patch) > MOST_NUMBER:
            raise ValueError(f"a number of a version is at most {MOST_NUMBER}")
        return cls(text)

    @property
    def prerelease(self) -> bool:
        """Whether this version comes before the release of the same number."""
        return bool(self._semver.prerelease)

    @property
    def _semver(self) -> semantic_version.Version:
        return semantic_version.Version(self.text)

    def __lt__(self, other: "Version") -> bool:
        return bool(self._semver < other._semver)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Constraint:
    """Which versions are acceptable: `1.2.3`, `>=2,<3`, `^1.2`, `~1.2.0`, `1.x` or `latest`."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a constraint; raises ValueError."""
        text = text.strip()
        if text != LATEST:
            try:
                _spec(text)
            except ValueError:
                raise ValueError(
                    f"{text[:64]!r} is not a constraint: write 1.2.3, ^1.2, 1.x, >=2,<3 or latest"
                ) from None
        return cls(text)

    def allows(self, version: Version) -> bool:
        """Whether the version is acceptable; a prerelease only when the constraint names one of the same number."""
        if self.text == LATEST:
            return not version.prerelease
        if _parsed(self.text) is not None:
            return self.text == version.text
        return bool(_spec(self.text).match(version._semver))

    def __str__(self) -> str:
        return self.text


def best(versions: Iterable[Version], constraint: Constraint) -> Version | None:
    """The highest acceptable version, or None."""
    return max((version for version in versions if constraint.allows(version)), default=None)


def _parsed(text: str) -> semantic_version.Version | None:
    try:
        parsed = semantic_version.Version(text)
    except ValueError:
        return None
    # The library passes over a line break at the end.
    return parsed if str(parsed) == text else None


def _spec(text: str) -> semantic_version.NpmSpec:
    if not text or len(text) > 128:
        raise ValueError(text)
    return semantic_version.NpmSpec(re.sub(r"([<>=^~])\s+", r"\1", " ".join(text.replace(",", " ").split())))
