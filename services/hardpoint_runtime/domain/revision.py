"""Owns when a noun was made and changed, which is all that its etag depends on."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self

from hardpoint_kit.masks import etag


@dataclass(frozen=True, slots=True)
class Revision:
    """The times of a noun's creation and last change, and the number of that change."""

    created_at: datetime
    updated_at: datetime
    number: int = 1

    @classmethod
    def first(cls, at: datetime) -> Self:
        """The revision of a noun made now."""
        return cls(created_at=at, updated_at=at)

    def next(self, at: datetime) -> Self:
        """The revision after a change."""
        return replace(self, updated_at=at, number=self.number + 1)

    @property
    def etag(self) -> str:
        """A text that differs between any two revisions, also of a noun that was deleted and made again."""
        return etag(self)
