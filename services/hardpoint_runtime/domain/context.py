"""Owns what a calling agent knows and gives along: who its user is, what was said, which files were shared."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from hardpoint_kit.errors import InvalidArgument

USER: Final = "context.user"
CONVERSATION: Final = "context.conversation"
FILES: Final = "context.files"
MOST_BYTES: Final = 64 * 1024
"""Of all messages of a conversation together."""


@dataclass(frozen=True, slots=True)
class CallContext:
    """Each part as JSON where it was given; `files` are resource names. The parts are words of the agent, unproved."""

    user: Mapping[str, Any] | None = None
    conversation: Mapping[str, Any] | None = None
    files: tuple[str, ...] = ()

    def check(self) -> Self:
        """Itself; raises InvalidArgument when the conversation is too long."""
        if self is NOTHING:
            return self
        said = (self.conversation or {}).get("messages", [])
        size = sum(len(message["text"].encode(errors="replace")) for message in said)
        if size > MOST_BYTES:
            raise InvalidArgument(
                {"context.conversation.messages": f"hold {size} bytes; at most {MOST_BYTES} can be given along"},
                fix="give the last messages alone",
            )
        return self

    def within(self, permissions: Collection[str]) -> "CallContext":
        """What these permissions show of it."""
        return CallContext(
            self.user if USER in permissions else None,
            self.conversation if CONVERSATION in permissions else None,
            self.files if FILES in permissions else (),
        )


NOTHING: Final = CallContext()
