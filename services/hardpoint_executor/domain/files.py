"""Stored files as an execution knows them: handles, and what is lent to it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

Handle = Mapping[str, Any]
"""A stored file as an action takes and gives it: `id` (its resource name), `name`, `type`, and `size` in bytes.

One that is kept for a while has `expire_time`, such as 2030-01-31T08:00:00Z.
"""


def handles_in(value: Any) -> Iterator[Handle]:
    """Whatever looks like the handle of a stored file in a JSON value; the unit of files says which are."""
    if isinstance(value, Mapping):
        if isinstance(value.get("id"), str) and "/files/" in value["id"]:
            yield value
        for part in value.values():
            yield from handles_in(part)
    elif isinstance(value, list):
        for part in value:
            yield from handles_in(part)


@dataclass(frozen=True, slots=True)
class Lent:
    """What an execution may do with stored files: the ticket, empty for nothing, and the handles that came with it."""

    ticket: str = ""
    handles: tuple[Handle, ...] = ()
    alone: bool = False
    """Whether those handles are all that may be opened, although the ticket is good for more: it is the caller's."""

    def handed(self, value: Any) -> "Lent":
        """What is lent to a callee: of what its caller has, the files that are in its input."""
        return replace(self, handles=tuple(handles_in(value)), alone=True)

    def with_known(self, handles: tuple[Handle, ...]) -> "Lent":
        """What is lent to whoever may know of these files too."""
        return replace(self, handles=(*self.handles, *handles))

    def with_those_in(self, value: Any) -> "Lent":
        """What a step of the same release has: those in its input besides."""
        return replace(self, handles=(*self.handles, *handles_in(value)))
