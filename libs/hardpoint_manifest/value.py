"""The base of every part of a manifest."""

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """A part of a manifest: immutable and closed to unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")
