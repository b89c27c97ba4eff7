"""What an agent knows and gives along with a call: its user, the conversation, the files that were shared in it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.json_format import ParseDict, ParseError

from hardpoint.manifest.v1 import context_pb2
from hardpoint_kit.errors import InvalidArgument

_SHAPES = {
    "user": "any of id, name, email, locale and time_zone, each a text",
    "conversation": '{"id": "..", "messages": [{"role": "user", "text": ".."}]}',
    "files": "ids of stored files",
}


@dataclass(frozen=True, slots=True)
class CallContext:
    """The called action sees each part under its permission: context.user, context.conversation, context.files.

    `user` has any of id, name, email, locale and time_zone; `conversation` is `{"id", "messages": [{"role", "text"}]}`,
    the oldest message first; `files` are stored files by id, resource name or handle.
    """

    user: Mapping[str, str] | None = None
    conversation: Mapping[str, Any] | None = None
    files: Sequence[str | Mapping[str, Any]] = ()

    def message(self, named: Callable[[str], str]) -> context_pb2.CallContext:
        """The contract's message; `named` makes a resource name of a file's id. Raises InvalidArgument."""
        names = [named(file if isinstance(file, str) else str(file.get("id"))) for file in self.files]
        parts = {"user": self.user, "conversation": self.conversation, "files": names}
        message = context_pb2.CallContext()
        for part, value in parts.items():
            try:
                ParseDict({part: value} if value else {}, message)
            except ParseError:
                raise InvalidArgument({f"context.{part}": "has another shape"}, fix=f"write {_SHAPES[part]}") from None
        return message
