"""Owns the check of a request's fields: the rules of its proto, and that its texts can be stored."""

from google.protobuf.message import Message
from protovalidate import Validator, Violation

from hardpoint_kit.errors import InvalidArgument


class FieldCheck:
    """Checks messages against the field rules of their protos."""

    def __init__(self) -> None:
        self._validator = Validator()

    def check(self, message: Message) -> None:
        """Raise InvalidArgument with every violation by field path."""
        violations = self._validator.collect_violations(message)
        if violations:
            raise InvalidArgument({_path(violation): violation.proto.message for violation in violations})
        if b"\0" in message.SerializeToString() and (place := _zero_character(message)):
            raise InvalidArgument({place: "holds a zero character, which no text may"}, fix="remove it")


def _zero_character(message: Message) -> str:
    """The first text field of a message or of those inside it that holds a zero character: no database keeps one.

    Documents (Struct, Value) are left to those who store them: what is only passed on may hold any text.
    """
    for field, value in message.ListFields():
        if field.message_type is not None and field.message_type.full_name.startswith("google.protobuf."):
            continue
        entries = value.items() if hasattr(value, "items") else enumerate(value) if field.is_repeated else [("", value)]
        for _, item in entries:
            if isinstance(item, str) and "\0" in item:
                return str(field.name)
            if isinstance(item, Message) and (inner := _zero_character(item)):
                return f"{field.name}.{inner}"
    return ""


def _path(violation: Violation) -> str:
    path = ""
    for element in violation.proto.field.elements if violation.proto.field else ():
        path += f".{element.field_name}" if path else element.field_name
        if element.subscript is not None:
            path += f"[{element.subscript.value}]"
    return path
